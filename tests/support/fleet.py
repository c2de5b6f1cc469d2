"""Simulated processes that send what ours would: real records through the real signals, over OTLP."""

from __future__ import annotations

from dataclasses import replace

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.record import CallRecord, Outcome, SafetyEvent
from openai_safety_otel.instrumentation.signals.attributes import safety_attributes
from openai_safety_otel.instrumentation.signals.event import call_event, log_record
from openai_safety_otel.instrumentation.signals.metrics import Metrics

NEVER = 1e9  # milliseconds: metrics leave when the test says so


class Process:
    """One process of a service."""

    def __init__(
        self,
        agent: str,
        service: str,
        instance: str,
        traffic: vocabulary.Traffic = "production",
        environment: str = "test",
    ) -> None:
        self.traffic: vocabulary.Traffic = traffic
        about = Resource(
            {
                "service.name": service,
                "service.instance.id": instance,
                "deployment.environment.name": environment,
            }
        )
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{agent}/v1/metrics"), export_interval_millis=NEVER
        )
        self.meters = MeterProvider(metric_readers=[reader], resource=about)
        self._logs = LoggerProvider(resource=about)
        self._logs.add_log_record_processor(
            BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{agent}/v1/logs"), max_queue_size=100_000)
        )
        self._traces = TracerProvider(resource=about)
        self._traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{agent}/v1/traces")))
        self.meter = self.meters.get_meter(c.SCOPE)
        self.metrics = Metrics(self.meter, max_models=20, traffic=traffic)
        self._tracer = self._traces.get_tracer(c.SCOPE)

    def call(self, record: CallRecord, outcome: Outcome) -> None:
        """Record one finished call: span, metrics and event."""
        record = replace(record, traffic=self.traffic)
        name = f"{record.operation} {record.request_model}"
        span = self._tracer.start_span(
            name, Context(), SpanKind.CLIENT, safety_attributes(record, outcome), start_time=record.started_ns
        )
        span.end(record.ended_ns)
        self.metrics.record(record, outcome, set_span_in_context(span), own_span=True)
        ids = span.get_span_context()
        self.event(call_event(record, outcome, (ids.trace_id, ids.span_id, ids.trace_flags)))

    def event(self, event: SafetyEvent) -> None:
        """Send one event."""
        self._logs.get_logger(event.scope).emit(log_record(event))

    def flush(self) -> None:
        """Send everything now."""
        for provider in (self.meters, self._logs, self._traces):
            provider.force_flush()

    def close(self) -> None:
        """Send everything and end the threads."""
        for provider in (self.meters, self._logs, self._traces):
            provider.shutdown()
