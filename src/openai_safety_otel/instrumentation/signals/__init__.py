"""Record to telemetry: span, measurements and event, each for itself."""

from __future__ import annotations

from opentelemetry.trace import Tracer

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.record import CallRecord, Outcome
from openai_safety_otel.contract.settings import SpanMode
from openai_safety_otel.instrumentation.signals.attributes import safety_attributes
from openai_safety_otel.instrumentation.signals.event import call_event
from openai_safety_otel.instrumentation.signals.metrics import Metrics
from openai_safety_otel.instrumentation.signals.sink import EventSink
from openai_safety_otel.instrumentation.signals.span import CallSpan


class Signals:
    """Everything that leaves the process about calls."""

    def __init__(self, tracer: Tracer, metrics: Metrics, sink: EventSink, mode: SpanMode) -> None:
        self._tracer = tracer
        self.metrics = metrics
        self.sink = sink
        self._mode: SpanMode = mode

    def span(self, record: CallRecord, *, own_early: bool = True, own_late: bool = True) -> CallSpan | None:
        """The span of a call that begins now; None where the app's tracer raises."""
        try:
            return CallSpan(self._tracer, self._mode, record, own_early=own_early, own_late=own_late)
        except Exception as error:  # noqa: BLE001 - a tracer of the app's may raise anything
            own_errors.failed("span", error)
            return None

    def finish(
        self, record: CallRecord, outcome: Outcome, span: CallSpan | None, *, counted: bool = True
    ) -> None:
        """Emit a finished call; ``counted`` is False for a look at an outcome that was already counted.

        One signal that fails does not keep the others from leaving.
        """
        ids = (0, 0, 0)
        context = None
        safety = safety_attributes(record, outcome)
        if span is not None:
            try:
                span.finish(outcome, safety)
                ids, context = span.ids, span.context
            except Exception as error:  # noqa: BLE001 - as above
                own_errors.failed("span", error)
        if not counted:
            return
        try:
            self.metrics.record(record, outcome, context, own_span=span is not None and span.owned)
        except Exception as error:  # noqa: BLE001 - as above
            own_errors.failed("metrics", error)
        try:
            self.sink.emit(call_event(record, outcome, ids, safety), context)
        except Exception as error:  # noqa: BLE001 - as above
            own_errors.failed("event", error)
