"""`queue`: identifiers with flags or blocks about which nobody has decided yet."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from typing import Any, Final

import click

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.decisions import ACTIONS
from openai_safety_otel.ledger.journal import Decision, Notice
from openai_safety_otel.operations.cli.journal import reading
from openai_safety_otel.operations.cli.output import say, show, warn
from openai_safety_otel.operations.cli.sources import EventSource, open_place, parse_past, source_options
from openai_safety_otel.operations.report.activity import short
from openai_safety_otel.operations.store import questions
from openai_safety_otel.operations.store.loki import NOTABLE


@click.command(
    epilog="\b\nExamples:\n  openai-safety queue\n  openai-safety queue --since 30d --files ./events --json\n"
)
@click.option("--since", default="7d", show_default=True, help="A span (12h, 7d, 4w) or an ISO date (UTC).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@source_options
def queue(
    since: str,
    as_json: bool,
    place: EventSource,
) -> None:
    """List identifiers with flags or blocks about which nobody has decided yet, the worst first.

    The order: blocked by the provider, then most enforcement blocks, most flags, highest score. A block told by
    wording alone counts once three requests at OpenAI's own hosts were answered so. New enforcement
    after a decision brings an end user back to the top, with the decision beside it; whoever was cleared, or
    whose decision has run out, comes back when anything newer happens.
    """
    settings, begin = Settings.resolve(), parse_past(since, time.time())
    with reading(settings.store) as journal:
        notices, decisions = (journal.notices(), journal.decisions()) if journal else ([], [])
    with open_place(place, settings, since=begin, query=NOTABLE) as events:
        found = events.rows(questions.WAITING, since=int(begin * 1e9), since_day=moments.day(begin))
    waiting = undecided(with_notices(found, notices, begin), decisions)
    _print(waiting, as_json=as_json)


def with_notices(
    found: list[dict[str, Any]], notices: Iterable[Notice], begin: float
) -> list[dict[str, Any]]:
    """Add what the provider told by notice about an identifier, perhaps in an API that we saw nothing of."""
    rows = {row["identifier"]: {**_NOTHING, **row} for row in found}
    for notice in notices:
        known_at = notice.known_at
        recent = known_at >= begin and notice.traffic == "production"
        if notice.type in _NOTICES and notice.identifier and recent:
            row = rows.setdefault(notice.identifier, {**_NOTHING, "identifier": notice.identifier})
            row["blocked_by_provider"] |= notice.type == "identifier_blocked"
            row["notice"] = max(row["notice"], notice.type, key=_NOTICES.index)
            row["last_seen"] = max(row["last_seen"], known_at)
            row["last_enforcement"] = max(row["last_enforcement"] or 0.0, known_at)
    return sorted(rows.values(), key=_worst_first)


_NOTICES: Final = ("", "warning", "identifier_blocked", "deactivation")  # the worst last
_NOTHING: Final[dict[str, Any]] = {
    "identifier": "",
    "enforcement_blocks": 0,
    "filter_blocks": 0,
    "flagged": 0,
    "blocked_by_provider": False,
    "notice": "",
    "highest_score": 0.0,
    "last_seen": 0.0,
    "last_enforcement": None,
    "decision": None,
}


def _worst_first(row: dict[str, Any]) -> tuple[Any, ...]:
    blocked = row["blocked_by_provider"] or row["notice"] == "deactivation"
    worse = (blocked, row["enforcement_blocks"], row["flagged"], row["highest_score"])
    return (*(-value for value in worse), row["identifier"])


def undecided(found: list[dict[str, Any]], decisions: list[Decision]) -> list[dict[str, Any]]:
    """Those about whom nothing is decided that counts, in order; new enforcement after a decision comes first.

    A decision settles what was before it and, while it lasts, everything but new enforcement.
    """
    last = {one.identifier: one for one in decisions if one.action in ACTIONS}
    again, fresh = [], []
    for row in found:
        decision = last.get(row["identifier"])
        if decision is None:
            fresh.append(row)
        elif (row["last_enforcement"] or 0.0) > decision.at:
            again.append({**row, "decision": _beside(decision)})
        elif row["last_seen"] > (decision.at if decision.action == "clear" else decision.until or math.inf):
            fresh.append({**row, "decision": _beside(decision)})
    return again + fresh


def _beside(decision: Decision) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in ("action", "by", "at", "until")}


def _print(waiting: list[dict[str, Any]], *, as_json: bool) -> None:
    warn(f"{len(waiting)} waiting for a decision")
    if as_json:
        for row in waiting:
            say(json.dumps(row))
        return
    names = ("identifier", "provider", "enforced", "filter", "flagged", "score", "last seen", "decided")
    show(names, map(_cells, waiting))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        short(row["identifier"]),
        "BLOCKED" if row["blocked_by_provider"] else row["notice"].upper(),
        str(row["enforcement_blocks"]),
        str(row["filter_blocks"]),
        str(row["flagged"]),
        f"{row['highest_score']:.2f}",
        moments.minute(row["last_seen"]),
        _decided(row["decision"]),
    )


def _decided(decision: dict[str, Any] | None) -> str:
    if decision is None:
        return ""
    return f"{decision['action']} by {decision['by']} on {moments.minute(decision['at'])}"
