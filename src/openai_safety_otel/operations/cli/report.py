"""`report`: who did what, how risky it was, where everybody stands."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console

from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.operations.cli.output import warn
from openai_safety_otel.operations.cli.sources import (
    EventSource,
    known_besides,
    open_place,
    parse_past,
    source_options,
    write_out,
)
from openai_safety_otel.operations.page.render import render_page
from openai_safety_otel.operations.report import formats
from openai_safety_otel.operations.report.activity import Report
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.report.table import render

BY = ("identifier", "category", "api", "model", "key", "day")
FORMATS = ("table", "json", "csv", "html", "parquet")
_TABLE_WIDTH = 200  # where standard output is no terminal


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety report --files events/\n"
    "  openai-safety report --since 30d --by api\n"
    "  openai-safety report --format html --out safety.html\n"
    "  openai-safety report --source loki --json | jq '.rows[0]'\n"
)
@click.option("--since", default="7d", show_default=True, help="A span (12h, 7d, 4w) or an ISO date (UTC).")
@click.option("--until", help="An ISO date or a span before now.  [default: now]")
@click.option(
    "--by", type=click.Choice(BY), default="identifier", show_default=True, help="One line for each."
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="[default: table]")
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option(
    "--traffic",
    type=click.Choice(["production", "redteam", "drill", "all"]),
    default="production",
    show_default=True,
    help="Which traffic counts.",
)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Lines of the table.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here, not to stdout.")
@source_options
def report(
    since: str,
    until: str | None,
    by: str,
    form: str | None,
    as_json: bool,
    traffic: str,
    top: int,
    out: Path | None,
    place: EventSource,
) -> None:
    """Report activity, scores, blocks and ladders, the riskiest first.

    Reads the events of OTLP JSON files or of Loki, and the notices, decisions and suspensions that the
    settings point to. Times are UTC.
    """
    now = time.time()
    end = parse_past(until, now) if until else now
    window = Window(parse_past(since, now), end, traffic)
    if window.since >= window.until:
        raise click.BadParameter("--since is after --until")
    chosen = "json" if as_json else form or "table"
    if chosen == "parquet" and out is None:
        raise click.UsageError("parquet needs --out FILE")
    settings = Settings.resolve()
    with open_place(place, settings) as events:
        found = build_report(events, window, known_besides(settings), by=by)
        _print(found, chosen, out, top)


def _print(found: Report, chosen: str, out: Path | None, top: int) -> None:
    if chosen == "table":
        _print_table(found, top, out)
    elif chosen == "parquet" and out is not None:
        formats.to_parquet(found, out)
        warn(f"wrote {out}")
    else:
        write = {"json": formats.to_json, "csv": formats.to_csv, "html": render_page}[chosen]
        write_out(write(found), out)


def _print_table(found: Report, top: int, out: Path | None) -> None:
    console = Console()
    if out or not console.is_terminal:
        console = Console(width=_TABLE_WIDTH, color_system=None)
        with console.capture() as captured:
            console.print(render(found, top=top))
        write_out("\n".join(line.rstrip() for line in captured.get().splitlines()), out)
        return
    console.print(render(found, top=top))
