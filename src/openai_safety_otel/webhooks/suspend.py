"""Automatic suspension after a notice: on record first, then on the list, then told."""

from __future__ import annotations

import threading
import time

from openai_safety_otel.decisions import decision_event
from openai_safety_otel.journal import Decision, Journal
from openai_safety_otel.signals.event import Sink
from openai_safety_otel.suspensions import Entry, open_source


class ListSuspender:
    """Writes to the suspension list at ``place``, once for each identifier that is not refused already.

    Raises:
        Unreadable: the list's URL is wrong.
    """

    def __init__(self, place: str, journal: Journal, sink: Sink) -> None:
        self._source = open_source(place)
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
            decision = self._recorded(identifier, by, why)
            self._source.write({identifier: Entry("suspend", at=decision.at)})
        self._sink.emit(decision_event(decision))

    def _recorded(self, identifier: str, by: str, why: str) -> Decision:
        for earlier in self._journal.decisions(identifier):
            if (earlier.by, earlier.why) == (by, why):
                return earlier  # the try before this one failed after recording it
        decision = Decision(identifier=identifier, action="suspend", by=by, why=why, at=time.time())
        self._journal.append_decision(decision)
        return decision
