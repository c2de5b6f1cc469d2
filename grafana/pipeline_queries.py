"""PromQL about whether what happens also arrives."""

from __future__ import annotations

from grafana import names
from grafana.metric_queries import RANGE, RATE, counted, whole
from grafana.names import BY
from grafana.scope import Match, Scope, equal
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary


def dropped(at: Scope) -> str:
    """Items dropped in the instrumented processes, by signal and reason."""
    return counted(at.select(instruments.DROPPED), f"{names.field(c.SIGNAL)}, {names.field(c.REASON)}")


def dropped_in_range(at: Scope) -> str:
    """Items dropped in the instrumented processes; nothing at all where none reports."""
    return (
        f"round({whole(at.select(instruments.DROPPED), RANGE)}) or 0 * count({at.select(instruments.INFO)})"
    )


def processes(at: Scope, *matches: Match) -> str:
    """How many processes are watched; with matches: how many of them are so."""
    found = f"count(count by (job, instance) ({at.select(instruments.INFO, *matches)}))"
    return f"{found} or 0 * count({at.select(instruments.INFO)})" if matches else found


def released(at: Scope) -> str:
    """Versions of this package that a service did not run half an hour ago."""
    running = at.select(instruments.INFO)
    version = f"{names.SERVICE}, {names.field(c.VERSION)}"
    before = f"count by ({version}) ({running} offset 30m)"
    served = f"count by ({names.SERVICE}) ({running} offset 30m)"
    return f"count by ({version}) ({running}) unless {before} and on ({names.SERVICE}) {served}"


def versions(at: Scope) -> str:
    """Processes by service, package versions, key and hook state."""
    labels = ", ".join(names.field(name) for name in instruments.INFO.labels)
    return f"count by ({BY}, {labels}) ({at.select(instruments.INFO)})"


def suspensions_age(at: Scope) -> str:
    """Seconds since the suspension list was last read, the worst process of each service."""
    return f"max by ({names.SERVICE}) ({at.select(instruments.SUSPENSIONS_AGE)})"


def collectors(at: Scope, ago: str = "") -> str:
    """How many collectors report."""
    return f"count({at.not_ours(names.UPTIME)}{f' offset {ago}' if ago else ''})"


def queue_fill(at: Scope) -> str:
    """How full the collector's queues are (0 to 1), by exporter."""
    size, capacity = at.not_ours(names.QUEUE_SIZE), at.not_ours(names.QUEUE_CAPACITY)
    return f"max by (exporter) ({size} / {capacity})"


def collector_items(at: Scope, table: dict[str, str], item: str) -> str:
    """Items through all collectors."""
    return f"round(sum(increase({at.not_ours(table[item])}[{RATE}])))"


def lost_by_collectors(at: Scope, table: dict[str, str], window: str = RATE) -> str:
    """Items of any kind that the collectors counted in this table."""
    each = [
        f'label_replace(increase({at.not_ours(table[item])}[{window}]), "item", "{item}", "", "")'
        for item in names.ITEMS
    ]
    return f"round(sum({' or '.join(each)}))"


def lost_in_range(at: Scope) -> str:
    """Everything the collectors refused, could not send or not queue; nothing at all where none reports."""
    parts = [
        f"({lost_by_collectors(at, table, RANGE)} or 0 * {collectors(at)})"
        for table in (names.REFUSED, names.SEND_FAILED, names.ENQUEUE_FAILED)
    ]
    return " + ".join(parts)


def collector_memory(at: Scope) -> str:
    """Resident memory of each collector in bytes."""
    return f"max by (job, instance) ({at.not_ours(names.MEMORY)})"


_PAST = f"{BY}, {names.field(c.SERVER_ADDRESS)}, {names.field(c.API)}"


def past_the_sdk(at: Scope) -> str:
    """Requests to the provider that no record tells of, in each interval, by service, host and API."""
    return counted(at.select(instruments.UNSEEN), _PAST)


def who_talks_past_the_sdk(at: Scope) -> str:
    """The same in the whole range."""
    return f"round(sum by ({_PAST}) (increase({at.select(instruments.UNSEEN)}[{RANGE}])))"


def compared(at: Scope, verdict: vocabulary.Verdict, window: str = RANGE, by: str = "") -> str:
    """Requests of a verdict in the last comparison with the provider's count; the one who compares may end then."""
    last = f"last_over_time({at.select(instruments.RECONCILED, equal(c.VERDICT, verdict))}[{window}])"
    return f"sum by ({by}) (max by ({BY}, {names.field(c.USAGE_LEDGER)}) ({last}))"


def last_compared(at: Scope) -> str:
    """Up to when the last comparison looked, in Unix milliseconds."""
    return f"max(last_over_time({at.select(instruments.RECONCILED_AT)}[{RANGE}])) * 1000"
