"""`notice`: enter one that came by mail, list them, close them."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any, get_args

import click
from rich.console import Console
from rich.table import Table

from openai_safety_otel import conventions as c
from openai_safety_otel.conventions import NoticeType
from openai_safety_otel.decisions import decision_event
from openai_safety_otel.identifier import looks_raw, shown_identity
from openai_safety_otel.journal import Decision, Journal, JournalError, Notice, notice_key, open_journal
from openai_safety_otel.keys import load_hasher
from openai_safety_otel.record import SafetyEvent
from openai_safety_otel.settings import Settings
from openai_safety_otel.signals.standalone import telling
from openai_safety_otel.webhooks.events import notice_event
from openai_safety_otel.webhooks.notice import KINDS, text
from openai_safety_otel.webhooks.steps import entered

NOWHERE = "the event goes nowhere: set OTEL_EXPORTER_OTLP_ENDPOINT or OPENAI_SAFETY_FILE_DIR"
_DAYS = re.compile(r"([1-9][0-9]{0,3})d")
_EPILOG = """\b
Examples:
  openai-safety notice C-17
  openai-safety notice C-17 --identifier 3f9a… --received 2026-11-20 --deadline 2026-11-27
  openai-safety notice list
  openai-safety notice close C-17 --by ann --why "answered, user suspended"
"""
_KINDS = click.Choice(get_args(NoticeType))


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer click only
    """A date or time in Unix seconds; UTC unless it says."""

    name = "WHEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds."""
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value))  # Python 3.10 knows no "Z"
        except ValueError:
            self.fail(f"expected 2026-11-20 or 2026-11-20T09:30, got {value!r}", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return int(moment.timestamp())


class Until(Moment):
    """As `Moment`, or a number of days after the notice was received: ``-N`` until that is known."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds; negative: seconds after the receipt."""
        if isinstance(value, str) and (found := _DAYS.fullmatch(value.strip())):
            return -int(found[1]) * 86_400
        return super().convert(value, param, ctx)


class Notices(click.Group):
    """A group whose usual command needs no name: ``notice C-17`` enters a notice."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the name of the usual command."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["add", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Notices, epilog=_EPILOG, no_args_is_help=True)
def notice() -> None:
    """Notices of the provider: enter one that came by mail, list them, close them.

    `notice C-17` is short for `notice add C-17`. A case entered by hand and its webhook are one notice.
    """


@notice.command(epilog=_EPILOG)
@click.argument("case")
@click.option("--type", "kind", type=_KINDS, default="warning", show_default=True, help="What it says.")
@click.option("--identifier", help="Whom it names; hashed if it looks like personal data.")
@click.option("--received", type=Moment(), help="When the mail came. [default: now]")
@click.option("--deadline", type=Until(), help="Until when to answer; 7d counts from the receipt.")
@click.option("--store", help="SQLite file or redis:// URL. [default: OPENAI_SAFETY_STORE]")
@click.option("--json", "as_json", is_flag=True, help="Print the notice as one JSON object.")
def add(
    case: str,
    kind: NoticeType,
    identifier: str | None,
    received: int | None,
    deadline: int | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Enter a notice that came by mail: the same event and the same alert as by webhook."""
    settings = Settings.resolve(store=store)
    entry = _entry(case, kind, _shown(identifier, settings), received, deadline)
    stated = {
        "identifier": entry.identifier if identifier else None,
        "deadline_at": entry.deadline_at if deadline is not None else None,
    }
    try:
        journal = open_journal(settings.store)
        found, new, arrives = _add(journal, settings, entry, stated)
        journal.close()
    except JournalError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps({**_plain(found), "new": new}))
    else:
        click.echo(
            f"{found.id}: {found.type}, {found.status}{_until(found)}{'' if new else ', known already'}"
        )
    if new and not arrives:
        click.echo(f"note: {NOWHERE}; a receiver on this store will send it", err=True)


def _entry(
    case: str, kind: NoticeType, identifier: str | None, received: int | None, deadline: int | None
) -> Notice:
    now = int(time.time())
    at = now if received is None else received
    if at > now + 60:
        raise click.UsageError("--received is in the future")
    case_id = text(case)
    if case_id is None or looks_raw(case_id):
        raise click.UsageError("expected a case id, e.g. C-17")
    seconds = KINDS[kind].answer_seconds
    end = (None if seconds is None else at + seconds) if deadline is None else deadline
    if end is not None and end < 0:
        end = at - end
    if deadline is not None and end is not None and end <= at:
        raise click.UsageError("--deadline is before the receipt")
    return Notice(
        key=notice_key(kind, case_id),
        id=case_id,
        type=kind,
        origin="manual",
        received_at=at,
        recorded_at=now,
        deadline_at=end,
        identifier=identifier,
    )


def _shown(identifier: str | None, settings: Settings) -> str | None:
    if not identifier:
        return None
    shown = shown_identity(identifier, load_hasher(settings), "caller").value
    if shown is None:
        raise click.ClickException("--identifier looks like personal data and no HMAC key is set to hash it")
    return shown


def _add(
    journal: Journal, settings: Settings, entry: Notice, stated: dict[str, Any]
) -> tuple[Notice, bool, bool]:
    """The notice as stored, whether it is new, and whether its event went anywhere."""
    notice = entered(entry, time.time(), outgoing=bool(settings.notify_url))
    if not journal.add_notice(notice):
        changes = {name: value for name, value in stated.items() if value is not None}
        known = journal.update_notice(notice.key, **changes) if changes else journal.notice(notice.key)
        return known or notice, False, True
    with telling(settings) as told:
        told.sink.emit(notice_event(notice))
    if told.arrives:
        notice = journal.update_notice(notice.key, emitted=True) or notice
    return notice, True, told.arrives


# --- listing and closing ---


@notice.command(
    "list", epilog="\b\nExamples:\n  openai-safety notice list\n  openai-safety notice list --all --json\n"
)
@click.option("--all", "every", is_flag=True, help="Closed ones too.")
@click.option("--store", help="SQLite file or redis:// URL. [default: OPENAI_SAFETY_STORE]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_(every: bool, store: str | None, as_json: bool) -> None:
    """List the open notices, oldest first, with what stands in the way of their details."""
    try:
        journal = open_journal(Settings.resolve(store=store).store)
        found = journal.notices(open_only=not every)
        journal.close()
    except JournalError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        for one in found:
            click.echo(json.dumps(_plain(one)))
        return
    _print(found)
    click.echo(f"{len(found)} {'notices' if every else 'open notices'}", err=True)


def _print(found: Iterable[Notice]) -> None:
    table = Table("id", "type", "status", "received", "answer by", "identifier", "reason", "note", box=None)
    for one in found:
        note: str = one.traffic if one.traffic != "production" else ""
        if one.look_up_error:
            note = f"{note} case not read: {one.look_up_error}".strip()
        end = "" if one.deadline_at is None else _when(one.deadline_at)
        reason = one.reason or one.category or ""
        row = (one.id, one.type, one.status, _when(one.received_at), end, one.identifier or "", reason, note)
        table.add_row(*row)
    # Into a file or a pipe, lines are not folded.
    width = None if sys.stdout.isatty() else 240
    Console(file=sys.stdout, markup=False, width=width).print(table)


@notice.command(epilog='\b\nExample:\n  openai-safety notice close C-17 --by ann --why "answered"\n')
@click.argument("notice_id", metavar="ID")
@click.option("--by", required=True, metavar="WHO", help="Who closes it, for the audit trail.")
@click.option("--why", required=True, help="The reason, for the audit trail.")
@click.option("--type", "kind", type=_KINDS, help="Which one, where a case has several open notices.")
@click.option("--store", help="SQLite file or redis:// URL. [default: OPENAI_SAFETY_STORE]")
@click.option("--json", "as_json", is_flag=True, help="Print the notice as one JSON object.")
def close(
    notice_id: str, by: str, why: str, kind: NoticeType | None, store: str | None, as_json: bool
) -> None:
    """Close a notice that is dealt with; its deadline ends."""
    if not by.strip() or not why.strip():
        raise click.UsageError("closing needs --by WHO and --why TEXT")
    settings = Settings.resolve(store=store)
    try:
        journal = open_journal(settings.store)
        wanted = _open_one(journal, notice_id, kind)
        closed = journal.close_notice(wanted.key, by=by.strip(), why=why.strip(), at=int(time.time()))
        if closed is None:
            raise click.ClickException(f"{notice_id} is closed already")
        decision = _closing(closed)
        journal.append_decision(decision)
        journal.close()
    except JournalError as error:
        raise click.ClickException(str(error)) from None
    with telling(settings) as told:
        told.sink.emit(_closing_event(decision, closed))
    click.echo(
        json.dumps(_plain(closed)) if as_json else f"{closed.id}: {closed.type}, closed by {closed.closed_by}"
    )
    if not told.arrives:
        click.echo(f"note: {NOWHERE}", err=True)


def _open_one(journal: Journal, notice_id: str, kind: NoticeType | None) -> Notice:
    named = [one for one in journal.notices() if notice_id in (one.id, one.key) and kind in (None, one.type)]
    if not named:
        raise click.ClickException(f"there is no notice {notice_id}")
    still = [one for one in named if one.status == "open"]
    if not still:
        raise click.ClickException(f"{notice_id} is closed already")
    if len(still) > 1:
        kinds = ", ".join(one.type for one in still)
        raise click.ClickException(f"{notice_id} has several open notices ({kinds}): choose one with --type")
    return still[0]


def _closing(closed: Notice) -> Decision:
    return Decision(
        identifier=closed.identifier or "",
        action="close",
        by=closed.closed_by or "",
        why=closed.closed_why or "",
        details={"notice": closed.key},
    )


def _closing_event(decision: Decision, closed: Notice) -> SafetyEvent:
    event = decision_event(decision)
    kept = {name: value for name, value in event.attributes.items() if value != ""}
    about = {c.NOTICE_ID: closed.id, c.NOTICE_TYPE: closed.type, c.NOTICE_STATUS: closed.status}
    return dataclasses.replace(event, attributes={**kept, **about})


def _plain(notice: Notice) -> dict[str, Any]:
    """What people read of a notice; the state of the follow-up's retries is ours."""
    hidden = {"key", "pending", "next_at"}
    return {name: value for name, value in dataclasses.asdict(notice).items() if name not in hidden}


def _until(notice: Notice) -> str:
    return "" if notice.deadline_at is None else f", answer by {_when(notice.deadline_at)}"


def _when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
