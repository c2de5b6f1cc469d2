"""The journal: the durable store of notices and decisions, on SQLite or, for a fleet, on Redis.

Every method that writes returns only after the entry is durable (SQLite: written through to the disk; Redis:
as durable as its append-only file is set up to be). All of them are safe to call from several threads and
several processes, and raise :class:`JournalError` with one line of text when the store cannot be used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Protocol

from openai_safety_otel.contract.addresses import is_redis
from openai_safety_otel.ledger.journal.chain import Link, first_broken
from openai_safety_otel.ledger.journal.entries import (
    Decision,
    JournalAction,
    JournalError,
    Notice,
    from_mapping,
    notice_key,
)

__all__ = [
    "Decision",
    "Journal",
    "JournalAction",
    "JournalError",
    "Link",
    "Notice",
    "from_mapping",
    "is_written",
    "notice_key",
    "open_journal",
    "read_chain",
]


class Journal(Protocol):
    """What both stores do."""

    def add_notice(self, notice: Notice, *, delivery: str | None = None) -> bool:
        """Store a new notice; False if the delivery id was seen before or the notice is known already."""
        ...

    def seen(self, delivery: str) -> bool:
        """Record a delivery id that makes no notice; True if it was seen before."""
        ...

    def notice(self, key: str) -> Notice | None:
        """One notice by its key."""
        ...

    def notices(self, *, open_only: bool = False) -> list[Notice]:
        """All notices, oldest received first."""
        ...

    def update_notice(self, key: str, **changes: Any) -> Notice | None:
        """Change these fields and no others; returns the notice as it is now, None if it does not exist."""
        ...

    def revise_notice(self, key: str, changes: Callable[[Notice], Mapping[str, Any]]) -> Notice | None:
        """Change the fields that a function names when it sees the notice as stored; no other writer comes between.

        The function may be called several times. Returns the notice as it is now, None if it does not exist.
        """
        ...

    def close_notice(self, key: str, *, by: str, why: str, at: int) -> Notice | None:
        """Close an open notice; None if it does not exist or is closed already."""
        ...

    def reopen_notice(self, key: str, *, by: str, why: str, at: int) -> Notice | None:
        """Open a notice that was closed by mistake again; None if it does not exist or is open."""
        ...

    def due(self, now: float) -> list[Notice]:
        """Notices whose next step is due."""
        ...

    def claim(self, key: str, *, now: float, until: float) -> bool:
        """Take a due notice's next step for this process alone; it is due again at ``until``."""
        ...

    def append_decision(self, decision: Decision) -> str:
        """Add a line to the audit trail; returns the head of the hash chain, which is the entry's digest."""
        ...

    def decisions(self, identifier: str | None = None) -> list[Decision]:
        """Decisions in the order they were made, of everybody or of one identifier."""
        ...

    def links(self) -> list[Link]:
        """The hash chain of notices and decisions, oldest first (see `chain.first_broken`)."""
        ...

    def fact(self, name: str) -> str | None:
        """A small named fact, e.g. the date of the last drill."""
        ...

    def set_fact(self, name: str, value: str) -> None:
        """Set a small named fact."""
        ...

    def erase(self, identifier: str) -> int:
        """Remove an identifier from notices and decisions; returns how many entries changed.

        Notices stay as the organisation's history, without the identifier and request ids. Of the decisions
        only the last one stays, if it keeps the person out (suspend or revoke), without its reason. The hash
        chain keeps the places of those that go, not what they said.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def open_journal(place: str, *, to_read: bool = False) -> Journal:
    """Open the store a ``store`` setting names: a ``redis://`` URL or an SQLite file's path.

    Args:
        place: the setting.
        to_read: only be read, also where nothing can be written (a full disk, a copy that is kept read-only).

    Raises:
        JournalError: the store cannot be opened, or the ``redis`` package is missing.
    """
    if is_redis(place):
        from openai_safety_otel.ledger.journal.redis_journal import RedisJournal  # noqa: PLC0415 - optional package

        return RedisJournal(place)
    from openai_safety_otel.ledger.journal.sqlite_journal import SqliteJournal  # noqa: PLC0415 - only when used

    return SqliteJournal(place, to_read=to_read)


def is_written(place: str) -> bool:
    """Whether there is such a store: reading a file that nobody has written yet would create it.

    One that cannot be looked at counts as written: opening it says why.
    """
    try:
        return is_redis(place) or bool(os.stat(place))  # noqa: PTH116 - `exists` says no for what it cannot look at
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True


def read_chain(place: str) -> tuple[list[Link], str | None]:
    """The hash chain of a store, and the first entry that is not as it was written, in one line.

    Raises:
        JournalError: the store cannot be read.
    """
    with closing(open_journal(place, to_read=True)) as journal:
        links, notices = journal.links(), journal.notices()
    return links, first_broken(links, notices)
