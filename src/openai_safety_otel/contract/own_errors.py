"""Our own errors: logged once, counted, never felt by the app."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

_log = logging.getLogger(__name__)


class OwnErrors:
    """``with own_errors("span"):`` swallows an `Exception` of ours; `BaseException` passes untouched.

    Each place is logged once in a process, without the message (it may quote the user). ``strict`` re-raises:
    our own tests set it, so that no test passes by swallowing.
    """

    strict = False

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()
        self.on_failure: Callable[[str], None] | None = None
        self._guards: dict[str, _Guard] = {}

    def __call__(self, place: str) -> _Guard:
        """The guard of one place; it holds no state, so that all calls share it."""
        guard = self._guards.get(place)
        if guard is None:
            guard = self._guards[place] = _Guard(self, place)
        return guard

    def failed(self, place: str, error: Exception) -> None:
        """Log once, count always; to be called in an ``except Exception`` where calls are many.

        Raises:
            Exception: the error itself, where we are ``strict``.
        """
        if self.strict:
            raise error
        key = (place, type(error).__name__)
        if key not in self._logged:
            self._logged.add(key)
            where = _innermost(error.__traceback__)
            _log.warning("openai-safety-otel: %s failed (%s at %s); calls go on", place, key[1], where)
        if self.on_failure is not None:
            self.on_failure(place)


class _Guard:
    __slots__ = ("_owner", "_place")

    def __init__(self, owner: OwnErrors, place: str) -> None:
        self._owner = owner
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None or self._owner.strict or not isinstance(error, Exception):
            return False
        self._owner.failed(self._place, error)
        return True


def _innermost(trace: TracebackType | None) -> str:
    if trace is None:
        return "unknown"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"


own_errors = OwnErrors()
