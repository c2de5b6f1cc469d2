"""Automatic suspension after a notice: on record first, then on the list, then told."""

from __future__ import annotations

import threading

from openai_safety_otel.instrumentation.signals.sink import Sink
from openai_safety_otel.ledger.decisions import carry_out, last_in
from openai_safety_otel.ledger.journal import Decision, Journal
from openai_safety_otel.ledger.suspensions import open_suspensions


class ListSuspender:
    """Writes to the suspension list at ``place``, once for each identifier that is not refused already.

    Raises:
        Unreadable: the list's URL is wrong.
    """

    def __init__(self, place: str, journal: Journal, sink: Sink) -> None:
        self._source = open_suspensions(place)
        self._lock = threading.Lock()  # a source is not for several threads at once
        self._journal = journal
        self._sink = sink

    def suspend(self, identifier: str, *, by: str, why: str) -> None:
        """Suspend without expiry (the provider's own block has none).

        Raises:
            JournalError: the decision could not be recorded.
            Unreadable: the list could not be written; trying again is safe.
        """
        with self._lock:
            current = self._source.look_up([identifier]).get(identifier)
            if current is not None and current.refuses:
                return
            decision = Decision(
                identifier=identifier, action="suspend", by=by, why=why, details={"automatic": True}
            )
            carry_out(decision, self._recorded, self._source, self._sink.emit, last=last_in(self._journal))

    def _recorded(self, decision: Decision) -> str | None:
        made = last_in(self._journal)(decision.identifier)
        if made is not None and (made.by, made.why) == (decision.by, decision.why):
            return None  # the try before this one failed after recording it
        return self._journal.append_decision(decision)
