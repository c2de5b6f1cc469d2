"""Fixtures of every test: strict guard, in-memory telemetry, instrumenting for one test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from openai_safety_otel.harmless import harmless
from openai_safety_otel.instrumentor import SafetyInstrumentor

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


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    """Our own failures re-raise, so that no test passes by swallowing."""
    harmless.strict = True
    yield
    harmless.strict = False


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


Instrument = Callable[..., SafetyInstrumentor]


@pytest.fixture
def instrument(telemetry: Telemetry) -> Iterator[Instrument]:
    """``instrument(**settings)`` for one test: with a key, and loopback allow-listed, unless said otherwise."""
    instrumentor = SafetyInstrumentor()

    def start(**settings: Any) -> SafetyInstrumentor:
        chosen = {"hmac_key": KEY, "inject_hosts": "+127.0.0.1", **settings}
        instrumentor.instrument(**telemetry.providers, **{k: v for k, v in chosen.items() if v is not None})
        return instrumentor

    yield start
    instrumentor.uninstrument()


# --- a real redis-server ---


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real redis-server of our own, with an append-only file."""
    program = shutil.which("redis-server")
    if program is None:
        missing = "redis-server is not installed: apt-get install redis-server"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    options = f"--port {port} --bind 127.0.0.1 --dir {folder} --appendonly yes --appendfsync always"
    server = subprocess.Popen([program, *options.split(), "--save", ""], stdout=subprocess.DEVNULL)
    try:
        _await_port(port, server)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The server's URL, emptied for this test."""
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


def _await_port(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        if server.poll() is not None:
            pytest.fail(f"redis-server ended with {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    pytest.fail("redis-server does not answer")
