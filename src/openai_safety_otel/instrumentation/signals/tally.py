"""Counters added up here and read when the SDK collects: an addition is a look-up instead of a measurement."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from openai_safety_otel.contract import conventions as c


class Tally:
    """One counter of the contract; its label sets are closed, so that it stays small. It has no exemplars."""

    def __init__(self, metric: c.Metric) -> None:
        self._names = metric.labels
        self._sums: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()

    def add(self, *values: str) -> None:
        """Count one more with these values of the labels, in their order; an empty one is left out."""
        with self._lock:
            self._sums[values] = self._sums.get(values, 0) + 1

    def read(self, _: CallbackOptions) -> Iterable[Observation]:
        """Every label set with its sum so far."""
        with self._lock:
            sums = list(self._sums.items())
        return [Observation(total, self._labels(values)) for values, total in sums]

    def _labels(self, values: tuple[str, ...]) -> dict[str, str]:
        return {name: value for name, value in zip(self._names, values, strict=True) if value}


# A provider takes the callback of an instrument once: whoever instruments again goes on with what is there.
_OF_PROVIDERS: weakref.WeakKeyDictionary[Any, dict[str, Tally]] = weakref.WeakKeyDictionary()
_OF_GLOBAL_PROVIDER: dict[str, Tally] = {}


def tally(metric: c.Metric, meter: Meter, provider: Any) -> Tally:
    """The tally of a metric at a provider (None: the global one), made when it is first asked for."""
    known = _OF_GLOBAL_PROVIDER
    if provider is not None:
        try:
            known = _OF_PROVIDERS.setdefault(provider, {})
        except TypeError:  # of a class that cannot be referred to weakly
            known = {}
    found = known.get(metric.name)
    if found is None:
        found = Tally(metric)
        meter.create_observable_counter(
            metric.name, callbacks=[found.read], unit=metric.unit, description=metric.doc
        )
        known[metric.name] = found
    return found
