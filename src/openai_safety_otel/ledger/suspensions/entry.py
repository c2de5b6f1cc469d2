"""One line of the suspension list: what was decided about one identifier, and until when."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard, get_args

from openai_safety_otel.contract.vocabulary import REFUSING

ListedAction = Literal["watch", "filter", "suspend", "revoke"]

# Weakest first: where several forms of one person are listed, the strongest action counts.
ACTIONS: Final[tuple[ListedAction, ...]] = get_args(ListedAction)
_STRENGTH: Final = {action: rank for rank, action in enumerate(ACTIONS)}

_FAR: Final = 1e12  # seconds: beyond any year; neither infinite nor no number is below it
# An entry as the in-memory index keeps it: a plain tuple of atoms, which the garbage collector stops
# visiting, so that a list of a million entries costs no collection pauses. Fields in the order of ``ListEntry``.
Row = tuple[ListedAction, float | None, str, str, float]


@dataclass(frozen=True, slots=True)
class ListEntry:
    """What the list says about one identifier.

    ``until`` and ``at`` are Unix seconds; ``until`` None never expires. ``by`` and ``why`` are there for an
    automatic entry only: an operator's name and reason are in the journal, because others read the list.
    """

    action: ListedAction
    until: float | None = None
    by: str = ""
    why: str = ""
    at: float = 0.0

    @property
    def refuses(self) -> bool:
        """Whether a call must not leave the process."""
        return self.action in REFUSING

    def row(self) -> Row:
        """The form kept in memory."""
        return (self.action, self.until, self.by, self.why, self.at)

    def fields(self) -> dict[str, str | float | None]:
        """The form written to a list; ``by`` and ``why`` only where a process decided by itself."""
        words = {name: text for name, text in (("by", self.by), ("why", self.why)) if text}
        return {"action": self.action, "until": self.until, **words, "at": self.at}


def parse_row(value: Any) -> Row | None:
    """Read one entry of a list; None where its action or its times make no sense."""
    if not isinstance(value, dict) or not _is_action(action := value.get("action")):
        return None
    until, at = value.get("until"), value.get("at") or 0.0
    if not (until is None or _is_time(until)) or not _is_time(at):
        return None
    return (action, until, str(value.get("by") or ""), str(value.get("why") or ""), at)


def active(rows: Mapping[str, Row | None]) -> dict[str, ListEntry]:
    """The entries that have not ended, by identifier."""
    found = {name: strongest([row]) for name, row in rows.items() if row is not None}
    return {name: entry for name, entry in found.items() if entry is not None}


def strongest(rows: list[Row]) -> ListEntry | None:
    """Choose among the rows of one person: expired ones do not count, the strongest action wins."""
    now = time.time()
    active = [row for row in rows if row[1] is None or row[1] > now]
    return ListEntry(*max(active, key=lambda row: _STRENGTH[row[0]])) if active else None


def _is_action(value: Any) -> TypeGuard[ListedAction]:
    return isinstance(value, str) and value in _STRENGTH


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _FAR
