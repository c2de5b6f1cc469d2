"""In-memory telemetry: what an app's own SDK received, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor

KEY = b"a-test-key-of-at-least-thirty-two-bytes!"
Attributes = dict[str, Any]


@dataclass
class Telemetry:
    """What an app's own SDK received, as plain values."""

    span_exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    log_exporter: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.span_exporter))
        self.logger_provider = LoggerProvider()
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.log_exporter))
        self.meter_provider = MeterProvider(metric_readers=[self.reader])

    @property
    def providers(self) -> dict[str, Any]:
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.span_exporter.get_finished_spans()

    @property
    def events(self) -> list[Attributes]:
        return [dict(one.log_record.attributes or {}) for one in self.log_exporter.get_finished_logs()]

    def facts(self, *names: str) -> list[tuple[Any, ...]]:
        """These attributes of each event."""
        return [tuple(event.get(name) for name in names) for event in self.events]

    @property
    def log_records(self) -> list[Any]:
        return [one.log_record for one in self.log_exporter.get_finished_logs()]

    def points(self, name: str) -> dict[frozenset[tuple[str, Any]], float]:
        """A metric's points: labels to value (sum, or count of a histogram)."""
        data = self.reader.get_metrics_data()
        found: dict[frozenset[tuple[str, Any]], float] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        for point in metric.data.data_points:
                            value = getattr(point, "value", getattr(point, "count", 0))
                            found[frozenset((point.attributes or {}).items())] = value
        return found

    def clear(self) -> None:
        self.span_exporter.clear()
        self.log_exporter.clear()


Instrument = Callable[..., SafetyInstrumentor]
