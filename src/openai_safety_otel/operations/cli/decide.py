"""`decide`, its short form `suspend`, and `decisions`: what the organisation does about an end user."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

import click

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.vocabulary import DecisionAction
from openai_safety_otel.instrumentation.signals.standalone import event_output
from openai_safety_otel.ledger.decisions import (
    ACTIONS,
    Applied,
    DecisionError,
    apply,
    in_force,
    listed,
    new_decision,
)
from openai_safety_otel.ledger.journal import Decision, Journal, JournalError, open_journal
from openai_safety_otel.ledger.suspensions import (
    Holders,
    ListEntry,
    SuspensionStore,
    Unreadable,
    open_suspensions,
)
from openai_safety_otel.ledger.suspensions.refresher import POLL_SECONDS
from openai_safety_otel.operations.cli.identity import meant
from openai_safety_otel.operations.cli.journal import reading
from openai_safety_otel.operations.cli.output import say, show
from openai_safety_otel.operations.cli.verify import verify
from openai_safety_otel.operations.report.activity import short

_F = TypeVar("_F", bound=Callable[..., Any])
_DONE = {
    "watch": "watched: evidence and scores are kept for this identifier",
    "filter": "filtered: each of their calls must pass the filter first",
    "suspend": "suspended: their calls are refused before they leave",
    "revoke": "revoked: their calls are refused before they leave, without end",
    "clear": "cleared: none of our decisions is in force",
}
_HELP = """Decide about an end user, by their IDENTIFIER: in full, or its first characters as tables show them.

\b
watch    keep evidence and scores for them; 7 days unless --until, 30 at most
filter   each of their calls must pass the filter first
suspend  refuse their calls; 72 hours unless --until
revoke   refuse their calls, without end
clear    lift our own decision

The decision is written to the audit trail first, then to the suspension list that running processes follow,
and then emitted as an event.
"""
_EPILOG = """\b
Examples:
  openai-safety decide 3f9a… --action suspend --by ann --why "case C-17" --until 7d
  openai-safety decide 3f9a… --action watch --by ann --why "two flags today"
  openai-safety decide 3f9a… --action clear --by ann --why "wrong automatic block, case C-17"
"""


def _signed(command: _F) -> _F:
    """The options of every decision: who, why, until when, and the form of the answer."""
    for option in (
        click.option("--force", is_flag=True, help="Decide about an identifier that nothing stored has."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object."),
        click.option("--until", metavar="WHEN", help="72h, 7d, or an ISO date or time (UTC unless it says)."),
        click.option("--why", required=True, help="The reason, for the audit trail."),
        click.option("--by", required=True, metavar="WHO", help="Who decides, for the audit trail."),
    ):
        command = option(command)
    return command


@click.command(help=_HELP, epilog=_EPILOG)
@click.argument("identifier")
@click.option("--action", type=click.Choice(ACTIONS), required=True, help="What to do.")
@_signed
def decide(identifier: str, action: DecisionAction, **signed: Any) -> None:
    """Check, record, list and tell one decision."""
    _decide(identifier, action, **signed)


@click.command(
    epilog='\b\nExample:\n  openai-safety suspend 3f9a… --by ann --why "three blocks today" --until 24h\n'
)
@click.argument("identifier")
@_signed
def suspend(identifier: str, **signed: Any) -> None:
    """Refuse an end user's calls for 72 hours, or until --until: short for decide --action suspend."""
    _decide(identifier, "suspend", **signed)


def _decide(
    identifier: str,
    action: DecisionAction,
    *,
    by: str,
    why: str,
    until: str | None,
    as_json: bool,
    force: bool,
) -> None:
    settings = Settings.resolve()
    try:
        decision = new_decision(identifier, action, by=by, why=why, until=until)
        decision = replace(decision, identifier=meant(decision.identifier, settings, force=force))
        source = open_suspensions(settings.suspensions) if settings.suspensions else None
        journal = open_journal(settings.store)
        with event_output(settings) as told:
            applied = apply(decision, journal, source, told.sink.emit)
        notes = _notes(applied, journal, settings)
    except (DecisionError, JournalError) as error:
        raise click.ClickException(f"{error}; nothing was done") from None
    except Unreadable as error:
        raise click.ClickException(
            f"the decision is on record, but the suspension list could not be written: {error}; decide again"
        ) from None
    if told.problem:
        notes.append(told.problem)
    _print(applied, notes, as_json=as_json)


def _notes(applied: Applied, journal: Journal, settings: Settings) -> list[str]:
    """What the operator should know beside the result."""
    decision, later, notes = applied.decision, applied.stands, []
    if later.id != decision.id:
        notes.append(f"{later.by} decided {later.action} at the same time, and that is in force: {later.why}")
    if decision.action == "clear" and applied.before is None:
        notes.append("this identifier was not on our list")
    if decision.action == "clear" and provider_blocked(
        decision.identifier, applied.before, journal, settings
    ):
        notes.append(
            "the provider has blocked this identifier for good: we cannot undo that, and giving the person "
            "a new identifier would be evasion"
        )
    if listed(decision) and applied.version is not None and not applied.holders.running:
        notes.append("no running process follows this list; those that start will read it")
    return notes


def provider_blocked(identifier: str, entry: ListEntry | None, journal: Journal, settings: Settings) -> bool:
    """Whether the provider is known to have blocked this identifier: by a notice, or by an answer."""
    notices = (n for n in journal.notices() if n.identifier == identifier and n.traffic == "production")
    if any(n.type == "identifier_blocked" for n in notices):
        return True
    # What a process wrote; a person may write that they were not blocked.
    reasons = [entry.why if entry else "", *(d.why for d in journal.decisions(identifier) if d.automatic)]
    return any("identifier_blocked" in reason for reason in reasons) or _seen_blocked(identifier, settings)


def _seen_blocked(identifier: str, settings: Settings) -> bool:
    """Whether the events say so still; False where none can be read (the operator is told)."""
    if not (settings.file_dir or settings.loki_url):
        return False
    try:
        from openai_safety_otel.operations.cli.sources import EventSource, open_place  # noqa: PLC0415 - needs the report extra
        from openai_safety_otel.operations.investigation.case import blocked_for_good  # noqa: PLC0415

        place = EventSource("files" if settings.file_dir else "loki", (), None, compact=True)
        with open_place(place, settings) as events:
            return blocked_for_good(events, identifier)
    except (ModuleNotFoundError, OneLineError, click.ClickException) as error:
        say(f"note: events could not be read: {error}", err=True)
        return False


def _print(applied: Applied, notes: list[str], *, as_json: bool) -> None:
    decision, holders = applied.decision, applied.holders
    if as_json:
        say(
            json.dumps(
                {
                    **_plain(decision),
                    "version": applied.version,
                    "processes_holding": holders.holding,
                    "processes_running": holders.running,
                    "notes": notes,
                }
            )
        )
        return
    end = f" until {moments.minute(decision.until)} UTC" if decision.until is not None else ""
    say(f"{decision.identifier} {_DONE[decision.action]}{end}")
    if applied.version is not None:
        say(_seen_by(holders))
    for note in notes:
        say(f"note: {note}", err=True)


def _seen_by(holders: Holders) -> str:
    """When every running process acts on it: they read the list twice a second, and say what they hold."""
    said = f"held by {holders.holding} of {counted(holders.running, 'running process', 'running processes')}"
    if holders.holding < holders.running:
        return f"{said}; the others read the list every {POLL_SECONDS} s, or cannot reach it: see the doctor there"
    return f"{said}: all have seen it" if holders.running else said


# --- the audit trail ---------------------------------------------------------------------------------------


@click.command(
    epilog="\b\nExamples:\n  openai-safety decisions\n  openai-safety decisions 3f9a… --json\n"
    "  openai-safety decisions --in-force --restore\n  openai-safety decisions --verify --source loki\n"
)
@click.argument("identifier", required=False)
@click.option("--in-force", "now_only", is_flag=True, help="Only what counts now.")
@click.option("--restore", is_flag=True, help="Put what counts now back on a suspension list that lost it.")
@click.option("--verify", "verified", is_flag=True, help="Check that nobody has changed what was recorded.")
@click.option(
    "--source", type=click.Choice(["files", "loki"]), help="With --verify: check it by stored events, too."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def decisions(
    identifier: str | None,
    now_only: bool,
    restore: bool,
    verified: bool,
    source: str | None,
    as_json: bool,
) -> None:
    """List the decisions, oldest first: who decided what, why, and until when.

    Entries of the journal are chained by digests, and the events of decisions carry the chain's head: --verify
    names the first entry that was changed, removed or put in, or the first event that the journal contradicts.
    """
    settings = Settings.resolve()
    if verified:
        verify(settings, source)
        return
    identifier = meant(identifier, settings, force=None) if identifier else None
    with reading(settings.store) as journal:
        found = journal.decisions(identifier) if journal else []
    listing = open_suspensions(settings.suspensions) if settings.suspensions else None
    found += _automatic(listing, found, identifier)
    counting = in_force(found)
    if restore:
        _restore(counting, listing)
    chosen = list(counting.values()) if now_only else found
    _print_all(chosen, as_json=as_json)


def _automatic(
    source: SuspensionStore | None, known: list[Decision], identifier: str | None
) -> list[Decision]:
    """Entries that processes made by themselves: on the list, not in the audit trail."""
    if source is None:
        return []
    seen = {(one.identifier, one.at) for one in known}
    return [
        Decision(identifier=name, **asdict(entry))
        for name, entry in source.entries().items()
        if (name, entry.at) not in seen and identifier in (None, name)
    ]


def _restore(counting: dict[str, Decision], source: SuspensionStore | None) -> None:
    if source is None:
        raise DecisionError("set OPENAI_SAFETY_SUSPENSIONS: there is no list to put them on")
    held = source.entries()
    wanted = {name: listed(one) for name, one in counting.items()}
    lost = {name: entry for name, entry in wanted.items() if not _same(entry, held.get(name))}
    if lost:
        source.write(lost)
    say(f"{len(lost)} put back on the list, {len(counting) - len(lost)} were there", err=True)


def _same(one: ListEntry | None, other: ListEntry | None) -> bool:
    """Whether two entries say the same, whatever they say of the reason."""
    facts = [entry and (entry.action, entry.until, entry.at) for entry in (one, other)]
    return facts[0] == facts[1]


def _print_all(found: list[Decision], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            say(json.dumps(_plain(one)))
        return
    show(
        ("when", "identifier", "action", "until", "by", "why"),
        (
            (
                f"{moments.minute(one.at)} UTC",
                short(one.identifier),
                one.action,
                "" if one.until is None else f"{moments.minute(one.until)} UTC",
                one.by,
                one.why,
            )
            for one in found
        ),
    )
    say(counted(len(found), "decision"), err=True)


def _plain(decision: Decision) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in ("identifier", "action", "by", "why", "at", "until")}
