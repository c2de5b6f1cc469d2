"""The end user of zero-code apps: a ``module:function`` called in the caller's own thread and context."""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import Span, SpanKind, get_current_span

from openai_safety_otel.contract.callables import function_at
from openai_safety_otel.contract.vocabulary import ProblemReason
from openai_safety_otel.who.current import Holder, current_end_user, current_place
from openai_safety_otel.who.user import EndUser, as_end_user

SLOW_SECONDS = 0.01
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a slow resolver said in a request, or that it is being asked."""

    person: EndUser | None = None
    of: tuple[object, object] | None = None
    asking: object = None


_answer: contextvars.ContextVar[_Answer | None] = contextvars.ContextVar("openai_safety_answer", default=None)


def _request(known: object) -> object:
    """What tells this request from the next one: the middleware's place, or a server's span, which has not ended.

    None if nothing does. A trace does not: it may serve one user after the other, here or from far away. ``known``
    is the request of the last answer: a span of its trace is inside it while it lasts.
    """
    place = current_place.get()
    if isinstance(place, Holder) and place.request:
        return place.opener
    span = get_current_span()
    if getattr(span, "kind", None) is SpanKind.SERVER:
        return span
    if isinstance(known, Span) and known.is_recording() and _trace(known) == _trace(span):
        return known
    return None


def _trace(span: Span) -> int:
    return span.get_span_context().trace_id


class Resolver:
    """Who the current call is for: what the app set, else what its resolver says.

    A resolver that raises, answers with anything but ``str | EndUser | None``, or takes longer than 10 ms is
    logged once and counted each time; the call goes on as nobody's. A slow one is asked once in a request, where
    the middleware or a server's span says what a request is; otherwise its answer might be of the user before.
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
        """Ask, unless a slow resolver has answered in this request, or is asked right now (it may log a line)."""
        known = _answer.get()
        request = _request(known.of[1] if known is not None and known.of is not None else None)
        if known is not None and known.asking is self:
            return None
        if known is not None and known.of == (self, request) and request is not None:
            return known.person
        _answer.set(_Answer(asking=self))
        person, before = None, len(problems)
        try:
            person = self._call(problems)
        finally:
            slow = "resolver_slow" in problems[before:]
            _answer.set(_Answer(person, (self, request)) if slow and person else None)
        return person

    def _call(self, problems: list[ProblemReason]) -> EndUser | None:
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
