"""What is compared, and how each is loaded: all with real batch processors whose exporters drop everything."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

KEY = b"a-benchmark-key-of-at-least-32-bytes!!"


class DropSpans(SpanExporter):
    """Counts spans and keeps none."""

    count = 0

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Forget them."""
        self.count += len(spans)
        return SpanExportResult.SUCCESS


class DropLogs(LogRecordExporter):
    """Counts log records and keeps none."""

    count = 0

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        """Forget them."""
        self.count += len(batch)
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is open."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return True


@dataclass
class Pipelines:
    """An SDK as an app sets it up, with exporters that drop."""

    spans: DropSpans = field(default_factory=DropSpans)
    logs: DropLogs = field(default_factory=DropLogs)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(BatchSpanProcessor(self.spans))
        self.logger_provider = LoggerProvider()
        self.logger_provider.add_log_record_processor(BatchLogRecordProcessor(self.logs))
        self.meter_provider = MeterProvider(metric_readers=[self.reader])

    @property
    def providers(self) -> dict[str, Any]:
        """As keyword arguments of an instrumentor."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    def flush(self) -> None:
        """Wait until everything has reached the exporters."""
        self.tracer_provider.force_flush()
        self.logger_provider.force_flush()

    def measurements(self) -> int:
        """Values recorded so far, over all instruments."""
        data = self.reader.get_metrics_data()
        points = [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in getattr(metric.data, "data_points", ())
        ]
        return sum(int(getattr(point, "count", 0) or getattr(point, "value", 0)) for point in points)


def bare(pipelines: Pipelines) -> None:
    """The SDK alone."""


def ours(pipelines: Pipelines) -> None:
    """This package with its defaults, a key and an end user."""
    from openai_safety_otel import SafetyInstrumentor, set_end_user

    SafetyInstrumentor().instrument(**pipelines.providers, hmac_key=KEY)
    set_end_user("u42")


def somebody(name: str, number: int) -> None:
    """Another end user for the calls that follow."""
    if name == "ours":
        from openai_safety_otel import set_end_user

        set_end_user(f"user-{number}")


def official(pipelines: Pipelines) -> None:
    """OpenTelemetry's own."""
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(**pipelines.providers, skip_dep_check=True)


def openinference(pipelines: Pipelines) -> None:
    """Arize's."""
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=pipelines.tracer_provider, skip_dep_check=True)


def traceloop(pipelines: Pipelines) -> None:
    """Traceloop's, without content as by its own switch."""
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(
        tracer_provider=pipelines.tracer_provider,
        meter_provider=pipelines.meter_provider,
        skip_dep_check=True,
    )


def logfire(pipelines: Pipelines) -> None:
    """Pydantic's; it sets up its own SDK and is given our processors and reader."""
    import logfire as package

    pipelines.reader = InMemoryMetricReader()  # a reader belongs to one provider
    package.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[BatchSpanProcessor(pipelines.spans)],
        metrics=package.MetricsOptions(additional_readers=[pipelines.reader]),
        inspect_arguments=False,
    )
    package.instrument_openai()


def floor(pipelines: Pipelines) -> None:
    """The OpenTelemetry SDK alone, told to record what we record: see `floor.py`."""


def in_place(pipelines: Pipelines) -> None:
    """The same from within the SDK's `request`, where an instrumentation stands: see `floor.py`."""


PINS = ("openai==3.52.0", "opentelemetry-sdk==1.45.2")
# Which environment each runs in: its name and what is installed there beside `PINS`.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "ours": (),
    "official": ("opentelemetry-instrumentation-genai-openai==1.3b0",),
    "openinference": ("openinference-instrumentation-openai==0.1.66",),
    "traceloop": ("opentelemetry-instrumentation-openai==0.62.4",),
    "logfire": ("logfire>=5,<6",),
}
CONTENDERS: dict[str, tuple[str, Callable[[Pipelines], None]]] = {
    "bare": ("ours", bare),
    "floor": ("ours", floor),
    "in place": ("ours", in_place),
    "ours": ("ours", ours),
    "official": ("official", official),
    "openinference": ("openinference", openinference),
    "traceloop": ("traceloop", traceloop),
    "logfire": ("logfire", logfire),
}


def load(name: str) -> Pipelines:
    """Set up the SDK and load one contender."""
    with contextlib.suppress(KeyError):
        del os.environ["OTEL_SDK_DISABLED"]
    pipelines = Pipelines()
    CONTENDERS[name][1](pipelines)
    return pipelines
