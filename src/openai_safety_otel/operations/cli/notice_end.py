"""`notice close` and `notice reopen`: the end of a notice, and taking it back."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

import click

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.instrumentation.signals.standalone import event_output
from openai_safety_otel.ledger.journal import (
    Decision,
    Journal,
    Notice,
    from_mapping,
)
from openai_safety_otel.operations.cli.journal import existing
from openai_safety_otel.operations.cli.output import say
from openai_safety_otel.operations.webhooks.events import about, about_notice, notice_event

_F = TypeVar("_F", bound=Callable[..., Any])
KINDS = click.Choice(get_args(NoticeType))


def _signed(command: _F) -> _F:
    """The arguments of both commands."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the notice as one JSON object."),
        click.option("--store", help="SQLite file or redis:// URL. [default: OPENAI_SAFETY_STORE]"),
        click.option("--type", "kind", type=KINDS, help="Which one, where a case has several notices."),
        click.option("--why", required=True, help="The reason, for the audit trail."),
        click.option("--by", required=True, metavar="WHO", help="Who does it, for the audit trail."),
        click.argument("notice_id", metavar="ID"),
    ):
        command = option(command)
    return command


@click.command(epilog='\b\nExample:\n  openai-safety notice close C-17 --by ann --why "answered"\n')
@_signed
def close(
    notice_id: str, by: str, why: str, kind: NoticeType | None, store: str | None, as_json: bool
) -> None:
    """Close a notice that is dealt with; its deadline ends, and so do its alerts.

    A notice that is closed already is told as closed once more: its alerts go on where the first event was lost.
    """
    journal, settings = _opened(by, why, store)
    wanted = _one(_named(journal, notice_id, kind), notice_id, "open", "closed")
    ended = journal.close_notice(wanted.key, by=by.strip(), why=why.strip(), at=int(time.time()))
    found = ended or journal.notice(wanted.key) or wanted
    decision, chain = _closing(journal, found, anew=ended is not None)
    journal.close()
    by_whom = f"closed by {found.closed_by}"
    if ended is None:
        by_whom += f" on {moments.minute(found.closed_at or 0)} UTC; its end was reported once more"
    tell(settings, [about(decision, chain, found)])
    say(json.dumps(plain(found)) if as_json else f"{found.id}: {found.type}, {by_whom}")


def _closing(journal: Journal, closed: Notice, *, anew: bool) -> tuple[Decision, str]:
    """The decision that closed a notice, and its digest; recorded now, also where an earlier command was cut off."""
    for link in [] if anew else reversed(journal.links()):
        if link.kind == "decision" and link.body is not None:
            made = from_mapping(Decision, json.loads(link.body))
            if made.action == "close" and made.details.get("notice") == closed.key:
                return made, link.digest
    decision = about_notice("close", closed, closed.closed_by or "", closed.closed_why or "")
    return decision, journal.append_decision(decision)


@click.command(
    epilog='\b\nExample:\n  openai-safety notice reopen C-17 --by ann --why "closed the wrong one"\n'
)
@_signed
def reopen(
    notice_id: str, by: str, why: str, kind: NoticeType | None, store: str | None, as_json: bool
) -> None:
    """Open a notice again that was closed by mistake: its deadline counts as before, and so do its alerts."""
    journal, settings = _opened(by, why, store)
    wanted = _one(_named(journal, notice_id, kind), notice_id, "closed")
    found = journal.reopen_notice(wanted.key, by=by.strip(), why=why.strip(), at=int(time.time()))
    if found is None:
        raise click.ClickException(f"{notice_id} is open already")
    decision = about_notice("reopen", found, by.strip(), why.strip())
    chain = journal.append_decision(decision)
    journal.close()
    tell(settings, [about(decision, chain, found), notice_event(found)])
    say(json.dumps(plain(found)) if as_json else f"{found.id}: {found.type}, open again")


def _opened(by: str, why: str, store: str | None) -> tuple[Journal, Settings]:
    if not by.strip() or not why.strip():
        raise click.UsageError("this needs --by WHO and --why TEXT")
    settings = Settings.resolve(store=store)
    return existing(settings.store), settings


def tell(settings: Settings, events: list[SafetyEvent]) -> None:
    """Emit events; a note where they do not arrive."""
    with event_output(settings) as told:
        for event in events:
            told.sink.emit(event)
    if told.problem:
        say(f"note: {told.problem}", err=True)


# --- which notice is meant ---


def open_one(journal: Journal, notice_id: str, kind: NoticeType | None) -> Notice:
    """The open notice that an id names.

    Raises:
        click.ClickException: there is none, or there are several.
    """
    return _one(_named(journal, notice_id, kind), notice_id, "open")


def _named(journal: Journal, notice_id: str, kind: NoticeType | None) -> list[Notice]:
    """The notices of a case; upper and lower case count only where both exist."""
    asked = notice_id.strip()
    every = [one for one in journal.notices() if kind in (None, one.type)]
    exact = [one for one in every if asked in (one.id, one.key)]
    found = exact or [one for one in every if asked.lower() in (one.id.lower(), one.key.lower())]
    if not found:
        raise click.ClickException(f"there is no notice {asked}")
    return found


def _one(named: list[Notice], notice_id: str, *wanted: Literal["open", "closed"]) -> Notice:
    """The one notice in a state that is wanted, the first wanted first."""
    for status in wanted:
        found = [one for one in named if one.status == status]
        if len(found) > 1:
            kinds = ", ".join(one.type for one in found)
            raise click.ClickException(
                f"{notice_id} has several {status} notices ({kinds}): choose one with --type"
            )
        if found:
            return found[0]
    raise click.ClickException(f"{notice_id} is {named[0].status} already")


def plain(notice: Notice) -> dict[str, Any]:
    """What people read of a notice; the state of the follow-up's retries is ours."""
    hidden = {"key", "pending", "next_at"}
    return {name: value for name, value in dataclasses.asdict(notice).items() if name not in hidden}
