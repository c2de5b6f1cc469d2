"""Record to telemetry: span, measurements and event, with one guard around each."""

from __future__ import annotations

from opentelemetry.trace import Tracer

from openai_safety_otel.contract.harmless import harmless
from openai_safety_otel.contract.record import CallRecord, Outcome
from openai_safety_otel.contract.settings import SpanMode
from openai_safety_otel.instrumentation.signals.attributes import safety_attributes
from openai_safety_otel.instrumentation.signals.event import call_event
from openai_safety_otel.instrumentation.signals.metrics import Metrics
from openai_safety_otel.instrumentation.signals.sink import EventSink
from openai_safety_otel.instrumentation.signals.trail import Trail


class Signals:
    """Everything that leaves the process about calls."""

    def __init__(self, tracer: Tracer, metrics: Metrics, sink: EventSink, mode: SpanMode) -> None:
        self._tracer = tracer
        self.metrics = metrics
        self.sink = sink
        self._mode: SpanMode = mode

    def trail(self, record: CallRecord, *, own_early: bool = True, own_late: bool = True) -> Trail | None:
        """The span side of a call that begins now; None where the app's tracer raises."""
        with harmless("span"):
            return Trail(self._tracer, self._mode, record, own_early=own_early, own_late=own_late)
        return None

    def finish(
        self, record: CallRecord, outcome: Outcome, trail: Trail | None, *, counted: bool = True
    ) -> None:
        """Emit a finished call; ``counted`` is False for a look at an outcome that was already counted."""
        ids = (0, 0, 0)
        context = None
        safety = safety_attributes(record, outcome)
        if trail is not None:
            with harmless("span"):
                trail.finish(outcome, safety)
                ids, context = trail.ids, trail.context
        if not counted:
            return
        with harmless("metrics"):
            self.metrics.record(record, outcome, context, own_span=trail is not None and trail.owned)
        with harmless("event"):
            self.sink.emit(call_event(record, outcome, ids, safety), context)
