"""Metrics of a receiver that runs on its own, not under `opentelemetry-instrument`."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.metrics import MeterProvider, get_meter_provider

from openai_safety_otel.settings import environment

EXIT_SECONDS = 5.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@contextmanager
def measuring() -> Iterator[MeterProvider | None]:
    """The running SDK's meter provider, else one for the OTLP endpoint the environment names, else None.

    The last measurements are sent at the end; `EXIT_SECONDS` is the longest that is waited for it.
    """
    running = get_meter_provider()
    if hasattr(running, "force_flush"):
        yield running
        return
    own = _own_provider()
    try:
        yield own
    finally:
        if own is not None:
            # In a thread: the SDK's own timeouts are not kept where a collector hangs.
            last = threading.Thread(target=own.shutdown, daemon=True)
            last.start()
            last.join(EXIT_SECONDS)


def _own_provider() -> Any | None:
    if not any(environment(name) for name in _ENDPOINTS) or environment("OTEL_SDK_DISABLED") == "true":
        return None
    protocol = environment("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL") or environment(
        "OTEL_EXPORTER_OTLP_PROTOCOL"
    )
    kind = "grpc" if protocol == "grpc" else "http"
    exporter = f"opentelemetry.exporter.otlp.proto.{kind}.metric_exporter"
    try:
        metrics = importlib.import_module("opentelemetry.sdk.metrics")
        export = importlib.import_module("opentelemetry.sdk.metrics.export")
        otlp = importlib.import_module(exporter)
    except ModuleNotFoundError:
        return None
    reader = export.PeriodicExportingMetricReader(otlp.OTLPMetricExporter())
    return metrics.MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
