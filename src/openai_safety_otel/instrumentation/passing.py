"""Which call is running: the inner hooks belong to it. One that is not recorded takes its turn too."""

from __future__ import annotations

import contextvars
from typing import Any, Protocol


class Running(Protocol):
    """A call under way, recorded or not."""

    client: Any


current: contextvars.ContextVar[Running | None] = contextvars.ContextVar("openai_safety_call", default=None)


def current_call(client: Any) -> Running | None:
    """The call of this client that an inner hook belongs to; None where it came past the outer hook.

    A call may be made inside another one (by a filter, an ``api_key`` function, a transport): what arrives for
    one client is never another one's.
    """
    found = current.get()
    return found if found is not None and found.client is client else None


class Pass:
    """A call that is not ours to record: everything goes straight through, also past the call around it."""

    __slots__ = ("_previous", "args", "client", "kwargs")
    gate = None

    def __init__(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.client = client
        self.args = args
        self.kwargs = kwargs
        self._previous: Running | None = None

    def __enter__(self) -> Pass:
        self._previous = current.get()
        current.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        if current.get() is self:
            current.set(self._previous)
        self._previous = self.client = None

    def sent(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments to go on with."""
        return self.args, self.kwargs

    def seen(self, result: Any) -> Any:
        """Nothing is read."""
        return result
