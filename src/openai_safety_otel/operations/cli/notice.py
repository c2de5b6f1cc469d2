"""`notice`: enter one that came by mail, list them, say whose they are; `notice_end` closes them."""

from __future__ import annotations

import dataclasses
import getpass
import json
import time
from collections.abc import Iterable
from typing import Any

import click

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.instrumentation.signals.standalone import event_output
from openai_safety_otel.ledger.journal import (
    Decision,
    Journal,
    Notice,
    notice_key,
    open_journal,
)
from openai_safety_otel.operations.cli.identity import meant
from openai_safety_otel.operations.cli.journal import existing, reading
from openai_safety_otel.operations.cli.notice_end import (
    KINDS,
    close,
    open_one,
    plain,
    reopen,
    tell,
)
from openai_safety_otel.operations.cli.output import say, show
from openai_safety_otel.operations.report.activity import short
from openai_safety_otel.operations.webhooks.events import about, notice_event
from openai_safety_otel.operations.webhooks.notice import LONGEST_SECONDS, deadline_of, identity, subject_of
from openai_safety_otel.operations.webhooks.steps import entered, says
from openai_safety_otel.who.identifier import shown_identity
from openai_safety_otel.who.keys import load_hasher

_ORGANIZATION = ("organization", "organisation")
_EPILOG = """\b
Examples:
  openai-safety notice open C-17
  openai-safety notice open C-17 --received 2026-11-20 --deadline 2026-11-27
  openai-safety notice list
  openai-safety notice subject C-17 organization
  openai-safety notice close C-17 --by ann --why "answered, user suspended"
  openai-safety notice reopen C-17 --by ann --why "closed the wrong one"
"""


class _Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer click only
    """A date or time in Unix seconds; UTC unless it says."""

    name = "WHEN"
    expected = "expected 2026-11-20 or 2026-11-20T09:30"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds."""
        if isinstance(value, int):
            return value
        try:
            seconds = int(moments.instant(value))
        except ValueError:
            self.fail(f"{self.expected}, got {value!r}", param, ctx)
        if seconds < 0:
            self.fail(f"{value!r} is before 1970", param, ctx)
        return seconds


class _Until(_Moment):
    """As `_Moment`, or a time after the notice was received: ``-N`` seconds until that is known."""

    expected = "expected 2026-11-20 or 2026-11-20T09:30, or 48h or 7d after the receipt"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds; negative: seconds after the receipt."""
        if isinstance(value, str) and (seconds := moments.span(value)) is not None:
            return -int(seconds)
        return super().convert(value, param, ctx)


@click.group(epilog=_EPILOG, no_args_is_help=True)
def notice() -> None:
    """Notices of the provider: enter one that came by mail, list them, say whose they are, close and reopen them.

    A case entered by hand and its webhook are one notice. One that names an identifier concerns that end user;
    one that names none concerns the organisation.
    """


@notice.command("open", epilog=_EPILOG)
@click.argument("case")
@click.option("--type", "kind", type=KINDS, default="warning", show_default=True, help="What it says.")
@click.option("--identifier", help="The end user it names; hashed if it looks like personal data.")
@click.option("--received", type=_Moment(), help="When the mail came. [default: now]")
@click.option("--deadline", type=_Until(), help="Until when to answer; 48h or 7d counts from the receipt.")
@click.option(
    "--drill", is_flag=True, help="A fire drill, its id with drill in it: alerts go to their own route."
)
@click.option("--store", help="SQLite file or redis:// URL. [default: OPENAI_SAFETY_STORE]")
@click.option("--json", "as_json", is_flag=True, help="Print the notice as one JSON object.")
def open_(
    case: str,
    kind: NoticeType,
    identifier: str | None,
    received: int | None,
    deadline: int | None,
    drill: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Enter a notice that came by mail: the same event and the same alert as by webhook.

    Without --identifier it is the organisation's: that is what the provider sends mail about.
    """
    if drill and "drill" not in case.lower():
        raise click.UsageError(
            f"a drill's id has the word drill in it, e.g. drill-{case.strip()}: no real case has it"
        )
    settings = Settings.resolve(store=store)
    entry = _entry(case, kind, _shown(identifier, settings), received, deadline)
    entry = dataclasses.replace(entry, traffic="drill" if drill else "production")
    named = {"identifier": entry.identifier, "subject": entry.subject} if identifier else {}
    stated = named | ({"deadline_at": entry.deadline_at} if deadline is not None else {})
    journal = open_journal(settings.store)
    found, new, problem = _add(journal, settings, entry, stated)
    journal.close()
    if found.status == "closed":
        raise click.ClickException(
            f"{found.id} was closed by {found.closed_by}, and stays closed; if it is not dealt with: "
            f"openai-safety notice reopen {found.id} --by WHO --why TEXT"
        )
    if as_json:
        say(json.dumps({**plain(found), "new": new}))
    else:
        say(f"{found.id}: {found.type}, {found.status}{_until(found)}{'' if new else ', known already'}")
    if problem:
        say(f"note: {problem}; a receiver on this store will send it", err=True)


def _entry(
    case: str, kind: NoticeType, identifier: str | None, received: int | None, deadline: int | None
) -> Notice:
    now = int(time.time())
    at = now if received is None else received
    if at > now + 60:
        raise click.UsageError("--received is in the future")
    case_id = identity(case.strip())
    if case_id is None:
        raise click.UsageError("expected a case id, e.g. C-17")
    subject = subject_of(kind, identifier, read=True)
    end = deadline_of(kind, subject, at) if deadline is None else deadline
    if end is not None and end < 0:
        end = at - end
    if deadline is not None and end is not None and end <= at:
        raise click.UsageError("--deadline is before the receipt")
    if end is not None and end > at + LONGEST_SECONDS:
        raise click.UsageError("--deadline is over a year after the receipt")
    return Notice(
        key=notice_key(kind, case_id),
        id=case_id,
        type=kind,
        origin="manual",
        received_at=at,
        recorded_at=now,
        deadline_at=end,
        subject=subject,
        identifier=identifier,
    )


def _shown(identifier: str | None, settings: Settings) -> str | None:
    if not identifier:
        return None
    shown = shown_identity(identifier, load_hasher(settings), "caller").value
    if shown is None:
        raise click.ClickException("--identifier looks like personal data and no HMAC key is set to hash it")
    return meant(shown, settings, force=True)  # the mail may name somebody of whom nothing is stored


def _add(
    journal: Journal, settings: Settings, entry: Notice, stated: dict[str, Any]
) -> tuple[Notice, bool, str | None]:
    """The notice as stored, whether it is new, and why its event did not arrive."""
    notice = entered(entry, time.time(), outgoing=bool(settings.notify_url))
    if not journal.add_notice(notice):
        known = journal.notice(notice.key) or notice
        if not stated or known.status != "open":
            return known, False, None
        before, known = known, journal.update_notice(notice.key, **stated) or known
        return known, False, _emitted(settings, known) if says(known) != says(before) else None
    problem = _emitted(settings, notice)
    if problem is None:
        now = journal.update_notice(notice.key, emitted=True) or notice
        if says(now) != says(notice):  # a receiver has read its case meanwhile
            _emitted(settings, now)
        notice = now
    return notice, True, problem


def _emitted(settings: Settings, notice: Notice) -> str | None:
    """Send the event of a notice; why it did not arrive."""
    with event_output(settings) as told:
        told.sink.emit(notice_event(notice))
    return told.problem


# --- listing ---


@notice.command(
    "list", epilog="\b\nExamples:\n  openai-safety notice list\n  openai-safety notice list --all --json\n"
)
@click.option("--all", "every", is_flag=True, help="Closed ones too.")
@click.option("--store", help="SQLite file or redis:// URL. [default: OPENAI_SAFETY_STORE]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_(every: bool, store: str | None, as_json: bool) -> None:
    """List the open notices, oldest first, with what stands in the way of their details."""
    with reading(Settings.resolve(store=store).store) as journal:
        found = journal.notices(open_only=not every) if journal else []
    if as_json:
        for one in found:
            say(json.dumps(plain(one)))
        return
    _print(found)
    say(counted(len(found), "notice" if every else "open notice"), err=True)


def _print(found: Iterable[Notice]) -> None:
    names = ("id", "type", "status", "received", "answer by", "subject", "reason", "note")
    show(names, map(_cells, found))


def _cells(one: Notice) -> tuple[str, ...]:
    note: str = one.traffic if one.traffic != "production" else ""
    if one.look_up_error:
        note = f"{note} case not read: {one.look_up_error}".strip()
    end = "" if one.deadline_at is None else f"{moments.minute(one.deadline_at)} UTC"
    reason = one.reason or one.category or ""
    whose = short(one.identifier) if one.identifier else one.subject
    return (one.id, one.type, one.status, f"{moments.minute(one.received_at)} UTC", end, whose, reason, note)


notice.add_command(close)
notice.add_command(reopen)

# --- whose it is ---


@notice.command(
    epilog="\b\nExamples:\n  openai-safety notice subject C-17 organization\n"
    "  openai-safety notice subject C-17 78b742913a16… --by ann --why 'named in the mail'\n"
)
@click.argument("notice_id", metavar="ID")
@click.argument("whose", metavar="IDENTIFIER|organization")
@click.option("--by", default="", metavar="WHO", help="Who says so.  [default: the user of this terminal]")
@click.option("--why", default="", help="The reason, for the audit trail.")
@click.option("--type", "kind", type=KINDS, help="Which one, where a case has several open notices.")
@click.option("--force", is_flag=True, help="Take an identifier that nothing stored has.")
@click.option("--store", help="SQLite file or redis:// URL. [default: OPENAI_SAFETY_STORE]")
@click.option("--json", "as_json", is_flag=True, help="Print the notice as one JSON object.")
def subject(
    notice_id: str,
    whose: str,
    by: str,
    why: str,
    kind: NoticeType | None,
    force: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Say whose a notice is, where its case cannot be read: an end user's, or the organisation's."""
    settings = Settings.resolve(store=store)
    identifier = None if whose.strip().lower() in _ORGANIZATION else meant(whose, settings, force=force)
    journal = existing(settings.store)
    wanted = open_one(journal, notice_id, kind)
    decision = Decision(
        identifier=identifier or "",
        action="subject",
        by=by.strip() or _this_user(),
        why=why.strip() or f"{wanted.id} is {'the organisation' if identifier is None else 'theirs'}",
        details={"notice": wanted.key},
    )
    chain = journal.append_decision(decision)
    found = journal.revise_notice(wanted.key, lambda now: _whose(now, identifier, decision.by)) or wanted
    journal.close()
    tell(settings, [about(decision, chain, found), notice_event(found)])
    say(json.dumps(plain(found)) if as_json else f"{found.id}: {_subject_text(found)}{_until(found)}")


def _this_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        raise click.UsageError("this terminal's user has no name: add --by WHO") from None


def _whose(notice: Notice, identifier: str | None, by: str) -> dict[str, Any]:
    whose = subject_of(notice.type, identifier, read=True)
    usual = deadline_of(notice.type, notice.subject, notice.received_at)
    stated = notice.deadline_at if notice.deadline_at != usual else None
    deadline = stated or deadline_of(notice.type, whose, notice.received_at)
    return {"subject": whose, "subject_by": by, "identifier": identifier, "deadline_at": deadline}


def _subject_text(notice: Notice) -> str:
    if notice.identifier:
        return f"{notice.type} about {notice.identifier}"
    return f"{notice.type} of the organisation"


def _until(notice: Notice) -> str:
    return "" if notice.deadline_at is None else f", answer by {moments.minute(notice.deadline_at)} UTC"
