"""One call's span over time: own from the start, another instrumentation's enriched, or made at the end."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, SpanContext, Tracer, get_current_span, set_span_in_context

from openai_safety_otel.contract.record import AttributeValue, CallRecord, Outcome
from openai_safety_otel.contract.settings import SpanMode
from openai_safety_otel.instrumentation.signals import span as spans
from openai_safety_otel.instrumentation.signals.attributes import safety_attributes


class Trail:
    """Decides once whose span a call has, and writes to it at the moments that matter.

    Args:
        tracer: makes own spans.
        mode: the setting ``SPAN``.
        record: the facts so far.
        own_early: False where another instrumentation may still make (or already makes) its own span between
            here and the network, or after the call has returned.
        own_late: False where another instrumentation makes its span only after the call has returned.
    """

    __slots__ = (
        "_before",
        "_context",
        "_early",
        "_mode",
        "_own_late",
        "_owned",
        "_record",
        "_tracer",
        "span",
    )

    def __init__(
        self, tracer: Tracer, mode: SpanMode, record: CallRecord, *, own_early: bool, own_late: bool
    ) -> None:
        self._tracer = tracer
        self._mode: SpanMode = mode
        self._record = record
        self._before = otel_context.get_current()
        self._owned = False
        self._early: dict[str, AttributeValue] = {}
        self._own_late = own_late and mode in {"auto", "own"} and is_instrumentation_enabled()
        self._context: Context | None = None
        self.span: Span | None = None
        self.look()
        if self.span is None and self._own_late and spans.in_unsampled_model_call():
            self._own_late = mode == "own"
        if self.span is None and self._own_late and (own_early or mode == "own"):
            self._early = spans.early_attributes(record)
            self.span = spans.start(tracer, record, self._early)
            self._owned = True
            self._context = set_span_in_context(self.span, self._before)
            # Attached by value: nothing is held that must be detached in the same context.
            otel_context.attach(self._context)

    @property
    def owned(self) -> bool:
        """Whether the span is ours."""
        return self._owned

    @property
    def foreign(self) -> bool:
        """Whether the span is another instrumentation's."""
        return self.span is not None and not self._owned

    def look(self) -> None:
        """Take the model-call span that is current, if there is one and none was taken yet."""
        if self.span is None and self._mode in {"auto", "enrich"}:
            found = spans.current_model_call()
            if found is not None:
                self.span = found
                spans.set_identity(found, self._record)

    def leave(self) -> None:
        """The call has returned: what was current before is current again."""
        if self._owned and get_current_span() is self.span:
            otel_context.attach(self._before)

    def settle(self, outcome: Outcome) -> None:
        """The outcome is known, and another instrumentation may end its span right after this."""
        if self.foreign:
            self._enrich(safety_attributes(self._record, outcome))

    def finish(self, outcome: Outcome, safety: Mapping[str, AttributeValue]) -> None:
        """The call is over: end an own span, or write once more to the other's.

        ``safety`` are the `safety_attributes` of this outcome, which the event shares.
        """
        if self.span is None and self._own_late:
            self._early = spans.early_attributes(self._record)
            self.span = spans.start(self._tracer, self._record, self._early, self._before)
            self._owned = True
        if self._owned and self.span is not None:
            spans.end(self.span, self._record, outcome, self._early, safety)
        else:
            self._enrich(safety)

    def _enrich(self, safety: Mapping[str, AttributeValue]) -> None:
        if self.span is not None and not self._owned:
            spans.set_outcome(self.span, self._record, safety)

    @property
    def context(self) -> Context:
        """The context that measurements and events of this call belong to."""
        if self.span is None:
            return self._before
        if self._context is None:
            self._context = set_span_in_context(self.span, self._before)
        return self._context

    @property
    def ids(self) -> tuple[int, int, int]:
        """Trace id, span id and trace flags for the event; zeros where there is no trace."""
        span = self.span if self.span is not None else get_current_span(self._before)
        found: SpanContext = span.get_span_context()
        return (found.trace_id, found.span_id, int(found.trace_flags)) if found.is_valid else (0, 0, 0)
