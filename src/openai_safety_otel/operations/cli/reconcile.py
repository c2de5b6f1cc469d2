"""`reconcile`: the provider's own count of requests beside our record."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.moments import HOUR, MINUTE, minute, span
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.settings import OPENAI_HOSTS, Settings, environment
from openai_safety_otel.instrumentation.signals.standalone import event_output, measuring
from openai_safety_otel.operations.cli.output import progress_bar, put, say, show, warn
from openai_safety_otel.operations.cli.sources import (
    EventSource,
    open_place,
    parse_past,
    source_options,
)
from openai_safety_otel.operations.investigation.audit import audit, usable_hasher
from openai_safety_otel.operations.percent import percent
from openai_safety_otel.operations.reconcile.compare import TOLERANCE, Comparison, Source, compare
from openai_safety_otel.operations.reconcile.keys import held_forms, read_keys, unknown
from openai_safety_otel.operations.reconcile.ours import BATCH_RUNS, BATCHES_MADE, batched, opened, recorded
from openai_safety_otel.operations.reconcile.provider import Administration, AdministrationError
from openai_safety_otel.operations.reconcile.tell import Gauges, comparison_events
from openai_safety_otel.who.keys import loose_permissions

SETTLED_SECONDS: Final = 15 * MINUTE  # the provider's books are late; so old a request is in them


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared with what."""

    since: str
    until: str | None
    place: EventSource
    keys: dict[str, str]


@click.command(
    epilog="\b\nExamples:\n"
    "  export OPENAI_ADMIN_KEY=sk-admin-…\n"
    "  openai-safety reconcile --by ann --why 'is everything seen?'\n"
    "  openai-safety reconcile --keys keys.txt --since 30d --json --by ann --why audit\n"
    "  openai-safety reconcile --keys keys.txt --every 1h --by cron --why hourly\n"
    "\b\nEach line of --keys is an API key's name or id at the provider, a blank and the key.\n"
)
@click.option("--since", default="24h", show_default=True, help="A span (12h, 7d, 4w) or an ISO date (UTC).")
@click.option("--until", help="An ISO date or a span before now.  [default: 15 minutes ago]")
@click.option(
    "--keys",
    "keys_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="API keys that you hold, to match by. They are hashed here, never sent, shown or kept.",
)
@click.option(
    "--admin-key-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file with the provider's admin key.  [default: OPENAI_ADMIN_KEY]",
)
@click.option("--every", metavar="SPAN", help="Compare again and again, so often (1h, 1d), until stopped.")
@click.option("--by", help="Who compares (for the audit trail).")
@click.option("--why", help="The reason (for the audit trail).")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Lines of the table.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a comparison.")
@source_options
def reconcile(
    since: str,
    until: str | None,
    keys_file: Path | None,
    admin_key_file: Path | None,
    every: str | None,
    by: str | None,
    why: str | None,
    top: int,
    as_json: bool,
    place: EventSource,
) -> None:
    """Compare our record with the provider's own count of requests: what is dark, the most first.

    Reads the administration API's usage ledgers and the stored events. The answer is an estimate with a
    tolerance; below an hour, or where calls may or may not be counted, it is "cannot tell". Leaves metrics, an
    event, and one for each dark source. See docs/reconcile.md.
    """
    settings = Settings.resolve()
    if every and until:
        raise click.UsageError("--every compares up to now: leave out --until")
    place = place.chosen(settings)
    asked = Compared(since, until, place, read_keys(keys_file) if keys_file else {})
    books = Administration(_admin_key(admin_key_file))
    pause = _span(every)
    for file in filter(None, (keys_file, admin_key_file)):
        if loose_permissions(str(file)):
            warn(f"{file}: others may read it (chmod 600)")
    audit(settings, "", "reconcile", by=by, why=why)
    signal.signal(signal.SIGTERM, _leave)
    with event_output(settings) as told, measuring(instance="reconcile") as meters:
        gauges = Gauges(meters)
        for now in _rounds(pause):
            if found := _compared(asked, settings, books, now, patient=bool(pause)):
                gauges.found = found
                for event in comparison_events(found, now):
                    told.sink.emit(event)
                told.flush()
                _print(found, top, as_json=as_json, lines=bool(pause))


def _admin_key(file: Path | None) -> str:
    try:
        key = file.read_text(encoding="utf-8") if file else environment("OPENAI_ADMIN_KEY")
    except (OSError, UnicodeDecodeError):
        raise AdministrationError(f"{file}: cannot be read") from None
    if not key or not key.strip():
        raise AdministrationError("give the provider's admin key: OPENAI_ADMIN_KEY or --admin-key-file FILE")
    return key.strip()


def _span(every: str | None) -> float:
    found = span(every) if every else 0.0
    if found is None or (every and found < MINUTE):
        raise click.BadParameter(f"--every {every}: give a span of a minute or more (30m, 1h, 1d)")
    return found


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _rounds(
    pause: float, clock: Callable[[], float] = time.time, wait: Callable[[float], None] = time.sleep
) -> Iterator[float]:
    """The time of each comparison: now, and then every ``pause`` seconds."""
    while True:
        now = clock()
        yield now
        if not pause:
            return
        wait(max(0.0, now + pause - clock()))


def window(since: str, until: str | None, now: float) -> tuple[float, float]:
    """Begin and end in whole hours, in whole minutes where that is less than one; both settled."""
    begin = parse_past(since, now)
    end = min(parse_past(until, now) if until else now, now - SETTLED_SECONDS)
    for step in (HOUR, MINUTE):
        whole = begin // step * step, end // step * step
        if whole[0] < whole[1]:
            return whole
    raise click.BadParameter("nothing to compare: the provider's count of the last 15 minutes is not settled")


def _compared(
    asked: Compared, settings: Settings, books: Administration, now: float, *, patient: bool
) -> Comparison | None:
    """One comparison; on a schedule, one that fails is said and left out."""
    try:
        return _compare(asked, settings, books, *window(asked.since, asked.until, now))
    except (OneLineError, click.ClickException) as error:
        if not patient:
            raise
        warn(error.message if isinstance(error, click.ClickException) else str(error))
        return None


def _compare(
    asked: Compared, settings: Settings, books: Administration, since: float, until: float
) -> Comparison:
    with progress_bar("asking the provider") as advance:
        counted = books.counted(since, until, advance)
        names = books.names({one.project for one in counted})
    for said in unknown(asked.keys, names, counted):
        warn(f"{said}: no API key of a project with traffic has this name or id")
    held = held_forms(asked.keys, names, usable_hasher(settings))
    hosts = {*OPENAI_HOSTS, *settings.inject_hosts, books.host}
    with open_place(asked.place, settings, since=since - HOUR) as events:
        ours, makers = recorded(events, since, until, hosts), batched(events, since, until)
        ran = opened(events, since, until)
    if asked.place.source == "loki":  # which was asked for no more than the window
        with open_place(asked.place, settings, since=since - BATCH_RUNS, query=BATCHES_MADE) as events:
            makers = batched(events, since, until)
    if counted and not ours:
        warn("our record has no call of this time: are these the right events?")
    return compare(
        counted, ours, since=since, until=until, held=held, names=names, batched=makers, opened=ran
    )


def _print(found: Comparison, top: int, *, as_json: bool, lines: bool) -> None:
    if as_json:
        put(json.dumps(found.as_json(), ensure_ascii=False, indent=None if lines else 2) + "\n")
        return
    for line in summary(found):
        say(line)
    show(
        ("verdict", "dark", "provider", "ours", "project", "API key", "model", "ledger", "why"),
        (_cells(one) for one in found.sources[:top]),
    )
    if len(found.sources) > top:
        warn(f"{len(found.sources) - top:,} more: --top or --json")


def summary(found: Comparison) -> Iterator[str]:
    """The answer in three lines."""
    share = (
        ""
        if found.share is None
        else f"; {percent(found.share)} of the provider's have one of ours beside them"
    )
    yield f"The provider counts {counted(found.provider, 'request')}, our record has {found.ours:,}{share}."
    untold = f" Cannot tell: {found.cannot_tell:,} of the provider's." if found.cannot_tell else ""
    yield f"Dark: {found.dark:,}.{untold}"
    yield f"From {minute(found.since)} to {minute(found.until)} UTC. An estimate, within {TOLERANCE}."


def _cells(one: Source) -> tuple[Any, ...]:
    model = f"{one.model} (batch)" if one.batch else one.model
    counts = (f"{one.dark:,}" if one.dark else "", f"{one.provider:,}", f"{one.ours:,}")
    verdict = one.verdict.replace("_", " ")
    return (verdict, *counts, one.project, one.key, model, one.ledger, one.why)
