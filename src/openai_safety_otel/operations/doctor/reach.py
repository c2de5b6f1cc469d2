"""Where telemetry goes: exporters, their addresses, and limits that would cut what we emit."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.settings import Settings, environment
from openai_safety_otel.instrumentation.signals.exporters import SDK_DISABLED, otlp_address, sdk_disabled
from openai_safety_otel.operations.doctor import Finding, FindingState

_SIGNALS = ("TRACES", "METRICS", "LOGS")
_SECONDS = 1.0
_OTLP = ("otlp", "otlp_proto_grpc", "otlp_proto_http")
_SAMPLES_NOTHING = ("always_off", "parentbased_always_off")
# Below these the widest event or an identifier would be cut.
_LIMITS = {
    "OTEL_ATTRIBUTE_COUNT_LIMIT": 128,
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": 128,
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": 128,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": 64,
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": 64,
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": 64,
}


def limits(settings: Settings) -> Iterator[Finding]:
    """OpenTelemetry limits that are too small for what we emit."""
    for name, least in _LIMITS.items():
        text = environment(name) or ""
        if text.strip().isdigit() and int(text) < least:
            yield Finding("limits", "fail", f"{name}={text} cuts our telemetry", f"set it to {least} or more")


def exporters(settings: Settings) -> Iterator[Finding]:
    """Whether each signal has an exporter, and whether something listens at its address."""
    if sdk_disabled():
        text = f"{SDK_DISABLED}=true: spans, metrics and events go nowhere"
        yield Finding("exporters", "fail", text, f"unset {SDK_DISABLED}")
        return
    configured = environment("OTEL_CONFIG_FILE") or environment("OTEL_EXPERIMENTAL_CONFIG_FILE")
    if configured:
        yield from _configuration(configured)
        return
    for signal in _SIGNALS:
        for name in _named(environment(f"OTEL_{signal}_EXPORTER") or "otlp"):
            yield _exporter(signal, name.lower(), settings)
    if (environment("OTEL_TRACES_SAMPLER") or "").strip().lower() in _SAMPLES_NOTHING:
        yield Finding(
            "exporters", "note", "OTEL_TRACES_SAMPLER leaves out every span; events and metrics stay"
        )


def loading(settings: Settings) -> Iterator[Finding]:
    """Whether `opentelemetry-instrument` would load us."""
    off = _named(environment("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS") or "")
    if {"openai_safety", "*"} & set(off):
        text = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches openai_safety off: nothing is recorded"
        yield Finding("hooks", "fail", text, "take it off that list")


def _named(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _configuration(path: str) -> Iterator[Finding]:
    if Path(path).is_file():
        text = f"declarative configuration: {path}; not examined further"
        yield Finding("exporters", "note", text)
    else:
        yield Finding("exporters", "fail", f"there is no declarative configuration {path}")


def _exporter(signal: str, name: str, settings: Settings) -> Finding:
    events_elsewhere = signal == "LOGS" and (settings.file_dir or settings.stdout_events)
    if name == "none":
        known: FindingState = "note" if events_elsewhere else "fail"
        text = f"OTEL_{signal}_EXPORTER=none: this signal goes nowhere"
        return Finding("exporters", known, text, f"set OTEL_{signal}_EXPORTER=otlp")
    if not entry_points(group=f"opentelemetry_{signal.lower()}_exporter", name=name):
        text = f"OTEL_{signal}_EXPORTER={name}: no such exporter is installed"
        return Finding("exporters", "fail", text, f"{install('otlp')}, or mend the name")
    if name not in _OTLP:
        return Finding("exporters", "ok", f"{signal.lower()}: {name}")
    address = otlp_address(signal.lower(), name)
    if listens(address):
        return Finding("exporters", "ok", f"{signal.lower()}: {name} to {address}")
    state: FindingState = "warn" if events_elsewhere else "fail"
    mend = "start the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT"
    return Finding("exporters", state, f"{signal.lower()}: nothing listens at {address}", mend)


def listens(address: str) -> bool:
    """Whether something takes connections at a URL's or an address's port."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "localhost", port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True
