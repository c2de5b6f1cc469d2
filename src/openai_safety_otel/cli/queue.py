"""`queue`: identifiers with flags or blocks about which nobody has decided yet."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from openai_safety_otel import conventions as c
from openai_safety_otel.cli.sources import Place, open_place, parse_past, source_options, warn
from openai_safety_otel.decisions import ACTIONS
from openai_safety_otel.journal import Decision, JournalError, Notice, open_journal
from openai_safety_otel.settings import Settings
from openai_safety_otel.store.loki import NOTABLE
from openai_safety_otel.store.schema import column_name

_FLAGGED: Final = " OR ".join(f"coalesce({column_name(c.FLAGGED[d])}, false)" for d in c.DIRECTIONS)
_SCORE: Final = ", ".join(f"coalesce({column_name(c.MAX_SCORE[d])}, 0)" for d in c.DIRECTIONS)
_CLASS: Final = column_name(c.BLOCK_CLASS)
# Only what the provider or its moderation said, and only about real traffic; our own refusals are decisions.
_WAITING: Final = f"""
SELECT {column_name(c.USER_HASH)} AS identifier,
       count(*) FILTER ({_CLASS} = 'enforcement') AS enforcement_blocks,
       count(*) FILTER ({_CLASS} = 'filter') AS filter_blocks,
       count(*) FILTER ({_FLAGGED}) AS flagged,
       bool_or({column_name(c.BLOCK_TYPE)} = 'identifier_blocked') IS TRUE AS blocked_by_provider,
       max(greatest({_SCORE})) AS highest_score,
       max(time_ns) / 1000000000 AS last_seen
FROM events
WHERE event = '{c.CALL_EVENT}' AND time_ns >= $since AND {column_name(c.USER_HASH)} IS NOT NULL
      AND coalesce({column_name(c.TRAFFIC)}, 'production') = 'production'
      AND ({_CLASS} IN ('enforcement', 'filter') OR {_FLAGGED})
GROUP BY 1
"""  # noqa: S608 - names of our own contract


@click.command(
    epilog="\b\nExamples:\n  openai-safety queue\n  openai-safety queue --since 30d --files ./events --json\n"
)
@click.option("--since", default="7d", show_default=True, help="A span (12h, 7d, 4w) or an ISO date (UTC).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@source_options
def queue(
    since: str, as_json: bool, files: tuple[Path, ...], source: str | None, loki_url: str | None, copies: bool
) -> None:
    """List identifiers with flags or blocks about which nobody has decided yet, the worst first.

    The order: blocked by the provider, then most enforcement blocks, most flags, highest score. Whoever was
    cleared, or whose decision has run out, comes back when something newer happens.
    """
    settings, begin = Settings.resolve(), parse_past(since, time.time())
    place = Place(source, files, loki_url, copies)
    try:
        journal = open_journal(settings.store)
        notices, decisions = journal.notices(), journal.decisions()
    except JournalError as error:
        raise click.ClickException(str(error)) from None
    with open_place(place, settings, since=begin, query=NOTABLE) as events:
        found = events.rows(_WAITING, since=int(begin * 1e9))
    waiting = undecided(with_notices(found, notices, begin), decisions)
    _print(waiting, as_json=as_json)


def with_notices(
    found: list[dict[str, Any]], notices: Iterable[Notice], begin: float
) -> list[dict[str, Any]]:
    """Add what the provider told by notice: whom it blocked, perhaps in an API that we saw nothing of."""
    rows = {row["identifier"]: row for row in found}
    for notice in notices:
        recent = notice.received_at >= begin and notice.traffic == "production"
        if notice.type == "identifier_blocked" and notice.identifier and recent:
            row = rows.setdefault(notice.identifier, {"identifier": notice.identifier, **_NOTHING})
            row["blocked_by_provider"] = True
            row["last_seen"] = max(row["last_seen"], float(notice.received_at))
    return sorted(rows.values(), key=_worst_first)


_NOTHING: Final[dict[str, Any]] = {
    "enforcement_blocks": 0,
    "filter_blocks": 0,
    "flagged": 0,
    "blocked_by_provider": False,
    "highest_score": 0.0,
    "last_seen": 0.0,
}


def _worst_first(row: dict[str, Any]) -> tuple[Any, ...]:
    worse = (row["blocked_by_provider"], row["enforcement_blocks"], row["flagged"], row["highest_score"])
    return (*(-value for value in worse), row["identifier"])


def undecided(found: list[dict[str, Any]], decisions: list[Decision]) -> list[dict[str, Any]]:
    """Those without a decision, and those whose decision had ended before the newest thing happened."""
    ends: dict[str, float | None] = {}
    for one in decisions:
        if one.action in ACTIONS:
            ends[one.identifier] = one.at if one.action == "clear" else one.until
    return [row for row in found if not _settled(row, ends)]


def _settled(row: dict[str, Any], ends: dict[str, float | None]) -> bool:
    if row["identifier"] not in ends:
        return False
    end = ends[row["identifier"]]
    return end is None or bool(row["last_seen"] <= end)


def _print(waiting: list[dict[str, Any]], *, as_json: bool) -> None:
    warn(f"{len(waiting)} waiting for a decision")
    if as_json:
        for row in waiting:
            click.echo(json.dumps(row))
        return
    table = Table(
        "identifier", "provider", "enforcement", "filter", "flagged", "score", "last seen", box=None
    )
    for row in waiting:
        table.add_row(
            row["identifier"],
            "BLOCKED" if row["blocked_by_provider"] else "",
            str(row["enforcement_blocks"]),
            str(row["filter_blocks"]),
            str(row["flagged"]),
            f"{row['highest_score']:.2f}",
            datetime.fromtimestamp(row["last_seen"], tz=timezone.utc).strftime("%Y-%m-%d %H:%M"),
        )
    Console(file=sys.stdout, markup=False, soft_wrap=True).print(table)
