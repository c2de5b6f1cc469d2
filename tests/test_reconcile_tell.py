"""What a comparison leaves behind: measurements that an alert can read."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from openai_safety_otel.operations.reconcile.compare import Comparison, Source
from openai_safety_otel.operations.reconcile.tell import Gauges

FOUND = Comparison(
    0,
    7200,
    (
        Source("completions", "Shop", "web", "gpt-5", 100, 99, "matched"),
        Source("completions", "Shop", "jobs", "gpt-5", 80, 20, "dark", dark=60),
        Source("completions", "Shop", "lab", "gpt-5", 40, 40, "cannot_tell"),
        Source("embeddings", "", "old", "gpt-5", 10, 50, "ours_only"),
    ),
)


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data: Any = reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics if data else []
    return {one.name: list(one.data.data_points) for one in metrics}


def test_requests_by_ledger_and_verdict() -> None:
    """Nothing before the first comparison; then every series, those without requests at 0, and up to when."""
    reader = InMemoryMetricReader()
    with_reader = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    gauges = Gauges(with_reader)
    assert {} == points(reader)
    gauges.found = FOUND
    found = points(reader)
    values = {
        (point.attributes[c.USAGE_LEDGER], point.attributes[c.VERDICT]): point.value
        for point in found[instruments.RECONCILED.name]
    }
    assert {
        ("completions", "matched"): 119,
        ("completions", "dark"): 60,
        ("completions", "cannot_tell"): 40,
        ("embeddings", "matched"): 10,
        ("embeddings", "ours_only"): 40,
    } == {labels: value for labels, value in values.items() if value}
    assert 28 == len(values)
    assert [7200] == [point.value for point in found[instruments.RECONCILED_AT.name]]
    with_reader.shutdown()
