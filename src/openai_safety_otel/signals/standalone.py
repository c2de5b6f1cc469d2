"""Events of a command outside an instrumented app: sent as the environment says, in bounded time."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry._logs import get_logger_provider

from openai_safety_otel.settings import Settings, environment
from openai_safety_otel.signals.event import EventSink

EXIT_SECONDS = 5.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@dataclass(frozen=True, slots=True)
class Telling:
    """A sink, and whether anything that is put into it arrives anywhere."""

    sink: EventSink
    arrives: bool
    provider: Any

    def flush(self) -> None:
        """Wait until what was emitted so far has left, `EXIT_SECONDS` at most for each destination.

        A command that emits more than a few thousand events calls it now and then: queues are bounded, and
        drop what does not fit.
        """
        self.sink.flush()
        if hasattr(self.provider, "force_flush"):
            _within(EXIT_SECONDS, self.provider.force_flush)


@contextmanager
def telling(settings: Settings) -> Iterator[Telling]:
    """A sink for one command: the running SDK's, else one for the OTLP endpoint that the environment names.

    What is still on its way when the command ends is waited for, `EXIT_SECONDS` at most.
    """
    running = hasattr(get_logger_provider(), "force_flush")
    own = None if running else _own_provider()
    sink = EventSink.from_settings(settings, own)
    told = Telling(sink, running or own is not None or sink.elsewhere, own or get_logger_provider())
    try:
        yield told
    finally:
        told.flush()
        if own is not None:
            _within(EXIT_SECONDS, own.shutdown)


def _own_provider() -> Any | None:
    """A provider that exports over OTLP; None without an endpoint or without the ``otlp`` extra."""
    if not any(environment(name) for name in _ENDPOINTS) or environment("OTEL_SDK_DISABLED") == "true":
        return None
    protocol = environment("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL") or environment("OTEL_EXPORTER_OTLP_PROTOCOL")
    kind = "grpc" if protocol == "grpc" else "http"
    try:
        logs = importlib.import_module("opentelemetry.sdk._logs")
        export = importlib.import_module("opentelemetry.sdk._logs.export")
        otlp = importlib.import_module(f"opentelemetry.exporter.otlp.proto.{kind}._log_exporter")
    except ModuleNotFoundError:
        return None
    provider = logs.LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(export.BatchLogRecordProcessor(otlp.OTLPLogExporter()))
    return provider


def _within(seconds: float, act: Any) -> None:
    """The SDK's own timeouts are not kept: a collector that hangs must not hold up the command."""
    worker = threading.Thread(target=act, daemon=True)
    worker.start()
    worker.join(seconds)
