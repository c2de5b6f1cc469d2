"""Series that are remembered read the same as those that the SDK looks up for each measurement."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from openai_safety_otel.instrumentation.signals import series as module
from openai_safety_otel.instrumentation.signals.series import Series, points, series

SPAN = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
CONTEXT: Context = set_span_in_context(NonRecordingSpan(SPAN))
DELTA: dict[type, Any] = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
# Views, and the temporality that readers prefer.
SETUPS: dict[str, tuple[list[View], dict[type, Any]]] = {
    "as it is": ([], {}),
    "fewer labels": ([View(instrument_name="*", attribute_keys={"a"})], {}),
    "two views": ([View(instrument_name="c", name="c1"), View(instrument_name="c", name="c2")], {}),
    "dropped": ([View(instrument_name="*", aggregation=DropAggregation())], {}),
    "exponential": ([View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation())], {}),
    "delta": ([], DELTA),
}


def told(setup: str, *, remembered: bool) -> list[Any]:
    """What two readers see of many measurements, exemplars included, one of them added between."""
    views, temporality = SETUPS[setup]
    readers = [InMemoryMetricReader(preferred_temporality=temporality) for _ in range(2)]
    provider = MeterProvider(readers, Resource({}), shutdown_on_exit=False, views=views)
    meter = provider.get_meter("m")
    counter, histogram = meter.create_counter("c"), meter.create_histogram("h")
    ways = [series(counter), series(histogram)] if remembered else [counter.add, histogram.record]
    labels = [{"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "3"}, {}]
    seen: list[Any] = []
    for turn in range(3):
        for way in ways:
            for number, one in enumerate(labels):
                way(turn + number, one, CONTEXT)
                way(number, one, None)
        if turn == 1:
            late = InMemoryMetricReader()
            if hasattr(provider, "add_metric_reader"):
                provider.add_metric_reader(late)
                readers.append(late)
        for reader in readers:
            data = reader.get_metrics_data()
            seen.append(_steady(points(data)) if data else None)
    return seen


def _steady(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A counter keeps one exemplar of many at random: whose trace it is, and not which value, is the same."""
    for point in found:
        kept = point["exemplars"]
        point["exemplars"] = {(one.trace_id, one.span_id, str(one.filtered_attributes)) for one in kept}
    return found


def test_this_sdk_is_known() -> None:
    """On every OpenTelemetry that the matrix has."""
    counter = MeterProvider(shutdown_on_exit=False).get_meter("m").create_counter("c")
    assert isinstance(series(counter), Series)


@pytest.mark.parametrize("setup", SETUPS)
def test_readers_see_the_same(setup: str) -> None:
    """With views, with each temporality, with a reader that comes later, with and without a context."""
    assert told(setup, remembered=False) == told(setup, remembered=True)


def test_a_series_is_looked_up_once() -> None:
    told_plainly: list[float] = []
    counter = (
        MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("m").create_counter("c")
    )

    def plain(value: float, *rest: Any) -> None:
        told_plainly.append(value)
        counter.add(value, *rest)

    way = Series(counter, plain)
    labels = {"a": "1"}
    for value in (1, 2, 3):
        way(value, labels, CONTEXT)
    assert [1] == told_plainly


def test_beyond_the_limit_of_series_the_sdk_decides() -> None:
    """A label set that shares the overflow's series is not remembered."""
    seen = []
    for remembered in (False, True):
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], Resource({}), shutdown_on_exit=False)
        counter = provider.get_meter("m").create_counter("c")
        way = series(counter) if remembered else counter.add
        many = [{"a": str(number)} for number in range(2001)]
        for labels in many + many[-3:]:
            way(1, labels, CONTEXT)
        seen.append(_steady(points(reader.get_metrics_data())))
    assert seen[0] == seen[1]


def test_an_unknown_sdk_is_told_by_its_public_way(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = MeterProvider(shutdown_on_exit=False).get_meter("m").create_counter("c")
    monkeypatch.setattr(module, "_known", [])
    monkeypatch.setattr(module, "_hash_attributes", lambda _: "another key")
    monkeypatch.setattr(module.Series, "_holds", lambda *_: True)
    assert series(counter) == counter.add
