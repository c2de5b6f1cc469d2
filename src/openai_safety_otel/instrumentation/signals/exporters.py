"""The one place that chooses OTLP exporters: for the app's own pipeline, the commands and the receiver."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Literal

from openai_safety_otel.contract.settings import environment

Signal = Literal["logs", "metrics"]
SDK_DISABLED = "OTEL_SDK_DISABLED"

# As in the SDK: gRPC where no protocol is named. HTTP takes its place where only that one is installed.
_BY_PROTOCOL = {"grpc": ("otlp_proto_grpc",), "http/protobuf": ("otlp_proto_http",)}
_DEFAULT_ADDRESS = {"grpc": "http://localhost:4317", "http": "http://localhost:4318"}
_EITHER = ("otlp_proto_grpc", "otlp_proto_http")


def sdk_disabled() -> bool:
    """Whether ``OTEL_SDK_DISABLED`` switches all telemetry off, in any spelling that the SDK accepts."""
    return (environment(SDK_DISABLED) or "").strip().lower() == "true"


def endpoint_named(signal: str) -> str | None:
    """The OTLP endpoint that the environment names for this signal, if any."""
    return _standard(signal, "ENDPOINT")


def otlp_address(signal: str, exporter: str) -> str:
    """The address that an OTLP exporter (by its entry point's name) sends a signal to, as the SDK works it out."""
    protocol = _standard(signal, "PROTOCOL") or ("http" if exporter.endswith("http") else "grpc")
    return endpoint_named(signal) or _DEFAULT_ADDRESS["grpc" if protocol == "grpc" else "http"]


def _standard(signal: str, what: str) -> str | None:
    """A variable of OpenTelemetry's exporters: the signal's own, else the one of all."""
    own = environment(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}")
    return own or environment(f"OTEL_EXPORTER_OTLP_{what}")


def exporter_class(signal: Signal) -> Callable[[], Any] | None:
    """The OTLP exporter that the standard variables name for a signal.

    None where it is not installed, where the SDK is disabled, and where ``OTEL_<SIGNAL>_EXPORTER`` names
    others only, or ``none``.
    """
    if sdk_disabled():
        return None
    for name in _names(signal):
        for found in entry_points(group=f"opentelemetry_{signal}_exporter", name=name):
            try:
                # Loaded now, so that no import runs in the background while the process forks.
                importlib.import_module(f"opentelemetry.sdk.{_MODULES[signal]}.export")
                made: Callable[[], Any] = found.load()
            except ImportError:
                continue
            return made
    return None


_MODULES = {"logs": "_logs", "metrics": "metrics"}


def _names(signal: Signal) -> tuple[str, ...]:
    upper = signal.upper()
    asked = (environment(f"OTEL_{upper}_EXPORTER") or "").strip() or "otlp"
    words = [word.strip() for word in asked.split(",")]
    exact = tuple(name for name in _EITHER if name in words)
    if exact or "otlp" not in words:
        return exact
    return _BY_PROTOCOL.get((_standard(signal, "PROTOCOL") or "").strip(), _EITHER)


def within(seconds: float, act: Callable[[], Any]) -> bool:
    """Run ``act`` for ``seconds`` at most; whether it ended. The SDK does not keep its own time limits."""
    worker = threading.Thread(target=act, name="openai-safety-flush", daemon=True)
    try:
        worker.start()
    except RuntimeError:  # the interpreter is ending and starts no threads
        act()
        return True
    worker.join(seconds)
    return not worker.is_alive()
