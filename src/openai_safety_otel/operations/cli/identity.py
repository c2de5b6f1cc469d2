"""An identifier on the command line: resolved by one rule, and said in full where less was typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.decisions import ACTIONS
from openai_safety_otel.ledger.journal import is_written, open_journal
from openai_safety_otel.ledger.suspensions import open_suspensions
from openai_safety_otel.operations.cli.output import warn
from openai_safety_otel.operations.investigation.meant import (
    FindIdentifiers,
    among,
    in_events,
    in_loki,
    who_is_meant,
)

if TYPE_CHECKING:
    from openai_safety_otel.operations.store.events import Events


def meant(
    typed: str,
    settings: Settings,
    *,
    events: Events | None = None,
    paths: tuple[Path, ...] = (),
    loki_url: str | None = None,
    force: bool | None = False,
) -> str:
    """The identifier meant, in full: one that occurred in events, in the journal or on the suspension list.

    Args:
        typed: the identifier as typed: whole, in upper case, or its beginning (with or without ``…``).
        settings: where the journal, the list and, unless said otherwise, the events are.
        events: events that are open already; else ``paths`` and ``loki_url``, or the settings', are read.
        paths: event files and folders.
        loki_url: Loki's base URL.
        force: take an identifier that never occurred, too; None: the command cannot.

    Raises:
        click.ClickException: nobody or several are called so.
    """
    unread: list[str] = []
    places = _places(settings, events, paths, loki_url, unread)
    name = who_is_meant(typed, places, force=force, unread=unread)
    if name != typed:
        warn(f"meant: {name}")
    return name


def _places(
    settings: Settings,
    events: Events | None,
    paths: tuple[Path, ...],
    loki_url: str | None,
    unread: list[str],
) -> Iterator[FindIdentifiers]:
    """Where identifiers occur; a place that cannot be read is said, and goes to ``unread``."""
    yield among(_found("the journal", unread, lambda: _in_journal(settings)))
    yield among(_found("the suspension list", unread, lambda: _on_list(settings)))
    if events is not None:
        yield in_events(events)
        return
    folders = paths or ((Path(settings.file_dir),) if settings.file_dir else ())
    if folders:
        yield lambda beginning: _found("event files", unread, lambda: _in_files(folders, beginning))
    if url := loki_url or settings.loki_url:
        yield lambda beginning: _found("Loki", unread, lambda: in_loki(url)(beginning))


def _found(place: str, unread: list[str], find: Callable[[], Iterable[str]]) -> set[str]:
    """What is found in one place: nobody where it cannot be read, which is said."""
    try:
        return set(find())
    except ModuleNotFoundError:
        why = install("report")
    except OneLineError as error:
        why = str(error)
    warn(f"note: {place} cannot be read: {why}")
    unread.append(place)
    return set()


def _in_journal(settings: Settings) -> set[str]:
    if not is_written(settings.store):
        return set()
    with closing(open_journal(settings.store, to_read=True)) as journal:
        names = {one.identifier for one in journal.notices()}
        names |= {one.identifier for one in journal.decisions() if one.action in ACTIONS}
    return {name for name in names if name}


def _on_list(settings: Settings) -> Iterable[str]:
    return open_suspensions(settings.suspensions).entries() if settings.suspensions else ()


def _in_files(folders: tuple[Path, ...], beginning: str) -> set[str]:
    from openai_safety_otel.operations.store.files import open_files  # noqa: PLC0415 - optional package

    with open_files(folders) as events:
        return set(in_events(events)(beginning))
