"""`batch identify` and `batch results`: identifiers into a batch's file, outcomes out of its results."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.replacing import replacing
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.signals.event import call_event
from openai_safety_otel.instrumentation.signals.standalone import EventOutput, event_output
from openai_safety_otel.ledger.journal import open_journal
from openai_safety_otel.ledger.suspensions import Unreadable, open_suspensions
from openai_safety_otel.ledger.suspensions.entry import strongest
from openai_safety_otel.operations.batch import (
    BatchError,
    Identified,
    Line,
    Results,
    identify_lines,
    read_asked,
    read_results,
    read_users,
)
from openai_safety_otel.operations.cli.output import progress_bar, say
from openai_safety_otel.who.keys import KeyProblemError, load_hasher, require_hasher

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_PIECE: Final = 1024 * 1024
_TOGETHER: Final = 1000  # events on their way at a time: fewer than any queue between here and there holds


@click.group()
def batch() -> None:
    """Batches go by file: put identifiers into one, and record what came of it."""


@batch.command(epilog="\b\nExample:\n  openai-safety batch identify in.jsonl out.jsonl --users users.csv\n")
@click.argument("source", metavar="IN", type=_FILE)
@click.argument("target", metavar="OUT", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--users", required=True, type=_FILE, help="CSV or JSON: custom_id to user.")
@click.option(
    "--skip-suspended", is_flag=True, help="Leave out lines of suspended users instead of stopping."
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON object.")
def identify(source: Path, target: Path, users: Path, skip_suspended: bool, as_json: bool) -> None:
    """Put each line's end user's identifier into the batch file IN, and write it to OUT.

    Lines for /v1/responses and /v1/chat/completions get a safety_identifier; one that is there is kept; other
    lines stay byte for byte. Nothing is written if a line is broken, or belongs to a suspended user.
    """
    settings, counts = Settings.resolve(), Identified()
    try:
        hasher = require_hasher(settings)
        known = read_users(users.read_text(encoding="utf-8-sig"))
        with replacing(target) as out, _reading(source) as lines:
            found = identify_lines(lines, known, hasher, counts, suspended=_suspended(settings))
            out.writelines(line.encode() for line in found)
            if not skip_suspended:
                _stop_for(counts.refused)
    except (BatchError, KeyProblemError, Unreadable, OSError) as error:
        raise click.ClickException(f"{error}; nothing was written") from None
    if as_json:
        say(json.dumps(asdict(counts)))
        return
    say(
        f"{counted(counts.added, 'line')} got an identifier, {counts.kept} had one, {counts.no_place} with no place "
        f"for one, {counts.no_user} with no user in the map, {len(counts.refused)} left out"
    )


@batch.command(
    epilog="\b\nExamples:\n  openai-safety batch results output.jsonl --input in.jsonl\n"
    "  openai-safety batch results errors.jsonl --input in.jsonl --json\n"
)
@click.argument("file", type=_FILE)
@click.option("--input", "given", type=_FILE, help="The batch's input file: says which API and whose line.")
@click.option("--users", type=_FILE, help="CSV or JSON: custom_id to user, where the lines name nobody.")
@click.option("--again", is_flag=True, help="Record a file that was recorded before once more.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each line.")
def results(file: Path, given: Path | None, users: Path | None, again: bool, as_json: bool) -> None:
    """Record the outcome of each line of a batch's result or error FILE, as an event like any call's."""
    settings, counts = Settings.resolve(), Results()
    try:
        journal, name = open_journal(settings.store), f"batch-results:{_digest(file)}"
        if not again:
            _stop_if_known(file, journal.fact(name))
        hasher = load_hasher(settings)
        asked = _asked(given)
        known = read_users(users.read_text(encoding="utf-8-sig")) if users else {}
        with event_output(settings) as told, _reading(file) as lines:
            read = read_results(lines, settings, hasher, counts, asked=asked, users=known)
            for line in _emitted(read, told):
                if as_json:
                    say(json.dumps(_plain(line)))
        _stop_if_none(file, counts)
        journal.set_fact(name, f"{moments.minute(time.time())} UTC")
    except OSError as error:
        raise click.ClickException(str(error)) from None
    if not as_json:
        for outcome, count in counts.outcomes.most_common():
            say(f"{outcome}: {count}")
        for block, count in counts.blocks.most_common():
            say(f"  {block}: {count}")
    _say(counts, told.problem)


def _stop_for(refused: list[str]) -> None:
    if refused:
        raise BatchError(
            f"{counted(len(refused), 'line')} of suspended users ({_some(refused)}); "
            "--skip-suspended leaves them out"
        )


def _stop_if_known(file: Path, before: str | None) -> None:
    if before:
        raise BatchError(f"{file} was recorded on {before}; --again counts it twice")


def _stop_if_none(file: Path, counts: Results) -> None:
    if counts.broken and not counts.outcomes:
        raise BatchError(f"{file} has no line of a batch's results: nothing was recorded")


def _emitted(lines: Iterator[Line], told: EventOutput) -> Iterator[Line]:
    """Emit each line's event, never more of them at a time than the queues on their way can hold."""
    for number, line in enumerate(lines, 1):
        told.sink.emit(call_event(line.record, line.outcome, (0, 0, 0)))
        if number % _TOGETHER == 0:
            told.flush()
        yield line


def _say(counts: Results, problem: str | None) -> None:
    if counts.nobody:
        say(
            f"note: {counted(counts.nobody, 'line')} without an end user; --input or --users may tell",
            err=True,
        )
    if counts.broken:
        say(f"note: {counted(counts.broken, 'line')} could not be read", err=True)
    if problem:
        say(f"note: {problem}", err=True)


def _plain(line: Line) -> dict[str, Any]:
    return {
        "custom_id": line.custom_id,
        "api": line.record.api,
        "identifier": line.record.identity.value,
        "outcome": line.outcome.name,
        "block_type": line.outcome.block_type,
        "block_code": line.outcome.block_code,
        "response_id": line.record.response_id,
        "request_id": line.record.provider_request_id,
    }


def _asked(path: Path | None) -> Any:
    if path is None:
        return {}
    with path.open(encoding="utf-8-sig") as lines:
        return read_asked(lines)


def _suspended(settings: Settings) -> Callable[[Iterable[str]], bool]:
    """Whether any form of a person is refused, by the list as it is now."""
    if not settings.suspensions:
        return lambda _: False
    update = open_suspensions(settings.suspensions).poll()
    rows = update.rows if update else {}

    def refused(forms: Iterable[str]) -> bool:
        entry = strongest([rows[form] for form in forms if form in rows])
        return entry is not None and entry.refuses

    return refused


@contextmanager
def _reading(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a file, with a progress bar on standard error where that is a terminal."""
    with path.open(encoding="utf-8", newline="") as file, progress_bar(path.name) as advance:
        total = path.stat().st_size

        def lines() -> Iterator[str]:
            done = 0
            for number, line in enumerate(file):
                yield line
                done += len(line)
                if number % _TOGETHER == 0:
                    advance(done, total)

        try:
            yield lines()
        except UnicodeDecodeError:
            raise BatchError(f"{path} is no text in UTF-8") from None


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()[:32]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")  # noqa: PLR2004 - enough to find them
