"""Of everybody's calls that needed an identifier, how many carried one: read from files, or counted by Loki."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.operations.report.build import LOOKS, Window
from openai_safety_otel.operations.report.formats import iso
from openai_safety_otel.operations.store import case_questions
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.loki import EVERYTHING, Loki
from openai_safety_otel.operations.store.schema import RETENTION_DAYS

_BY: Final = case_questions.DELIVERED_BY
_CALLS: Final = f'{EVERYTHING} | event_name="{c.CALL_EVENT}"'
_KEPT_SECONDS: Final = RETENTION_DAYS["completed"] * 86_400

# How many calls there were by source and delivery of the identifier, and endpoint.
Counts = Iterable[tuple[tuple[str, ...], int]]


def coverage_in_files(events: Events, window: Window) -> dict[str, Any]:
    """Coverage in the events of everybody."""
    rows = events.rows(case_questions.DELIVERED, **window.bound)
    return _coverage(((tuple(row[name] for name in _BY), row["calls"]) for row in rows), window)


def coverage_in_loki(loki: Loki, window: Window) -> dict[str, Any]:
    """The same, counted by Loki, as far back as it keeps completed calls: the others alone would say nothing.

    Raises:
        LokiError: Loki cannot be reached or refuses the query.
    """
    since = max(window.since, window.until - _KEPT_SECONDS)
    counts = loki.counted(_BY, _CALLS, since, window.until)
    return _coverage(counts, Window(since, window.until, window.traffic))


def _coverage(counts: Counts, window: Window) -> dict[str, Any]:
    calls = needed = sent = 0
    for (source, delivery, endpoint), number in counts:
        calls += number
        if (
            source in vocabulary.UNCOVERED_SOURCES
            or endpoint in LOOKS
            or delivery not in vocabulary.COVERED_DELIVERIES
        ):
            continue
        needed += number
        sent += number if delivery == "sent" else 0
    return {
        "since": iso(window.since),
        "until": iso(window.until),
        "calls": calls,
        "needed_an_identifier": needed,
        "sent": sent,
        "share": sent / needed if needed else None,
    }
