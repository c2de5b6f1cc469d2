"""Which call is running: the inner hooks belong to it. One that is not recorded takes its turn too."""

from __future__ import annotations

import contextvars
from typing import Any, Protocol


class Running(Protocol):
    """A call under way, recorded or not."""

    client: Any


last_response: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "openai_safety_last_response", default=None
)
current: contextvars.ContextVar[Running | None] = contextvars.ContextVar("openai_safety_call", default=None)


# Addresses that a gateway's recorded calls are about to be sent to.
_announced: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar(
    "openai_safety_announced", default=None
)


def announce(url: str) -> None:
    """A recorded call is about to send a request there, with a client that is not the SDK's."""
    _announced.set([url])


def told(url: str) -> bool:
    """Whether this request was announced, which is said once."""
    expected = _announced.get()
    return expected is not None and url in expected and bool(expected.pop())


def last_response_id() -> str | None:
    """The id of the last response that ended in this context, for the app's own log lines."""
    return last_response.get()


def forget_last_response() -> None:
    """A request begins: in a thread that served others, their last response is none of its own."""
    last_response.set(None)


class Pass:
    """A call that is not ours to record: everything goes straight through, also past the call around it."""

    __slots__ = ("_previous", "client")
    gate = None

    def __init__(self, client: Any) -> None:
        self.client = client
        self._previous: Running | None = None

    def __enter__(self) -> Pass:
        self._previous = current.get()
        current.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        if current.get() is self:
            current.set(self._previous)
        self._previous = self.client = None

    def returned(self, result: Any) -> Any:
        """Nothing is read."""
        return result
