"""`investigate`: what one identifier did, where they stand, what they still can reach."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.operations.cli.identity import meant
from openai_safety_otel.operations.cli.output import progress_bar, put, warn
from openai_safety_otel.operations.cli.sources import (
    EventSource,
    known_besides,
    open_place,
    parse_past,
    source_options,
)
from openai_safety_otel.operations.investigation import applogs, evidence, stored
from openai_safety_otel.operations.investigation.appeal import appeal
from openai_safety_otel.operations.investigation.audit import audit, shown, usable_hasher
from openai_safety_otel.operations.investigation.case import HAPPENED, Case, open_case
from openai_safety_otel.operations.investigation.casefile import (
    document_parts,
    timeline_line,
    write_case,
)
from openai_safety_otel.operations.investigation.context import ContextSource
from openai_safety_otel.operations.investigation.coverage import coverage_in_files, coverage_in_loki
from openai_safety_otel.operations.report.build import Window
from openai_safety_otel.operations.report.table import printable
from openai_safety_otel.operations.store.case_questions import KINDS
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.loki import Loki, about, apis_in_loki, linked_in_loki

_TONES = {
    "blocked": "bold red",
    "enforcement": "red",
    "filter": "blue",
    "flagged": "yellow",
    "decided": "cyan",
    "local": "magenta",
    "organization": "bold magenta",
    "quiet": "",
}
_WIDTH = 200
_ROOM_FOR_IDS = 120
_COLUMNS = (
    ("time", "time (UTC)"),
    ("event", "event"),
    ("what", "what"),
    ("outcome", "outcome"),
    ("risk", "risk"),
    ("key", "API key"),
    ("ids", "request, response, trace"),
)
_MOST_SUMS = 40
_KIND_WORDS = {
    "blocked": "block",
    "flagged": "flag",
    "refused": "refusal",
    "failed": "failed call",
    "completed": "completed call",
}


@dataclass(frozen=True, slots=True)
class WantedContext:
    """Which context was asked for."""

    evidence: bool
    evidence_from: str | None
    stored: int | None
    logs: tuple[str, ...]

    @property
    def content(self) -> bool:
        """Whether content of a person is read: then it is audited."""
        return self.evidence or self.stored is not None


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety investigate 3f2a…\n"
    "  openai-safety investigate IDENT --only blocked,flagged --since 7d\n"
    "  openai-safety investigate IDENT --out case.zip --evidence --by ann --why 'case C-17'\n"
    "  openai-safety investigate IDENT --fetch-stored 2 --by ann --why 'case C-17' --out case.zip\n"
    "  openai-safety investigate IDENT --logs '/var/log/app/*.log' --logs '{service_name=\"web\"}'\n"
)
@click.argument("identifier")
@click.option("--since", default="30d", show_default=True, help="A span (12h, 7d) or an ISO date (UTC).")
@click.option(
    "--only",
    callback=lambda _, __, value: _kinds(value),
    metavar="KIND,…",
    help=f"Events of these kinds alone: {', '.join(KINDS)}.",
)
@click.option("--evidence", "read_evidence", is_flag=True, help="Read evidence events (audited).")
@click.option("--evidence-from", help="Where evidence is routed to, if apart: a folder or a Loki URL.")
@click.option(
    "--fetch-stored",
    type=click.IntRange(0, 20),
    metavar="N",
    help="Fetch what the provider stores of the N calls before and after each block or flag (audited).",
)
@click.option("--logs", multiple=True, help="The app's own logs: a glob, or LogQL that begins with {.")
@click.option("--by", help="Who looks (for the audit trail).")
@click.option("--why", help="The reason (for the audit trail).")
@click.option("--redress", help="How the end user can contest a decision, for its statement of reasons.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a case file (zip).")
@click.option("--last", type=click.IntRange(1), default=40, show_default=True, help="Events shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@source_options
def investigate(
    identifier: str,
    since: str,
    only: tuple[str, ...],
    read_evidence: bool,
    evidence_from: str | None,
    fetch_stored: int | None,
    logs: tuple[str, ...],
    by: str | None,
    why: str | None,
    redress: str | None,
    out: Path | None,
    last: int,
    as_json: bool,
    place: EventSource,
) -> None:
    """Show what happened to IDENTIFIER, its standing, the APIs it still can reach, and its request context.

    Blocks, flags, notices and decisions come first; all calls are summed by day, API and outcome.
    --out writes one zip to send: a page, the same as JSON, the timeline, reasons of each decision, coverage and
    reconciliation of the time, and a manifest of hashes.
    IDENTIFIER may be the 64 hex characters, the beginning of them (8 or more), an identifier of the product's
    own scheme, or the raw value as the provider returned it. Content goes into the case file only.
    """
    settings = Settings.resolve()
    asked = WantedContext(read_evidence, evidence_from, fetch_stored, logs)
    now = time.time()
    window = Window(parse_past(since, now), now, "all")
    place = place.chosen(settings)
    name = shown(identifier, usable_hasher(settings))
    if asked.content and out is None and not as_json:
        raise click.UsageError("content goes into a case file: add --out FILE.zip")
    with _open(name, place, settings) as (name, events, apis, loki):
        if asked.content:
            what = {"evidence": asked.evidence, "stored": asked.stored is not None}
            audit(settings, name, "read", by=by, why=why, details=what)
        case = open_case(events, name, window, known_besides(settings), only=only, apis=apis)
        case.sources = _context(case, asked, place, settings)
        if out or as_json:
            seen = coverage_in_loki(loki, window) if loki else coverage_in_files(events, window)
            case.appeal = appeal(case, settings, redress, seen)
        _give(case, out, last, as_json=as_json)
    if out:
        warn(f"wrote {out}: it is about one person; delete it when the ticket is closed")


def _give(case: Case, out: Path | None, last: int, *, as_json: bool) -> None:
    if out:
        write_case(case, out)
    if as_json:
        for part in document_parts(case):
            put(part)
    else:
        _print(case, last)


def _kinds(value: str | None) -> tuple[str, ...]:
    kinds = tuple(part.strip() for part in (value or "").split(",") if part.strip())
    for kind in kinds:
        if kind not in KINDS:
            raise click.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}")
    return kinds


@contextmanager
def _open(
    name: str, place: EventSource, settings: Settings
) -> Iterator[tuple[str, Events, list[str], Loki | None]]:
    """Who is meant, and the events: of files all, of Loki those that this identifier is part of, and others' APIs."""
    if place.source == "files":
        with open_place(place, settings) as events:
            yield meant(name, settings, events=events, force=True), events, [], None
        return
    name = meant(name, replace(settings, file_dir=None), loki_url=place.loki_url, force=True)
    with Loki(place.loki_url or "") as loki:
        forms, apis = {name, *linked_in_loki(loki, name)}, apis_in_loki(loki)
        with open_place(place, settings, query=about(forms, c.RECONCILIATION_EVENT)) as events:
            yield name, events, apis, loki


def _context(case: Case, asked: WantedContext, place: EventSource, settings: Settings) -> list[ContextSource]:
    now_ns = int(case.until * 1e9)
    sources = [_evidence(case, asked, place, settings)]
    if asked.stored is None:
        sources.append(stored.NOT_ASKED)
    else:
        rows = case.near(asked.stored, stored.APIS, stored.MOST)
        with progress_bar("asking the provider") as advance:
            sources.append(stored.fetch(rows, case.last_signal_ns, now_ns, advance))
    if not asked.logs:
        sources.append(applogs.NOT_ASKED)
    ids = case.ids() if asked.logs else []
    for pattern in asked.logs:
        if pattern.lstrip().startswith("{"):
            url = place.loki_url or settings.loki_url
            if not url:
                raise click.ClickException("LogQL needs --loki-url or OPENAI_SAFETY_LOKI_URL")
            sources.append(applogs.search_loki(url, pattern, ids, int(case.since * 1e9), now_ns))
        else:
            sources.append(applogs.search_files(pattern, ids, case.last_signal_ns))
    return sources


def _evidence(case: Case, asked: WantedContext, place: EventSource, settings: Settings) -> ContextSource:
    now_ns = int(case.until * 1e9)
    if not asked.evidence:
        apart = bool(asked.evidence_from) or place.source == "loki"
        return evidence.unread(case.totals["evidence"], case.last_signal_ns, now_ns, apart=apart)
    where, forms = asked.evidence_from or "", [case.identifier, *case.linked]
    if where.startswith(("http://", "https://")) or (not where and place.source == "loki"):
        url = where or place.loki_url or settings.loki_url or ""
        items = list(evidence.from_loki(url, forms, int(case.since * 1e9), now_ns))
    else:
        items = list(evidence.from_files((Path(where),) if where else place.files, forms))
    return evidence.read(items, case.last_signal_ns, now_ns)


def _print(case: Case, last: int) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=shutil.get_terminal_size((_WIDTH, 0)).columns, color_system=None)
    console.print(Text("\n".join(map(printable, _head(case)))))
    wide = console.width >= _ROOM_FOR_IDS
    title = "What happened" if wide else "What happened (keys and ids: --json, --out, or a wider terminal)"
    table = Table(header_style="bold", title=title, title_justify="left")
    columns = _COLUMNS if wide else _COLUMNS[:-2]
    for _, name in columns:
        table.add_column(name, overflow="fold")
    happened, count = case.happened(last)
    for row in happened:
        line = timeline_line(row)
        table.add_row(*(Text(printable(line[name])) for name, _ in columns), style=_TONES[line["tone"]])
    console.print(table if count else Text(_nothing(case)))
    if count > len(happened):
        warn(f"{counted(count - len(happened), 'earlier one')}: --last, --json or --out")
    console.print(_sums(case))
    if len(case.sums) > _MOST_SUMS:
        warn(f"{counted(len(case.sums) - _MOST_SUMS, 'earlier sum')}: --json or --out")


def _nothing(case: Case) -> str:
    *before, last = (_KIND_WORDS.get(kind, kind) for kind in case.only or HAPPENED)
    kinds = f"{', '.join(before)} or {last}" if before else last
    return f"No {kinds} is stored since {moments.minute(case.since)} UTC."


def _head(case: Case) -> Iterator[str]:
    one = case.activity
    yield case.identifier
    yield f"Stored from {moments.minute(case.since)} UTC on, in {case.events.origin}"
    yield f"Stands at: {one.ladder.text}{'; suspended' if one.suspended else ''}"
    linked = f"   linked: {', '.join(case.linked)}" if case.linked else ""
    yield f"API keys: {', '.join(one.keys) or 'none'}{linked}"
    yield "Reaches:"
    for reach in case.reach:
        yield f"  {reach.api}: {reach.text}"
    yield "Request context:"
    for source in case.sources:
        yield f"  {source.name}: {source.state}. {source.text}"


def _sums(case: Case) -> Table:
    table = Table("day", "API", "outcome", header_style="bold", title="All calls", title_justify="left")
    for name in ("calls", "flagged"):
        table.add_column(name, justify="right")
    for row in case.sums[:_MOST_SUMS]:
        words = (row["day"], row["api"], row["outcome"], f"{row['calls']:,}", f"{row['flagged']:,}")
        table.add_row(*(Text(printable(word)) for word in words))
    return table
