"""Label values that others choose: the first few distinct ones are kept, later ones share one word."""

from __future__ import annotations

from collections.abc import Callable


class Capped:
    """Keeps the first ``limit`` distinct values; any other becomes ``other``.

    Args:
        limit: how many.
        other: what later ones become.
        always: says of which values there can be only a few, so that they are kept however late they come.
    """

    __slots__ = ("_always", "_kept", "_limit", "_other")

    def __init__(self, limit: int, other: str, always: Callable[[str], bool] = lambda _: False) -> None:
        self._limit = limit
        self._other = other
        self._always = always
        self._kept: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value as a label."""
        if value in self._kept or self._always(value):
            return value
        if len(self._kept) >= self._limit:
            return self._other
        self._kept.add(value)
        return value
