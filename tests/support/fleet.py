"""Simulated processes that send what ours would: real records through the real signals, over OTLP."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from openai_safety_otel import conventions as c
from openai_safety_otel.record import CallRecord, Outcome, SafetyEvent
from openai_safety_otel.signals.event import call_event, log_record
from openai_safety_otel.signals.metrics import Metrics

NEVER = 1e9  # milliseconds: metrics leave when the test says so


@dataclass(frozen=True)
class Destination:
    """Where telemetry goes: base URLs of OTLP/HTTP endpoints.

    ``split``: straight into Loki, without the collector that would sort events into streams and derive the
    distribution of scores from them.
    """

    logs: str
    metrics: str
    headers: dict[str, str] = field(default_factory=dict)
    split: bool = False


class Process:
    """One process of a service."""

    def __init__(
        self, to: Destination, service: str, instance: str, traffic: c.Traffic = "production"
    ) -> None:
        self.traffic: c.Traffic = traffic
        self._to = to
        self._about = {
            "service.name": service,
            "service.instance.id": instance,
            "deployment.environment.name": "test",
        }
        self._loggers: dict[str, LoggerProvider] = {}
        exporter = OTLPMetricExporter(endpoint=f"{to.metrics}/v1/metrics", headers=to.headers)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER)
        self._meters = MeterProvider(metric_readers=[reader], resource=Resource(self._about))
        self.meter = self._meters.get_meter(c.SCOPE)
        self.metrics = Metrics(self.meter, max_models=20, traffic=traffic)
        self._scores = self.metrics.histogram(c.MODERATION_SCORE)

    def call(self, record: CallRecord, outcome: Outcome) -> None:
        """Record one finished call: metrics and event."""
        record = replace(record, traffic=self.traffic)
        self.metrics.record(record, outcome, None, own_span=True)
        flagged = any(leg.flagged for leg in record.moderation.legs.values())
        stream = "completed" if outcome.name == "completed" and not flagged else "notable"
        trace = (record.started_ns | 1, (record.started_ns >> 1) | 1, 1)
        self.event(call_event(record, outcome, trace), stream)
        if self._to.split:
            for direction, leg in record.moderation.legs.items():
                for category, score in leg.scores.items():
                    self._scores.record(score, {c.DIRECTION: direction, c.CATEGORY: category})

    def event(self, event: SafetyEvent, stream: str = "notable") -> None:
        """Send one event."""
        provider = self._provider(stream)
        provider.get_logger(event.scope).emit(log_record(event))

    def _provider(self, stream: str) -> LoggerProvider:
        key = stream if self._to.split else ""
        if key not in self._loggers:
            self._loggers[key] = self._logger(stream)
        return self._loggers[key]

    def _logger(self, stream: str) -> LoggerProvider:
        about = {**self._about, "openai_safety.stream": stream} if self._to.split else self._about
        provider = LoggerProvider(resource=Resource(about))
        exporter = OTLPLogExporter(endpoint=f"{self._to.logs}/v1/logs", headers=self._to.headers)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=100_000))
        return provider

    def flush(self) -> None:
        """Send everything now."""
        self._meters.force_flush()
        for provider in self._loggers.values():
            provider.force_flush()

    def close(self) -> None:
        """Send everything and end the threads."""
        self._meters.shutdown()
        for provider in self._loggers.values():
            provider.shutdown()
