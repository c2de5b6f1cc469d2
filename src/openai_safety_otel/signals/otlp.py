"""The SDK's own OTLP log exporter, chosen by the standard variables and fed batches of our events."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from openai_safety_otel.record import AttributeValue, SafetyEvent
from openai_safety_otel.settings import environment
from openai_safety_otel.signals.event import log_record

SDK_DISABLED = "OTEL_SDK_DISABLED"
_GROUP = "opentelemetry_logs_exporter"
_BY_PROTOCOL = {"grpc": ("otlp_proto_grpc",), "http/protobuf": ("otlp_proto_http",)}
_EITHER = ("otlp_proto_grpc", "otlp_proto_http")  # the SDK's own order where no protocol is named


def sdk_disabled() -> bool:
    """Whether the standard variable switches the whole SDK off, as the SDK reads it."""
    return (environment(SDK_DISABLED) or "").strip().lower() == "true"


def exporter_class() -> Callable[[], Any] | None:
    """The exporter that the standard variables name; None without one, or with the SDK switched off."""
    if sdk_disabled():
        return None
    named = tuple(name for name in _EITHER if name in (environment("OTEL_LOGS_EXPORTER") or ""))
    protocol = environment("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL") or environment("OTEL_EXPORTER_OTLP_PROTOCOL")
    for name in named or _BY_PROTOCOL.get((protocol or "").strip(), _EITHER):
        for found in entry_points(group=_GROUP, name=name):
            try:
                # Loaded now, so that no import runs in the background while the process forks.
                importlib.import_module("opentelemetry.sdk._logs.export")
                made: Callable[[], Any] = found.load()
            except ImportError:
                continue
            return made
    return None


class Exporting:
    """One exporter, made when it is first needed: connections do not survive a fork."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._exporter: Any = None

    def send(self, events: Sequence[SafetyEvent], resource: Mapping[str, AttributeValue]) -> bool:
        """Export one batch; whether the other side took it.

        Raises:
            Exception: whatever the exporter raises.
        """
        with suppress_instrumentation():
            if self._exporter is None:
                self._exporter = self._make()
            result = self._exporter.export(_readable(events, resource))
        return getattr(result, "name", "") == "SUCCESS"

    def close(self) -> None:
        """Give its connections back."""
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            exporter.shutdown()


class _Collected:
    """An exporter that keeps what it is given: the form that exporters take differs between SDK versions."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def export(self, batch: Sequence[Any]) -> None:
        """Keep one batch."""
        self.items.extend(batch)

    def shutdown(self) -> None:
        """Nothing is open."""


def _readable(events: Sequence[SafetyEvent], resource: Mapping[str, AttributeValue]) -> list[Any]:
    """Events in the form that this SDK's exporters take."""
    logs = importlib.import_module("opentelemetry.sdk._logs")
    export = importlib.import_module("opentelemetry.sdk._logs.export")
    resources = importlib.import_module("opentelemetry.sdk.resources")
    collected = _Collected()
    provider = logs.LoggerProvider(resource=resources.Resource(dict(resource)), shutdown_on_exit=False)
    provider.add_log_record_processor(export.SimpleLogRecordProcessor(collected))
    for event in events:
        provider.get_logger(event.scope).emit(log_record(event))
    return collected.items
