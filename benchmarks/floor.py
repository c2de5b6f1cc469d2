"""The least that recording a call can cost: the same span, event and measurements, as constants.

What we record is captured once for each case; then we are removed, and the OpenTelemetry SDK is told the same
again around each call (or, in place, around the SDK's `request`): one span begun with what a sampler may want to see
and completed by one `set_attributes`, one log record in its context, each measurement with its labels.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import contenders
import exchange
import openai
import wrapt
from opentelemetry import context as otel_context
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, set_span_in_context

# Known when a call begins; the rest of a span is known when it ends.
_EARLY = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "server.address",
    "server.port",
)


@dataclass(frozen=True)
class Constants:
    """What one call of a case makes us record; a measurement is (counter?, metric, value, labels)."""

    span: str
    early: dict[str, Any]
    late: dict[str, Any]
    event: dict[str, Any]
    measurements: tuple[tuple[bool, Any, float, dict[str, Any]], ...]


def captured(case: str) -> Constants:
    """Make one call under us and keep what came out."""
    from openai_safety_otel import SafetyInstrumentor, end_user

    spans, logs, reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    ours = SafetyInstrumentor()
    ours.instrument(
        tracer_provider=tracers,
        logger_provider=loggers,
        meter_provider=MeterProvider(metric_readers=[reader]),
        hmac_key=contenders.KEY,
    )
    try:
        with end_user("u42"):
            exchange.call(exchange.client(exchange.Script()), case)()
    finally:
        ours.uninstrument()
    (span,), (log,) = spans.get_finished_spans(), logs.get_finished_logs()
    attributes = dict(span.attributes or {})
    record = log.log_record
    return Constants(
        span.name,
        {name: attributes[name] for name in _EARLY if name in attributes},
        {name: value for name, value in attributes.items() if name not in _EARLY},
        {
            "severity_number": record.severity_number,
            "severity_text": record.severity_text,
            "body": record.body,
            "attributes": dict(record.attributes or {}),
            "event_name": record.event_name,
        },
        tuple(_measurements(reader)),
    )


def _measurements(reader: InMemoryMetricReader) -> Any:
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    if type(metric.data).__name__ == "Histogram":
                        yield False, metric, point.sum, dict(point.attributes)
                    elif type(metric.data).__name__ == "Sum" and point.value:  # not the series begun at zero
                        yield True, metric, point.value, dict(point.attributes)


class Floor:
    """Records the constants of one case around a call."""

    def __init__(self, pipelines: contenders.Pipelines, constants: Constants) -> None:
        self._tracer = pipelines.tracer_provider.get_tracer("floor")
        self._logger = pipelines.logger_provider.get_logger("floor")
        self._constants = constants
        meter = pipelines.meter_provider.get_meter("floor")
        self._record: list[tuple[Callable[..., None], float, dict[str, Any]]] = []
        for counter, metric, value, labels in constants.measurements:
            if counter:
                add = meter.create_counter(metric.name, metric.unit, metric.description).add
            else:
                bounds = list(metric.data.data_points[0].explicit_bounds)
                add = meter.create_histogram(
                    metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=bounds
                ).record
            self._record.append((add, value, labels))

    def begin(self) -> tuple[Any, Any, Any]:
        """Before the call."""
        constants = self._constants
        span = self._tracer.start_span(
            constants.span, kind=SpanKind.CLIENT, attributes=constants.early, record_exception=False
        )
        context = set_span_in_context(span)
        return span, context, otel_context.attach(context)

    def end(self, span: Any, context: Any, token: Any) -> None:
        """After the call."""
        otel_context.detach(token)
        constants = self._constants
        span.set_attributes(constants.late)
        span.end()
        for record, value, labels in self._record:
            record(value, labels, context)
        self._logger.emit(LogRecord(context=context, timestamp=1, **constants.event))

    def put_in_place(self) -> None:
        """Record around the SDK's own `request` instead: what the wrapping itself costs comes on top."""

        def request(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
            begun = self.begin()
            result = wrapped(*args, **kwargs)
            self.end(*begun)
            return result

        async def async_request(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
            begun = self.begin()
            result = await wrapped(*args, **kwargs)
            self.end(*begun)
            return result

        for owner, wrapper in ((openai.OpenAI, request), (openai.AsyncOpenAI, async_request)):
            if hasattr(owner.request, "__wrapped__"):
                owner.request = owner.request.__wrapped__  # type: ignore[method-assign]
            wrapt.wrap_function_wrapper(owner, "request", wrapper)

    def around(self, call: Callable[[], object]) -> Callable[[], object]:
        """A call that is recorded."""

        def recorded() -> object:
            begun = self.begin()
            result = call()
            self.end(*begun)
            return result

        return recorded

    def around_async(self, call: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        """The same for a coroutine function."""

        async def recorded() -> Any:
            begun = self.begin()
            result = await call()
            self.end(*begun)
            return result

        return recorded
