"""The end user of zero-code apps: a ``module:function`` called in the caller's own thread and context."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from openai_safety_otel.callables import function_at
from openai_safety_otel.conventions import ProblemReason
from openai_safety_otel.identifier import EndUser, as_end_user, current_end_user

SLOW_SECONDS = 0.01
_log = logging.getLogger(__name__)


class Resolver:
    """Who the current call is for: what the app set, else what its resolver says.

    A resolver that raises, answers with anything but ``str | EndUser | None``, or takes longer than 10 ms is
    logged once and counted each time; the call goes on as nobody's.
    """

    def __init__(self, place: str | Callable[[], Any] | None) -> None:
        self._place = place
        self._function: Callable[[], Any] | None = place if callable(place) else None
        self._logged: set[str] = set()

    def current(self, problems: list[ProblemReason]) -> EndUser | None:
        """The end user of the running context; what went wrong is added to ``problems``."""
        person = current_end_user()
        return person if person or self._place is None else self._ask(problems)

    def _ask(self, problems: list[ProblemReason]) -> EndUser | None:
        started = time.perf_counter()
        try:
            function = self._load()
            started = time.perf_counter()  # importing the app's module is not the resolver's slowness
            return as_end_user(function())
        except Exception as error:  # noqa: BLE001 - the app's own function may raise anything
            problems.append("resolver_failed")
            self._once(f"failed ({type(error).__name__}); its calls carry no end user")
            return None
        finally:
            if time.perf_counter() - started > SLOW_SECONDS:
                problems.append("resolver_slow")
                self._once("took longer than 10 ms, on the path of an OpenAI call")

    def _load(self) -> Callable[[], Any]:
        if self._function is None:
            self._function = function_at(str(self._place))
        return self._function

    def _once(self, what: str) -> None:
        if what not in self._logged:
            self._logged.add(what)
            _log.warning("user resolver %s %s", self._place if isinstance(self._place, str) else "", what)
