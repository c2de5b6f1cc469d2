"""`suspensions init`: the only way in which a suspension list comes into being."""

from __future__ import annotations

from contextlib import closing

import click

from openai_safety_otel.contract.addresses import without_password
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.decisions import in_force, listed
from openai_safety_otel.ledger.journal import JournalError, is_written, open_journal
from openai_safety_otel.ledger.suspensions import ListEntry, Unreadable, open_suspensions
from openai_safety_otel.operations.cli.output import say


@click.group()
def suspensions() -> None:
    """Create the suspension list that running processes follow."""


@suspensions.command(
    epilog="\b\nExamples:\n  openai-safety suspensions init\n  openai-safety suspensions init --from-decisions\n"
)
@click.option("--from-decisions", is_flag=True, help="Put on it what is in force in the store's decisions.")
def init(from_decisions: bool) -> None:
    """Create the list that OPENAI_SAFETY_SUSPENSIONS names: a JSON file, or a marker in Redis.

    Nothing else creates one: a list that is set and missing is an unreadable list, never an empty one. A list
    that is there already is left as it is.
    """
    settings = Settings.resolve()
    if not settings.suspensions:
        raise click.ClickException("set OPENAI_SAFETY_SUSPENSIONS: a JSON file's path or a redis:// URL")
    place = without_password(settings.suspensions)
    try:
        entries = _in_force(settings, needed=from_decisions)
        source = open_suspensions(settings.suspensions)
        version = source.create(entries if from_decisions else {})
        held = source.entries()
    except JournalError as error:
        raise click.ClickException(f"{error}; nothing was done") from None
    except Unreadable as error:
        raise click.ClickException(f"the suspension list was not created: {error}") from None
    say(
        f"{place} {'is there already' if version is None else 'created'}, with {counted(len(held), 'entry', 'entries')}"
    )
    if missing := len(entries.keys() - held.keys()):
        text = (
            f"note: NOT on this list: {counted(missing, 'decision')} in force; to put back what is missing:"
        )
        say(f"{text} openai-safety decisions --restore", err=True)


def _in_force(settings: Settings, *, needed: bool) -> dict[str, ListEntry]:
    """What the decisions on record say now; nothing where there is no record and none is ``needed``."""
    if not is_written(settings.store):
        if needed:
            raise JournalError(f"there are no decisions at {settings.store}: set OPENAI_SAFETY_STORE")
        return {}
    with closing(open_journal(settings.store)) as journal:
        entries = {name: listed(one) for name, one in in_force(journal.decisions()).items()}
    return {name: entry for name, entry in entries.items() if entry is not None}
