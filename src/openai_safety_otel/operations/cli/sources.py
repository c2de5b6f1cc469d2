"""What reading commands share: where events come from, what else is known, how time is given."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.replacing import replacing
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.journal import Decision, JournalError, Notice, is_written, open_journal
from openai_safety_otel.ledger.suspensions import Unreadable, open_suspensions
from openai_safety_otel.operations.cli.output import progress_bar, put, warn
from openai_safety_otel.operations.report.build import Known, from_journal
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.operations.store.loki import EVERYTHING, LOOK_BACK_DAYS, Loki
from openai_safety_otel.operations.store.oddities import read_past


@dataclass(frozen=True, slots=True)
class EventSource:
    """Where to read from, as the command line says it."""

    source: str | None
    files: tuple[Path, ...]
    loki_url: str | None
    compact: bool

    def chosen(self, settings: Settings) -> EventSource:
        """The same with its source, files and URL filled in: what was typed, else what is configured.

        Where both files and Loki are configured, files are the source; where only Loki is, Loki is.

        Raises:
            ClickException: neither says where the events are.
        """
        files = self.files or ((Path(settings.file_dir),) if settings.file_dir else ())
        url = self.loki_url or settings.loki_url
        typed = "files" if self.files else "loki" if self.loki_url else None
        source = self.source or typed or ("files" if files else "loki")
        if source == "loki" and not url and self.source:
            raise click.ClickException("say where Loki is: --loki-url URL, or OPENAI_SAFETY_LOKI_URL")
        if not (url if source == "loki" else files):
            raise click.ClickException(
                "say where the events are: --files DIR or OPENAI_SAFETY_FILE_DIR, "
                "--loki-url URL or OPENAI_SAFETY_LOKI_URL"
            )
        return EventSource(source, files, url, self.compact)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where events are; the command takes them as ``place``."""

    @wraps(command)
    def placed(
        *, files: tuple[Path, ...], source: str | None, loki_url: str | None, compact: bool, **rest: Any
    ) -> Any:
        return command(place=EventSource(source, files, loki_url, compact), **rest)

    for option in reversed(
        (
            click.option(
                "--files",
                multiple=True,
                type=click.Path(path_type=Path),
                help="An event file or a folder of them (may be repeated). [default: OPENAI_SAFETY_FILE_DIR]",
            ),
            click.option(
                "--source",
                type=click.Choice(["files", "loki"]),
                help="Where events are stored. [default: files where they are configured, else loki]",
            ),
            click.option("--loki-url", help="Loki's base URL. [default: OPENAI_SAFETY_LOKI_URL]"),
            click.option(
                "--compact/--no-compact",
                default=True,
                help="Take finished files into the column store of their folder first.",
            ),
        )
    ):
        placed = option(placed)
    return placed


@contextmanager
def open_place(
    place: EventSource, settings: Settings, *, since: float | None = None, query: str = EVERYTHING
) -> Iterator[Events]:
    """The events of a place; problems end in one line.

    ``since`` (Unix seconds) and ``query`` (LogQL) bound what Loki is asked; files are always read whole.
    """
    with progress_bar("reading events") as advance:
        events = _open(place.chosen(settings), since, query, advance)
    with events:
        for note in events.notes:
            warn(f"note: {note}")
        if problems := read_past(events.skipped.as_dict()):
            warn(f"{problems}; the rest was read")
        elif events.origin == "0 files" and not events.rows("SELECT 1 FROM events LIMIT 1"):
            places = ", ".join(str(path) for path in place.chosen(settings).files)
            warn(f"note: no event is stored in {places}: nothing can be told of calls")
        yield events


def _open(place: EventSource, since: float | None, query: str, advance: Callable[[int, int], None]) -> Events:
    if place.source == "files":
        return open_files(place.files, compact=place.compact, progress=advance)
    now = time.time()
    with Loki(place.loki_url or "") as loki:
        return loki.events(
            since or now - LOOK_BACK_DAYS * moments.DAY, now + 60, query=query, progress=advance
        )


def known_besides(settings: Settings) -> Known:
    """The journal's notices and decisions and the suspension list, where they exist."""
    notices: list[Notice] = []
    decisions: list[Decision] = []
    if is_written(settings.store):
        try:
            with closing(open_journal(settings.store, to_read=True)) as journal:
                notices, decisions = journal.notices(), journal.decisions()
        except JournalError as error:
            warn(f"notices and decisions come from events alone: {error}")
    known = from_journal(notices, decisions)
    return Known(known.notices, known.decisions, _suspended(settings))


def _suspended(settings: Settings) -> frozenset[str] | None:
    if not settings.suspensions:
        return None
    try:
        entries = open_suspensions(settings.suspensions).entries()
    except Unreadable as error:
        warn(f"the suspension list cannot be read, decisions speak for it: {error}")
        return None
    return frozenset(identifier for identifier, entry in entries.items() if entry.refuses)


def parse_past(text: str, now: float) -> float:
    """A moment in the past (Unix seconds): ``30m``, ``12h``, ``7d``, ``4w``, or an ISO date or time in UTC.

    Raises:
        click.BadParameter: it is none of these, or still to come.
    """
    if (seconds := moments.span(text)) is not None:
        return max(now - seconds, 0.0)  # before 1970 there is nothing
    try:
        moment = moments.instant(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a span (7d, 12h) nor an ISO date") from None
    if moment > now:
        raise click.BadParameter(f"{text!r} is in the future")
    return moment


def write_out(text: str, out: Path | None) -> None:
    """Data to a file, or to standard output; a reader that closed the pipe is not an error."""
    if out:
        try:
            _put_there(text, out)
        except OSError as error:
            raise click.ClickException(f"{out}: {error.strerror}") from None
        warn(f"wrote {out}")
        return
    put(text if text.endswith("\n") else f"{text}\n")


def _put_there(text: str, out: Path) -> None:
    """A whole file in one step; what is no file, a pipe or a device, is written to."""
    if out.exists() and not out.is_file():
        out.write_text(text, encoding="utf-8")
        return
    mask = os.umask(0o077)
    os.umask(mask)
    with replacing(out.resolve(), mode=0o666 & ~mask, keep=True) as written:
        written.write(text.encode())
