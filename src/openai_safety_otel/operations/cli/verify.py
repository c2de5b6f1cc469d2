"""Whether the journal is as it was written: by its own hash chain, and by the events that carry its heads."""

from __future__ import annotations

from typing import Final

import click

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import moments
from openai_safety_otel.contract.addresses import without_password
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.journal import Link, read_chain
from openai_safety_otel.operations.cli.output import say
from openai_safety_otel.operations.store import questions

_QUERY: Final = f'{{service_name=~".+"}} | event_name="{c.DECISION_EVENT}"'


def verify(settings: Settings, source: str | None) -> None:
    """Print that the journal is whole; with a source of events, that every stored event knows it as it is.

    Raises:
        click.ClickException: it is not; the line names the first entry or event that differs.
        JournalError: the store cannot be read.
    """
    links, problem = read_chain(settings.store)
    if problem:
        raise click.ClickException(f"the journal was tampered with: {problem}")
    if not links:
        say(f"the journal is empty: nothing is recorded in {without_password(settings.store)}")
    else:
        say(f"the journal is whole: {counted(len(links), 'entry', 'entries')}, head {links[-1].digest}")
    if source:
        say(f"it agrees with {counted(_known_to_events(links, settings, source), 'stored decision event')}")


def _known_to_events(links: list[Link], settings: Settings, source: str) -> int:
    from openai_safety_otel.operations.cli.sources import EventSource, open_place  # noqa: PLC0415 - needs the report extra

    known = {link.digest for link in links}
    with open_place(EventSource(source, (), None, compact=True), settings, query=_QUERY) as events:
        rows = events.rows(questions.CHAIN_HEADS)
    for row in rows:
        if row["head"] not in known:
            said = f"{row['action']} by {row['by']} on {moments.second(row['time_ns'] / 1e9)} UTC"
            raise click.ClickException(
                f"the journal was tampered with: the event of {said} names the entry {row['head'][:12]}…, "
                "and the journal does not have it"
            )
    return len(rows)
