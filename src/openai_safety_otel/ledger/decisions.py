"""Decisions about an end user: recorded first, then on the suspension list, then told."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final, cast, get_args

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import moments
from openai_safety_otel.contract.moments import DAY, HOUR
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.contract.vocabulary import DecisionAction
from openai_safety_otel.ledger.journal import Decision, Journal, JournalError, open_journal
from openai_safety_otel.ledger.suspensions import (
    Holders,
    ListedAction,
    ListEntry,
    SuspensionStore,
    Unreadable,
)
from openai_safety_otel.who.detectors import looks_raw

# How long each action lasts unless told otherwise, and at most; None: no end.
LASTS: Final[dict[DecisionAction, tuple[float | None, float | None]]] = {
    "watch": (7 * DAY, 30 * DAY),
    "filter": (None, None),
    "suspend": (72 * HOUR, None),
    "revoke": (None, None),
    "clear": (None, None),
}
_ENDLESS: Final = ("revoke", "clear")
ACTIONS: Final[tuple[DecisionAction, ...]] = get_args(DecisionAction)
WRITE_SECONDS: Final = 10.0  # how long to try where another writer holds the list
MOST_WAITING: Final = 1000  # decisions of a process that wait for the journal
_log = logging.getLogger(__name__)
HELD_SECONDS: Final = 4.0  # how long to wait for running processes to hold the new list
NONE_GIVEN: Final = "no identifier was given"


class DecisionError(OneLineError, ValueError):
    """The decision cannot be made; one line says why."""


def new_decision(
    identifier: str,
    action: DecisionAction,
    *,
    by: str,
    why: str,
    until: str | None = None,
    now: float | None = None,
) -> Decision:
    """A decision, checked: somebody made it, for a reason, about an identifier, with an end that fits.

    Raises:
        DecisionError: one of these is missing or makes no sense.
    """
    now = time.time() if now is None else now
    if not by.strip() or not why.strip():
        raise DecisionError("a decision needs --by WHO and --why TEXT")
    identifier = identifier.strip()
    if not identifier:
        raise DecisionError(NONE_GIVEN)
    if looks_raw(identifier):
        raise DecisionError(
            "that looks like a user, not like an identifier; find theirs with: openai-safety identifier USER"
        )
    return Decision(
        identifier=identifier,
        action=action,
        by=by.strip(),
        why=why.strip(),
        at=now,
        until=_end(action, until, now),
    )


def _end(action: DecisionAction, until: str | None, now: float) -> float | None:
    default, longest = LASTS[action]
    if until is None:
        return None if default is None else now + default
    if action in _ENDLESS:
        raise DecisionError(f"{action} has no --until; use suspend for a while")
    end = parse_until(until, now)
    if end <= now:
        raise DecisionError("--until is in the past")
    if end > moments.LAST:
        raise DecisionError("--until is after the year 9999; for no end use revoke or filter")
    if longest is not None and end > now + longest:
        raise DecisionError(f"{action} lasts {longest / DAY:.0f} days at most")
    return end


def parse_until(text: str, now: float) -> float:
    """Unix seconds of ``72h``, ``7d``, a date or a date with time (UTC unless it names a zone).

    Raises:
        DecisionError: it is none of these.
    """
    if (seconds := moments.span(text)) is not None:
        return now + seconds
    try:
        return moments.instant(text)
    except ValueError:
        raise DecisionError("--until takes 72h, 7d, 2027-01-31 or 2027-01-31T12:00+01:00") from None


def listed(decision: Decision) -> ListEntry | None:
    """The list's entry for a decision; None takes the identifier off the list.

    Who decided, and why, stays in the journal: others read the list. What a process decided by itself names nobody.
    """
    if decision.action not in get_args(ListedAction):
        return None
    by, why = (decision.by, decision.why) if decision.automatic else ("", "")
    return ListEntry(cast("ListedAction", decision.action), decision.until, by, why, decision.at)


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a decision. ``version`` is the list's, None where there is no list.

    ``stands`` is what is in force: another decision where somebody recorded one about the same person meanwhile.
    """

    decision: Decision
    before: ListEntry | None
    version: int | None
    holders: Holders
    stands: Decision


def apply(
    decision: Decision,
    journal: Journal,
    source: SuspensionStore | None,
    tell: Callable[[SafetyEvent], None],
    *,
    wait: float = HELD_SECONDS,
) -> Applied:
    """Record the decision durably, put it on the list, tell it, and see who holds the new list.

    Raises:
        DecisionError: the action needs a list, and there is none or it cannot be read; nothing was recorded.
        JournalError: it could not be recorded; nothing was done.
        Unreadable: it is recorded, but the list could not be written: doing it again is safe.
    """
    if source is None and listed(decision) is not None:
        raise DecisionError("set OPENAI_SAFETY_SUSPENSIONS: without a list no process would know of it")
    try:
        before = source.look_up([decision.identifier]).get(decision.identifier) if source else None
    except Unreadable as error:
        raise DecisionError(f"the suspension list could not be read: {error}") from None
    version, stands = carry_out(
        decision, journal.append_decision, source, tell, last=last_in(journal), patience=WRITE_SECONDS
    )
    holders = _held(source, version, wait) if source and version is not None else Holders()
    return Applied(decision, before, version, holders, stands)


def last_in(journal: Journal) -> Callable[[str], Decision | None]:
    """Asks a journal for the last decision about an identifier."""
    return lambda identifier: next(
        (one for one in reversed(journal.decisions(identifier)) if one.action in ACTIONS), None
    )


def carry_out(
    decision: Decision,
    record: Callable[[Decision], str | None],
    source: SuspensionStore | None,
    tell: Callable[[SafetyEvent], None],
    *,
    last: Callable[[str], Decision | None] = lambda _: None,
    patience: float = 0.0,
) -> tuple[int | None, Decision]:
    """The one way a decision takes effect: on record, then on the list, then told.

    Returns the list's version, and the decision that stands: where two decide at once, the list says in the end
    what is last on record, whoever wrote it last.

    Args:
        decision: made by a person, a process or the receiver.
        record: writes it to the journal and returns the head of the chain; what it raises stops everything.
        source: the list, None where there is none.
        tell: takes the event.
        last: the last decision on record about an identifier, if that can be asked.
        patience: seconds to try for where another writer holds the list.

    Raises:
        Unreadable: it is recorded, but the list could not be written: doing it again is safe.
    """
    chain = record(decision)
    version, stands = None, decision
    if source:
        version = _write(source, decision, patience)
        while (newer := last(decision.identifier)) is not None and newer.id != stands.id:
            version, stands = _write(source, newer, patience), newer
    tell(decision_event(decision, chain))
    return version, stands


class Recorder:
    """Records what a process decides by itself: at once where the journal can be written, else later.

    The journal is opened for each try: such decisions are rare, and neither a fork nor an outage leaves anything.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._waiting: deque[Decision] = deque(maxlen=MOST_WAITING)
        self._heads: dict[str, str] = {}
        self._failing = False
        self._pid = os.getpid()

    def __call__(self, decision: Decision) -> str | None:
        """The head of the chain once it is on record; None where that has to wait, which stops nobody."""
        if decision.id not in self._heads and decision not in self._waiting:
            self._waiting.append(decision)
        self.catch_up()
        return self._heads.get(decision.id)

    def catch_up(self) -> None:
        """Record what waits, if the journal can be written by now."""
        if self._pid != os.getpid():  # after a fork: the parent records its own
            self._waiting.clear()
            self._pid = os.getpid()
        if not self._waiting:
            return
        try:
            with closing(open_journal(self._place)) as journal:
                self._record_all(journal)
        except JournalError as error:
            if not self._failing:
                _log.warning("automatic decisions are in force, and will be on record later: %s", error)
            self._failing = True
        else:
            self._failing = False

    def _record_all(self, journal: Journal) -> None:
        if len(self._heads) > MOST_WAITING:
            self._heads.clear()
        while self._waiting:
            self._heads[self._waiting[0].id] = journal.append_decision(self._waiting[0])
            self._waiting.popleft()


def _write(source: SuspensionStore, decision: Decision, patience: float) -> int:
    """The list's new version; tried again for a while where another writer holds the list."""
    deadline = time.monotonic() + patience
    change = {decision.identifier: listed(decision)}
    while (version := _written(source, change, last=time.monotonic() > deadline)) is None:
        time.sleep(0.05)
    return version


def _written(source: SuspensionStore, change: dict[str, ListEntry | None], *, last: bool) -> int | None:
    try:
        return source.write(change)
    except Unreadable as error:
        if error.reason == "busy" and not last:
            return None
        raise


def _held(source: SuspensionStore, version: int, wait: float) -> Holders:
    """Who holds the list: as soon as all do, or when the wait is over."""
    deadline = time.monotonic() + wait
    while True:
        holders = source.holders(version)
        if holders.holding >= holders.running or time.monotonic() > deadline:
            return holders
        time.sleep(0.1)


def in_force(decisions: list[Decision], now: float | None = None) -> dict[str, Decision]:
    """The last decision about each identifier, if it still counts: not cleared, not over."""
    now = time.time() if now is None else now
    last = {one.identifier: one for one in decisions if one.action in ACTIONS}
    return {name: one for name, one in last.items() if one.action != "clear" and one.in_force(now)}


def decision_event(decision: Decision, chain: str | None = None) -> SafetyEvent:
    """The `openai_safety.decision` event of a decision: the audit trail, without any content.

    ``chain`` is the head of the journal's hash chain: stored elsewhere, it shows whether the journal is rewritten.
    """
    values: dict[str, AttributeValue | None] = {
        c.DECISION_ACTION: decision.action,
        c.DECISION_BY: decision.by,
        c.DECISION_WHY: decision.why,
        # Some are about nobody: a notice to the organisation, a comparison of counts.
        c.USER_HASH: decision.identifier or None,
        c.DECISION_UNTIL: None if decision.until is None else int(decision.until),
        c.DECISION_AUTOMATIC: decision.automatic or None,
        c.DECISION_CHAIN: chain,
    }
    return SafetyEvent(
        name=c.DECISION_EVENT,
        time_ns=int(decision.at * 1_000_000_000),
        attributes={name: value for name, value in values.items() if value is not None},
        body=f"{decision.action} decided by {decision.by}",
    )
