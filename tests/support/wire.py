"""OpenAI scripted on a transport: one answer, read through the installed SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import openai

from support.http import http_library as httpx


@contextmanager
def answering(
    body: object, *, status: int = 200, content_type: str = "application/json", **headers: str
) -> Iterator[openai.OpenAI]:
    """A client whose every request is answered with ``body``: text, bytes, or something to send as JSON."""
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else _json(body)
    sent = {"content-type": content_type, **headers}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=sent, content=content))
    with (
        httpx.Client(transport=transport) as http,
        openai.OpenAI(api_key="k", http_client=http, max_retries=0) as client,
    ):
        yield client


def raised(status: int, body: object, content_type: str = "application/json") -> openai.APIError:
    """The exception that the SDK raises for an HTTP error."""
    with answering(body, status=status, content_type=content_type) as client:
        try:
            client.models.list()
        except openai.APIError as error:
            return error
    raise AssertionError("the SDK raised nothing")


def sse(*events: object) -> str:
    """Server-sent events; a typed one carries its name, as OpenAI sends it."""
    return "".join(f"{_name(event)}data: {_json(event).decode()}\n\n" for event in events)


def _name(event: object) -> str:
    kind = event.get("type") if isinstance(event, dict) else None
    return f"event: {kind}\n" if isinstance(kind, str) else ""


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
