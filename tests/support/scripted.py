"""A transport that answers with given bytes, and one way to see what an app would see of a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import openai

from support.http import http_library


class Pieces(http_library.SyncByteStream, http_library.AsyncByteStream):  # type: ignore[misc]
    """A response body that arrives in the given pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def transport(
    pieces: Sequence[bytes],
    *,
    status: int = 200,
    content_type: str = "application/json",
    in_memory: bool = False,
    **headers: str,
) -> Any:
    """Answers every request with these bytes: in these pieces, or read into memory before it is handed over."""

    def answer(_request: Any) -> Any:
        body = {"content": b"".join(pieces)} if in_memory else {"stream": Pieces(pieces)}
        return http_library.Response(status, headers={"content-type": content_type, **headers}, **body)

    return http_library.MockTransport(answer)


LOOPBACK = "http://127.0.0.1:9/v1"


def scripted(pieces: Sequence[bytes], *, base_url: str = LOOPBACK, **answer: Any) -> openai.OpenAI:
    """A client whose every request is answered with these bytes, in these pieces."""
    http = http_library.Client(transport=transport(pieces, **answer))
    return openai.OpenAI(api_key="sk-test", base_url=base_url, http_client=http, max_retries=0)


def scripted_async(pieces: Sequence[bytes], *, base_url: str = LOOPBACK, **answer: Any) -> openai.AsyncOpenAI:
    """The same for an async client."""
    http = http_library.AsyncClient(transport=transport(pieces, **answer))
    return openai.AsyncOpenAI(api_key="sk-test", base_url=base_url, http_client=http, max_retries=0)


def seen_by_app(call: Callable[[], Any]) -> Any:
    """What comes back as plain values, or the exception as the app can tell it apart."""
    try:
        return plain(call())
    except Exception as error:  # noqa: BLE001 - any exception is what is compared
        chain = (type(error.__cause__).__name__, type(error.__context__).__name__)
        facts = [
            repr(getattr(error, name, None)) for name in ("status_code", "code", "param", "type", "body")
        ]
        return type(error).__qualname__, str(error), chain, facts


def plain(value: Any) -> Any:
    """A value's public shape: models as data, streams as lists of theirs."""
    if hasattr(value, "model_dump"):
        return type(value).__name__, value.model_dump(warnings=False)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return type(value).__name__, repr(value) if isinstance(value, str | bytes | int | float | dict) else ""
