"""What a comparison leaves behind: measurements that an alert can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from openai_safety_otel.operations.reconcile.compare import Comparison, Source
from openai_safety_otel.operations.reconcile.tell import Gauges, comparison_events
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.store.files import open_files
from support.events import NOON, write

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


def test_what_has_no_project_or_model_is_shown_without(tmp_path: Path) -> None:
    """A store keeps no empty texts (Loki): they come back as such, not as a word."""
    told = list(comparison_events(FOUND, NOON))
    for one in told:
        kept = {name: value for name, value in one.attributes.items() if value != ""}
        one.attributes.clear()
        one.attributes.update(kept)
    write(tmp_path, told)
    with open_files([tmp_path], compact=False) as events:
        found = build_report(events, Window(NOON - 1, NOON + 1)).comparison
    assert found is not None
    assert ("", "old") in {(one["project"], one["key"]) for one in found["sources"]}


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
