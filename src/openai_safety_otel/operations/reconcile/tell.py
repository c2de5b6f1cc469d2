"""What a comparison leaves behind: one event, one for each source that does not match, and gauges for the alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, get_args

from opentelemetry.metrics import MeterProvider, get_meter

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.instrumentation.signals.metrics import Instruments, Measured
from openai_safety_otel.operations.reconcile.compare import Comparison, Source

MOST_UNMATCHED: Final = 100  # events of sources that are not dark; all dark ones have theirs


def comparison_events(found: Comparison, now: float) -> Iterator[SafetyEvent]:
    """The event of a comparison made now, then one for each dark source, and for the largest of the unmatched ones."""
    window: dict[str, AttributeValue] = {
        c.RECONCILE_SINCE: int(found.since),
        c.RECONCILE_UNTIL: int(found.until),
        c.TRAFFIC: "production",
    }
    at = int(now * 1e9)
    sums: dict[str, AttributeValue] = {
        c.RECONCILE_PROVIDER: found.provider,
        c.RECONCILE_OURS: found.ours,
        c.RECONCILE_DARK: found.dark,
        **({} if found.share is None else {c.RECONCILE_SHARE: found.share}),
    }
    said = f"the provider counts {counted(found.provider, 'request')}, {found.dark:,} not seen here"
    if found.cannot_tell:
        said += f", of {found.cannot_tell} it cannot be told"
    yield SafetyEvent(c.RECONCILIATION_EVENT, at, {**window, **sums}, said)
    dark = [one for one in found.sources if one.dark]
    unmatched = [one for one in found.sources if one.verdict in ("ours_only", "cannot_tell")]
    # A nanosecond apart: two events of the same time, without ids, are one that came twice.
    for number, one in enumerate((*dark, *unmatched[:MOST_UNMATCHED]), 1):
        yield _of_source(one, at + number, window)


def _of_source(one: Source, at: int, window: dict[str, AttributeValue]) -> SafetyEvent:
    facts: dict[str, AttributeValue] = {
        c.USAGE_LEDGER: one.ledger,
        c.VERDICT: one.verdict,
        c.RECONCILE_PROJECT: one.project,
        c.RECONCILE_KEY: one.key,
        c.REQUEST_MODEL: one.model,
        c.RECONCILE_PROVIDER: one.provider,
        c.RECONCILE_OURS: one.ours,
        c.RECONCILE_DARK: one.dark,
        c.RECONCILE_BATCH: one.batch,
        c.RECONCILE_WHY: one.why,
    }
    if one.dark:
        said = f"not seen here: {counted(one.dark, 'request')} of {one.key} ({one.project}) to {one.model}"
        return SafetyEvent(c.DARK_EVENT, at, {**window, **facts}, said, "WARN")
    theirs = counted(one.provider, "request")
    said = f"{one.key} ({one.project}) to {one.model}: the provider counts {theirs}, we {one.ours:,}"
    return SafetyEvent(c.UNMATCHED_EVENT, at, {**window, **facts}, said)


class Gauges:
    """The last comparison as measurements; every series is there, at 0, from the first one on."""

    def __init__(self, meters: MeterProvider | None) -> None:
        self.found: Comparison | None = None
        made = Instruments(get_meter(c.SCOPE, meter_provider=meters))
        made.gauge(instruments.RECONCILED, self._requests)
        made.gauge(instruments.RECONCILED_AT, self._time)

    def _requests(self) -> Iterable[Measured]:
        if self.found is None:
            return
        sums: Counter[tuple[str, str]] = Counter()
        for one in self.found.sources:
            if one.verdict == "cannot_tell":
                sums[one.ledger, "cannot_tell"] += one.provider
                continue
            sums[one.ledger, "matched"] += min(one.provider, one.ours)
            sums[one.ledger, "dark"] += one.dark
            sums[one.ledger, "ours_only"] += one.ours - one.provider if one.verdict == "ours_only" else 0
        for labels in product(get_args(vocabulary.UsageLedger), get_args(vocabulary.Verdict)):
            yield sums[labels], dict(zip(instruments.RECONCILED.labels, labels, strict=True))

    def _time(self) -> Iterable[Measured]:
        if self.found is not None:
            yield int(self.found.until), {}
