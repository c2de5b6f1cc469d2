"""The app's own exporters that raise, hang, refuse or answer badly: what the app sees, and what is kept."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.testing.provider import Provider
from support.collector import Collector
from support.telemetry import KEY

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
CALLS = 20
MODES: list[str | int] = ["accept", "hang", "trickle", "refuse", "no such name", 400, 413, 429, 503]


class Raising:
    def export(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("exporter")

    def shutdown(self, *_: Any, **__: Any) -> None:
        return None

    force_flush = shutdown


def calls(client: openai.OpenAI) -> list[str | None]:
    """What the app sees of its calls, streams among them."""
    seen: list[str | None] = []
    for number in range(CALLS):
        if number % 2:
            seen += [chunk.type for chunk in client.responses.create(**ASK, stream=True)]
        else:
            seen.append(client.responses.create(**ASK).status)
    return seen


def instrumented(client: openai.OpenAI, **providers: Any) -> tuple[list[str | None], list[str | None]]:
    """What the app sees, and the request ids of the calls that were told."""
    told: list[str | None] = []
    instrumentor = SafetyInstrumentor()
    instrumentor.instrument(**providers, hmac_key=KEY)
    assert instrumentor.observer is not None
    instrumentor.observer.listeners.append(lambda record, _: told.append(record.provider_request_id))
    try:
        return calls(client), sorted(told, key=str)
    finally:
        instrumentor.uninstrument()


@pytest.mark.parametrize("mode", MODES)
def test_a_collector_that_misbehaves(
    mode: str | int,
    client: openai.OpenAI,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lost: what the app's SDK drops, as with any of its telemetry; no call waits, and every call is told."""
    bare = calls(client)
    provider.ledger.clear()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with Collector(
        mode if mode in ("accept", "hang", "trickle") or isinstance(mode, int) else 503
    ) as collector:
        places = {"refuse": "http://127.0.0.1:1", "no such name": "http://collector.invalid:4318"}
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", places.get(str(mode), collector.url))
        tracer, logger = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
        tracer.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=50))
        logger.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(), schedule_delay_millis=50))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=100)
        meter = MeterProvider([reader], shutdown_on_exit=False)
        started = time.monotonic()
        seen, told = instrumented(
            client, tracer_provider=tracer, meter_provider=meter, logger_provider=logger
        )
        took = time.monotonic() - started
        collector.mode = "accept"
        for one in (tracer, logger, meter):
            one.shutdown()
        arrived = len(collector.events)
    # A call that waited for an exporter would wait its second, twenty times over.
    assert (bare, True) == (seen, took < CALLS)
    assert sorted(entry.request_id for entry in provider.ledger) == told
    if mode == "accept":
        assert CALLS == arrived


def test_exporters_that_raise(client: openai.OpenAI, provider: Provider) -> None:
    """Lost: the raising exporter's own telemetry; exported within the call, even so the app sees nothing."""
    bare = calls(client)
    provider.ledger.clear()
    broken: Any = Raising()
    tracer, logger = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
    tracer.add_span_processor(SimpleSpanProcessor(broken))
    logger.add_log_record_processor(SimpleLogRecordProcessor(broken))
    seen, told = instrumented(client, tracer_provider=tracer, logger_provider=logger)
    assert bare == seen
    assert sorted(entry.request_id for entry in provider.ledger) == told
