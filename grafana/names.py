"""How the names of the contract are spelled in Prometheus and Loki; nothing here is a name of its own."""

from __future__ import annotations

import re
from typing import Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments

# The resource attributes that the shipped configuration turns into labels of every series and stream.
SERVICE: Final = "service_name"
ENVIRONMENT: Final = "deployment_environment_name"
BY: Final = f"{SERVICE}, {ENVIRONMENT}"

# Loki's index label, set in the collector from what an event says (collector-config/README.md).
STREAM: Final = "openai_safety_stream"
COMPLETED: Final = "completed"
NOTABLE: Final = "notable"
DECISION: Final = "decision"

# Fields that Loki itself adds to an entry received over OTLP.
TRACE_ID: Final = "trace_id"

# The collector's own metrics, as it serves them itself (no unit, no `_total`); checked against the real one.
QUEUE_SIZE: Final = "otelcol_exporter_queue_size"
QUEUE_CAPACITY: Final = "otelcol_exporter_queue_capacity"
UPTIME: Final = "otelcol_process_uptime"
UP: Final = "up"  # Prometheus' own: whether a target it knows answered the last scrape
MEMORY: Final = "otelcol_process_memory_rss"
ITEMS: Final = ("log_records", "spans", "metric_points")
ACCEPTED: Final = {item: f"otelcol_receiver_accepted_{item}" for item in ITEMS}
REFUSED: Final = {item: f"otelcol_receiver_refused_{item}" for item in ITEMS}
SENT: Final = {item: f"otelcol_exporter_sent_{item}" for item in ITEMS}
SEND_FAILED: Final = {item: f"otelcol_exporter_send_failed_{item}" for item in ITEMS}
ENQUEUE_FAILED: Final = {item: f"otelcol_exporter_enqueue_failed_{item}" for item in ITEMS}
COLLECTOR_METRICS: Final = frozenset(
    {QUEUE_SIZE, QUEUE_CAPACITY, UPTIME, MEMORY}
    | {name for table in (ACCEPTED, REFUSED, SENT, SEND_FAILED, ENQUEUE_FAILED) for name in table.values()}
)

_UNITS = {"s": "_seconds"}
_PARTS = {"histogram": ("_bucket", "_count", "_sum")}


def field(attribute: str) -> str:
    """An attribute as a Prometheus label or a field of Loki's structured metadata."""
    return re.sub(r"[^A-Za-z0-9]", "_", attribute)


def series(metric: instruments.Metric) -> str:
    """A metric's name after OTLP translation, without the suffix of a histogram's part."""
    ratio = "_ratio" if metric.kind == "gauge" and metric.unit == "1" else ""
    total = "_total" if metric.kind == "counter" else ""
    return metric.name.replace(".", "_") + _UNITS.get(metric.unit, "") + ratio + total


def every_series() -> frozenset[str]:
    """All series names that the contract's metrics can have in Prometheus."""
    return frozenset(
        series(metric) + part
        for metric in instruments.METRICS.values()
        for part in _PARTS.get(metric.kind, ("",))
    )


def every_field() -> frozenset[str]:
    """All labels and fields that the contract's attributes can have in Prometheus and Loki."""
    return frozenset(field(name) for name in c.ATTRIBUTES)
