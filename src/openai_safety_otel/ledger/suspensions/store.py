"""What a place that holds the suspension list can do; a JSON file and Redis both do it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.ledger.suspensions.entry import ListEntry, Row

INIT: Final = "openai-safety suspensions init"  # the only command that creates a list


class Unreadable(OneLineError):
    """The list cannot be read or written. ``reason`` is a short word for a metric; the text is one line."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def missing(place: str) -> Unreadable:
    """The list was configured and does not exist: never the same as an empty one, which suspends nobody."""
    return Unreadable("missing", f"{place} is missing; create it with: {INIT} --from-decisions")


@dataclass(frozen=True, slots=True)
class Update:
    """What changed since the last poll: ``rows`` to set, ``removed`` to forget.

    ``whole`` means that ``rows`` is the entire list. ``skipped`` counts entries that make no sense. ``lost``
    means that the store has lost what it knew, so that older entries are in memory only.
    """

    version: int
    rows: dict[str, Row]
    removed: tuple[str, ...] = ()
    whole: bool = True
    skipped: int = 0
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Holders:
    """How many running processes follow the list, and how many of them already hold a given version."""

    running: int = 0
    holding: int = 0


class SuspensionStore(Protocol):
    """One place that holds the list. Not for several threads at once; every method may raise `Unreadable`.

    A list that does not exist is unreadable (reason ``missing``), and cannot be written: a new row in a new
    list would free everybody else.
    """

    def create(self, entries: Mapping[str, ListEntry]) -> int | None:
        """Create the list with these entries and return its version; None where there is one already."""
        ...

    def poll(self) -> Update | None:
        """What changed since the last poll of this object; None where nothing did. Bounded in time."""
        ...

    def write(self, changes: Mapping[str, ListEntry | None]) -> int:
        """Set (or, with None, remove) entries for every process; returns the list's new version."""
        ...

    def look_up(self, identifiers: Iterable[str]) -> dict[str, ListEntry]:
        """The entries of these identifiers as they are now, expired ones left out."""
        ...

    def entries(self) -> dict[str, ListEntry]:
        """Every active entry as it is now."""
        ...

    def hold(self, process: str, version: int) -> None:
        """Say that a running process holds a version of the list; repeated as a heartbeat."""
        ...

    def release(self, process: str) -> None:
        """Say that a process has ended."""
        ...

    def holders(self, version: int) -> Holders:
        """How many processes run, and how many hold this version or a later one."""
        ...

    def count_block(self, identifier: str, *, now: float, window: float) -> int:
        """Count an enforcement block; returns how many of the last ``window`` seconds there are."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
