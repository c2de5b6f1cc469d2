"""`queue`: identifiers with flags or blocks about which nobody has decided yet."""

from __future__ import annotations

import json
import sys
import time
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table

from openai_safety_otel import conventions as c
from openai_safety_otel.decisions import DecisionError, decided, parse_until
from openai_safety_otel.journal import JournalError, open_journal
from openai_safety_otel.settings import Settings
from openai_safety_otel.store.schema import column_name

if TYPE_CHECKING:
    from openai_safety_otel.store.events import Events

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
ORDER BY blocked_by_provider DESC, enforcement_blocks DESC, flagged DESC, highest_score DESC, identifier
"""  # noqa: S608 - names of our own contract


@click.command(
    epilog="\b\nExamples:\n  openai-safety queue\n  openai-safety queue --since 30d --files ./events --json\n"
)
@click.option(
    "--since", default="7d", show_default=True, metavar="AGE", help="How far back to look: 24h, 7d."
)
@click.option(
    "--files",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Event files or folders; default: OPENAI_SAFETY_FILE_DIR.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def queue(since: str, paths: tuple[Path, ...], as_json: bool) -> None:
    """List identifiers with flags or blocks about which nobody has decided yet, the worst first.

    The order: blocked by the provider, then most enforcement blocks, most flags, highest score. What was
    decided once, `clear` included, stays out until something newer happens.
    """
    settings = Settings.resolve()
    try:
        now = time.time()
        age = parse_until(since, now) - now
        journal = open_journal(settings.store)
        with _events(settings, paths) as events:
            found = events.rows(_WAITING, since=int((now - age) * 1e9))
        waiting = undecided(found, journal.decisions())
    except (DecisionError, JournalError, LookupError) as error:
        raise click.ClickException(str(error)) from None
    _print(waiting, as_json=as_json)


def undecided(found: list[dict[str, Any]], decisions: list[Any]) -> list[dict[str, Any]]:
    """Those without a decision, and those cleared before something new happened."""
    known = decided(decisions)
    cleared = {one.identifier: one.at for one in decisions if one.action == "clear"}
    last = {one.identifier: one.action for one in decisions if one.identifier in known}
    return [
        row
        for row in found
        if row["identifier"] not in known
        or (last[row["identifier"]] == "clear" and row["last_seen"] > cleared[row["identifier"]])
    ]


def _events(settings: Settings, paths: tuple[Path, ...]) -> AbstractContextManager[Events]:
    """Where events are read from: the one place to teach another source."""
    chosen = paths or ((Path(settings.file_dir),) if settings.file_dir else ())
    if not chosen:
        raise DecisionError("say where the events are: --files PATH or OPENAI_SAFETY_FILE_DIR")
    try:
        from openai_safety_otel.store.files import open_files  # noqa: PLC0415 - needs the report extra
    except ModuleNotFoundError as error:
        raise DecisionError(f"needs {error.name}: pip install 'openai-safety-otel[report]'") from None
    return open_files(chosen)


def _print(waiting: list[dict[str, Any]], *, as_json: bool) -> None:
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
    click.echo(f"{len(waiting)} waiting for a decision", err=True)
