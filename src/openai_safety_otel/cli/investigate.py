"""`investigate`: what one identifier did, where he stands, what he still can reach."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openai_safety_otel.cli.sources import (
    Place,
    known_besides,
    open_place,
    parse_past,
    progress_bar,
    source_options,
    warn,
)
from openai_safety_otel.investigation import applogs, evidence, stored
from openai_safety_otel.investigation.audit import AuditError, audit, shown, usable_hasher
from openai_safety_otel.investigation.case import Case, UnknownIdentifierError, open_case, resolve
from openai_safety_otel.investigation.casefile import CaseFileError, case_document, timeline_line, write_case
from openai_safety_otel.investigation.context import Source
from openai_safety_otel.report.build import Window
from openai_safety_otel.settings import Settings
from openai_safety_otel.store.files import NoEventFilesError
from openai_safety_otel.store.loki import LokiError

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


@dataclass(frozen=True, slots=True)
class Asked:
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
    "  openai-safety investigate IDENT --out case.zip --evidence --by ann --why 'case C-17'\n"
    "  openai-safety investigate IDENT --fetch-stored 2 --by ann --why 'case C-17' --out case.zip\n"
    "  openai-safety investigate IDENT --logs '/var/log/app/*.log' --logs '{service_name=\"web\"}'\n"
)
@click.argument("identifier")
@click.option("--since", default="30d", show_default=True, help="A span (12h, 7d) or an ISO date (UTC).")
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
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a case file (zip).")
@click.option("--last", type=click.IntRange(1), default=40, show_default=True, help="Events shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@source_options
def investigate(
    identifier: str,
    since: str,
    read_evidence: bool,
    evidence_from: str | None,
    fetch_stored: int | None,
    logs: tuple[str, ...],
    by: str | None,
    why: str | None,
    out: Path | None,
    last: int,
    as_json: bool,
    files: tuple[Path, ...],
    source: str | None,
    loki_url: str | None,
    copies: bool,
) -> None:
    """Show the timeline of IDENTIFIER, its standing, the APIs it still can reach, and its request context.

    IDENTIFIER may be the 64 hex characters, the beginning of them (8 or more), an identifier of the product's
    own scheme, or the raw value as the provider returned it. Content goes into the case file only.
    """
    settings = Settings.resolve()
    asked = Asked(read_evidence, evidence_from, fetch_stored, logs)
    now = time.time()
    window = Window(parse_past(since, now), now, "all")
    place = Place(source, files, loki_url, copies)
    try:
        name = shown(identifier, usable_hasher(settings))
        if asked.content and out is None and not as_json:
            raise click.UsageError("content goes into a case file: add --out FILE.zip")
        with open_place(place, settings) as events:
            name = resolve(events, name)
            if asked.content:
                what = {"evidence": asked.evidence, "stored": asked.stored is not None}
                audit(settings, name, "read", by=by, why=why, details=what)
            case = open_case(events, [name], window, known_besides(settings))
        case.sources = _context(case, asked, place, settings)
        if out:
            write_case(case, out)
    except (
        AuditError, CaseFileError, LokiError, NoEventFilesError, UnknownIdentifierError, stored.StoredError
    ) as error:  # fmt: skip
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(case_document(case), indent=2, ensure_ascii=False, default=str))
    else:
        _print(case, last)
    if out:
        warn(f"wrote {out}: it is about one person; delete it when the ticket is closed")


def _context(case: Case, asked: Asked, place: Place, settings: Settings) -> list[Source]:
    now_ns = int(case.until * 1e9)
    forms = [*case.forms, *case.linked]
    signals = case.signals
    sources = [_evidence(case, asked, place, settings, forms)]
    if asked.stored is None:
        sources.append(stored.NOT_ASKED)
    else:
        rows = stored.around(case.calls, signals, asked.stored)
        with progress_bar("asking the provider") as advance:
            sources.append(stored.fetch(rows, signals, now_ns, progress=advance))
    if not asked.logs:
        sources.append(applogs.NOT_ASKED)
    ids = applogs.ids_of(forms, case.calls)
    for pattern in asked.logs:
        if pattern.lstrip().startswith("{"):
            url = place.loki_url or settings.loki_url
            if not url:
                raise click.ClickException("LogQL needs --loki-url or OPENAI_SAFETY_LOKI_URL")
            sources.append(applogs.search_loki(url, pattern, ids, int(case.since * 1e9), now_ns))
        else:
            sources.append(applogs.search_files(pattern, ids, signals))
    return sources


def _evidence(case: Case, asked: Asked, place: Place, settings: Settings, forms: list[str]) -> Source:
    now_ns = int(case.until * 1e9)
    if not asked.evidence:
        return evidence.unread(case.timeline, case.signals, now_ns)
    apart = asked.evidence_from or ""
    if apart.startswith(("http://", "https://")) or (not apart and place.source == "loki"):
        url = apart or place.loki_url or settings.loki_url or ""
        items = list(evidence.from_loki(url, forms, int(case.since * 1e9), now_ns))
    else:
        paths = (Path(apart),) if apart else place.files or (Path(settings.file_dir or "."),)
        items = list(evidence.from_files(paths, forms))
    return evidence.read(items, case.signals, now_ns)


def _print(case: Case, last: int) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH, color_system=None)
    one = case.activity
    head = f"{case.identifier}\nStands at: {one.ladder.text}{', suspended' if one.suspended else ''}"
    console.print(Text(head))
    linked = f"   linked: {', '.join(case.linked)}" if case.linked else ""
    console.print(Text(f"API keys: {', '.join(one.keys) or 'none'}{linked}"))
    console.print(Text("Reaches:"))
    for reach in case.reach:
        console.print(Text(f"  {reach.api}: {reach.text}"))
    console.print(Text("Request context:"))
    for source in case.sources:
        console.print(Text(f"  {source.name}: {source.state}. {source.text}"))
    table = Table(header_style="bold")
    for name in ("time (UTC)", "event", "what", "outcome", "risk", "API key", "request, response, trace"):
        table.add_column(name, overflow="fold")
    for row in case.timeline[-last:]:
        line = timeline_line(row)
        cells = [line[name] for name in ("time", "event", "what", "outcome", "risk", "key", "ids")]
        table.add_row(*(Text(_clean(cell)) for cell in cells), style=_TONES[line["tone"]])
    console.print(table)
    if len(case.timeline) > last:
        warn(f"{len(case.timeline) - last:,} earlier events: --last, --json or --out")


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text)
