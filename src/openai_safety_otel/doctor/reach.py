"""Where telemetry goes: exporters, their addresses, and limits that would cut what we emit."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from openai_safety_otel.doctor.finding import Finding, State
from openai_safety_otel.settings import Settings, environment

_SIGNALS = ("TRACES", "METRICS", "LOGS")
_DEFAULTS = {"grpc": "http://localhost:4317"}
_HTTP = "http://localhost:4318"
_SECONDS = 1.0
# Below these the widest event or an identifier would be cut.
_LIMITS = {
    "OTEL_ATTRIBUTE_COUNT_LIMIT": 128,
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": 128,
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": 128,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": 64,
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": 64,
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": 64,
}


def limits() -> Iterator[Finding]:
    """OpenTelemetry limits that are too small for what we emit."""
    for name, least in _LIMITS.items():
        text = environment(name) or ""
        if text.strip().isdigit() and int(text) < least:
            yield Finding("limits", "fail", f"{name}={text} cuts our telemetry", f"set it to {least} or more")


def exporters(settings: Settings) -> Iterator[Finding]:
    """Whether each signal has an exporter, and whether something listens at its address."""
    configured = environment("OTEL_CONFIG_FILE") or environment("OTEL_EXPERIMENTAL_CONFIG_FILE")
    if configured:
        yield Finding("exporters", "note", f"declarative configuration: {configured}; not examined further")
        return
    for signal in _SIGNALS:
        yield _exporter(signal, settings)


def _exporter(signal: str, settings: Settings) -> Finding:
    name = (environment(f"OTEL_{signal}_EXPORTER") or "otlp").strip().lower()
    events_elsewhere = signal == "LOGS" and (settings.file_dir or settings.stdout_events)
    if name == "none":
        known: State = "note" if events_elsewhere else "fail"
        text = f"OTEL_{signal}_EXPORTER=none: this signal goes nowhere"
        return Finding("exporters", known, text, f"set OTEL_{signal}_EXPORTER=otlp")
    if not name.startswith("otlp"):
        return Finding("exporters", "ok", f"{signal.lower()}: {name}")
    address = _endpoint(signal, name)
    if _listens(address):
        return Finding("exporters", "ok", f"{signal.lower()}: {name} to {address}")
    state: State = "warn" if events_elsewhere else "fail"
    mend = "start the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT"
    return Finding("exporters", state, f"{signal.lower()}: nothing listens at {address}", mend)


def _endpoint(signal: str, exporter: str) -> str:
    protocol = (
        environment(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
        or environment("OTEL_EXPORTER_OTLP_PROTOCOL")
        or ("http" if exporter.endswith("http") else "grpc")
    )
    given = environment(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or environment("OTEL_EXPORTER_OTLP_ENDPOINT")
    return given or _DEFAULTS.get(protocol.partition("/")[0], _HTTP)


def _listens(address: str) -> bool:
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "localhost", port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True
