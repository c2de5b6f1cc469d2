"""Measurements with labels that come again and again: the SDK works out once to which series they belong.

For each measurement the SDK copies, cleans, sorts and hashes its labels to find the series that it has kept for them.
That is two thirds of what a measurement costs, and a recorded call has four. `Series` remembers what was found. The
measurement still passes the exemplar filter and the SDK's own aggregation. Wherever anything is not as it is known
here (another SDK, a series that is not kept, another reader), the instrument is told by its public way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from opentelemetry.context import Context

Labels = Mapping[str, Any]
Record = Callable[[float, Labels, Context | None], None]
_MAX_KEPT = 512

try:
    from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
    from opentelemetry.sdk.metrics._internal._view_instrument_match import _hash_attributes
    from opentelemetry.sdk.metrics._internal.measurement import Measurement
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.resources import Resource

    class _Clean(Measurement):
        """One whose labels are clean."""

        def __post_init__(self) -> None:
            """Nothing is to be cleaned."""

    _PUBLIC: tuple[Any, ...] = (Counter.add, Histogram.record)
except ImportError:  # no SDK, or one that keeps its series by other keys
    _PUBLIC = ()


class _Found(NamedTuple):
    """Where the SDK puts the measurements with these labels: nowhere known where ``places`` is empty.

    A place is a view's match, the key of the series there, and its aggregation.
    """

    labels: Labels  # held, so that no other object has its id
    storages: Any = None
    places: tuple[tuple[Any, Any, Any], ...] = ()


class Series:
    """Tells an instrument of measurements; labels are the same object each time, and never changed.

    Args:
        instrument: a counter or a histogram of the SDK.
        plain: its public way, ``add`` or ``record``.
    """

    def __init__(self, instrument: Any, plain: Record) -> None:
        self._instrument = instrument
        self._plain = plain
        self._found: dict[int, _Found] = {}

    def __call__(self, value: float, labels: Labels, context: Context | None) -> None:
        """Record a value, neither negative nor infinite."""
        found = self._found.get(id(labels))
        if found is None or not context or not self._holds(found):
            self._plain(value, labels, context)
            if found is None and len(self._found) < _MAX_KEPT:
                self._found[id(labels)] = self._find(labels)
            return
        now = time.time_ns()
        consumer = self._instrument._measurement_consumer  # noqa: SLF001 - `known` has looked whether it is what it was
        sampled = consumer._sdk_config.exemplar_filter.should_sample(value, now, labels, context)  # noqa: SLF001 - as above
        measured = _Clean(value, now, self._instrument, context, labels)
        for _, _, aggregation in found.places:
            aggregation.aggregate(measured, sampled)

    def _holds(self, found: _Found) -> bool:
        """Whether the SDK would find now what it found then."""
        instrument, places = self._instrument, found.places
        if not places or instrument._measurement_consumer._reader_storages is not found.storages:  # noqa: SLF001 - as above
            return False
        for match, key, aggregation in places:
            if match._attributes_aggregation.get(key) is not aggregation:  # noqa: SLF001 - as above
                return False
        return bool(instrument._is_enabled())  # noqa: SLF001 - as above

    def _find(self, labels: Labels) -> _Found:
        """Where the SDK has put what it was just told."""
        try:
            storages = self._instrument._measurement_consumer._reader_storages  # noqa: SLF001 - as above
            matches = [
                match
                for storage in storages.values()
                for match in storage._get_or_init_view_instrument_match(self._instrument)  # noqa: SLF001 - as above
            ]
            places = tuple(_place(match, labels) for match in matches)
        except Exception:  # noqa: BLE001 - an SDK that an app has changed: it is told by its public way
            return _Found(labels)
        return _Found(labels, storages, places)


def _place(match: Any, labels: Labels) -> tuple[Any, Any, Any]:
    """Where a view keeps the series of these labels.

    Raises:
        LookupError: it keeps none, or lets go of it at each collection.
    """
    names = match._view._attribute_keys  # noqa: SLF001 - as above
    key = _hash_attributes({name: labels[name] for name in labels if names is None or name in names})
    if getattr(match, "_reset_on_collect", False):
        raise LookupError(key)
    return match, key, match._attributes_aggregation[key]  # noqa: SLF001 - as above


def series(instrument: Any) -> Record:
    """How an instrument is told of measurements that have few label sets, each of them one object."""
    plain: Record = instrument.add if hasattr(instrument, "add") else instrument.record
    return Series(instrument, plain) if getattr(plain, "__func__", None) in _PUBLIC and known() else plain


_known: list[bool] = []


def known() -> bool:
    """Whether a reader sees the same of both ways; tried once, on a provider of our own."""
    if not _known:
        try:
            _known.append(bool(_PUBLIC) and _seen(Series) == _seen(lambda _, plain: plain))
        except Exception:  # noqa: BLE001 - whatever it is, it is not as known
            _known.append(False)
    return _known[0]


def _seen(way: Callable[[Any, Record], Record]) -> list[Any]:
    """What a reader sees after each of a few measurements."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], Resource({}), shutdown_on_exit=False).get_meter("known")
    counter, histogram = meter.create_counter("counter"), meter.create_histogram("histogram")
    seen: list[Any] = []
    for record in (way(counter, counter.add), way(histogram, histogram.record)):
        labels = {"b": "1", "a": "2"}
        for value in (1, 2, 3):
            record(value, labels, Context({"known": True}))
            seen.append(points(reader.get_metrics_data()))
    return seen


def points(data: Any) -> list[dict[str, Any]]:
    """All data points as plain values, without their times."""
    return [
        {name: value for name, value in vars(point).items() if not name.endswith("time_unix_nano")}
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
