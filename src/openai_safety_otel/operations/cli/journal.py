"""The journal as commands read it: where nobody ever wrote one, that is said, and none is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from openai_safety_otel.contract.addresses import without_password
from openai_safety_otel.ledger.journal import Journal, is_written, open_journal
from openai_safety_otel.operations.cli.output import warn


@contextmanager
def reading(store: str) -> Iterator[Journal | None]:
    """The journal of a store, to be read; None, said in a note, where nobody has written one.

    Raises:
        JournalError: the store cannot be read.
    """
    if not is_written(store) and Path(store).absolute().parent.is_dir():
        warn(f"note: {_none_at(store)}: no notice and no decision was ever written there")
        yield None
        return
    with closing(open_journal(store, to_read=True)) as journal:
        yield journal


def existing(store: str) -> Journal:
    """The journal of a store, to change what is in it.

    Raises:
        click.ClickException: nobody has written one.
        JournalError: the store cannot be used.
    """
    if not is_written(store):
        raise click.ClickException(_none_at(store))
    return open_journal(store)


def _none_at(store: str) -> str:
    return f"there is no store at {without_password(store)}"
