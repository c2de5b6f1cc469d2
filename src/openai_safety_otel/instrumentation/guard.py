"""Optional: refuse a locally suspended end user before any network call. The call path reads memory only."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, get_args

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.record import Identity, Outcome, SafetyEvent
from openai_safety_otel.contract.settings import OnError, Settings
from openai_safety_otel.ledger.decisions import Recorder, carry_out
from openai_safety_otel.ledger.journal.entries import Decision
from openai_safety_otel.ledger.suspensions import ListEntry, SuspensionStore, open_suspensions
from openai_safety_otel.ledger.suspensions.automatic import AutoEntry, AutoRule
from openai_safety_otel.ledger.suspensions.entry import strongest
from openai_safety_otel.ledger.suspensions.refresher import CountDrop, Refresher

if TYPE_CHECKING:
    from openai_safety_otel.instrumentation.suspended import Code, EndUserSuspended

# How long the first reading of the list may hold up the start of the app, in seconds.
START_SECONDS: Final = 1.0
# A list that was not read for so many seconds counts as unreadable: `suspensions_on_error` decides.
UNREADABLE_SECONDS: Final = 30.0
UNAVAILABLE: Final = ListEntry("suspend", None, "openai-safety", "the suspension list cannot be read")


class Guard:
    """Knows, from memory, what was decided about each end user.

    Args:
        refresher: keeps the list.
        on_error: ``open`` lets calls pass while the list cannot be read, ``closed`` refuses identified ones.
        auto: when a block suspends its end user, or None.
        dropped: counts (signal, reason): the list could not be read, calls passed unchecked.
        emit: takes the decision event of an automatic entry; called on the background thread.
        record: puts an automatic decision on record; the head of the journal's chain, None where it has to wait.
    """

    def __init__(
        self,
        refresher: Refresher,
        *,
        on_error: OnError = "open",
        auto: AutoRule | None = None,
        dropped: CountDrop = lambda *_: None,
        emit: Callable[[SafetyEvent], None] = lambda _: None,
        record: Callable[[Decision], str | None] = lambda _: None,
    ) -> None:
        self._refresher = refresher
        self._closed_on_error = on_error == "closed"
        self._auto = auto
        self._dropped = dropped
        self._emit = emit
        self._record = record

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        dropped: CountDrop = lambda *_: None,
        emit: Callable[[SafetyEvent], None] = lambda _: None,
    ) -> Guard:
        """The guard these settings ask for, already following the list that they name.

        Waits up to `START_SECONDS` for the list to be read, so that the first call meets it; never raises for
        a list that cannot be read.
        """
        recorder = Recorder(settings.store)
        opening = functools.partial(open_suspensions, str(settings.suspensions))
        refresher = Refresher(opening, dropped, recorder.catch_up)
        # Red-team runs and drills are blocked on purpose: they suspend nobody.
        auto = AutoRule.parse(settings.auto_suspend) if settings.traffic == "production" else None
        guard = cls(
            refresher,
            on_error=settings.suspensions_on_error,
            auto=auto,
            dropped=dropped,
            emit=emit,
            record=recorder,
        )
        refresher.start(START_SECONDS)
        return guard

    def check(self, identity: Identity) -> ListEntry | None:
        """What is decided about this person: the strongest active entry under any of their identifiers.

        Where the list cannot be read and ``suspensions_on_error`` is ``closed``, an identified call gets
        `UNAVAILABLE`. Reads memory only, in constant time.
        """
        if identity.value is None and not identity.matches:
            return None
        entry = self._find(identity)
        if entry is not None and entry.refuses:
            return entry
        if not self._refresher.is_read() or self._refresher.age() > UNREADABLE_SECONDS:
            if self._closed_on_error:
                return UNAVAILABLE
            self._dropped("suspension_check", "unreadable")
        return entry

    def _find(self, identity: Identity) -> ListEntry | None:
        rows = self._refresher.rows
        forms = (identity.value, *identity.matches)
        found = [row for form in forms if form is not None and (row := rows.get(form)) is not None]
        return strongest(found) if found else None

    def seen(self, identity: Identity, outcome: Outcome, *, known: bool = True) -> None:
        """Note how a call ended; an automatic entry is made on the background thread, never here.

        ``known`` is false where the provider was not given this identifier: it blocked another one.
        """
        if not known and outcome.block_type == "identifier_blocked":
            return
        if self._auto is not None and identity.value is not None and self._auto.concerns(outcome):
            self._refresher.ask(AutoEntry(self._auto, identity.value, outcome, time.time(), self._decide))

    def _decide(self, decision: Decision, source: SuspensionStore) -> None:
        carry_out(decision, self._record, source, self._emit)

    def states(self) -> list[tuple[float, dict[str, str]]]:
        """Each state of the list with 1 for the one it is in: the gauge of the contract."""
        found = self._refresher.state()
        return [
            (float(one == found), {c.SUSPENSIONS_FOUND: one}) for one in get_args(vocabulary.SuspensionsState)
        ]

    def age(self) -> float:
        """Seconds since the list was last read successfully; since the start, where it never was."""
        return self._refresher.age()

    def close(self) -> None:
        """Stop following the list; returns within a second."""
        self._refresher.close()


def refusal(
    entry: ListEntry | None,
    *,
    filtered: bool = False,
    url: str = "https://api.openai.com/v1",
) -> EndUserSuspended:
    """The exception to raise for an entry that refuses, or (``filtered``) for a call the filter stopped.

    Imports openai, which a call that is being refused has imported long ago.
    """
    from openai_safety_otel.instrumentation.suspended import EndUserSuspended  # noqa: PLC0415 - importing us never imports openai

    code: Code = "end_user_filtered" if filtered else "end_user_suspended"
    if entry is UNAVAILABLE:
        code = "suspensions_unavailable"
    return EndUserSuspended(code, until=entry.until if entry else None, url=url)
