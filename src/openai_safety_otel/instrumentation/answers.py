"""Answers that are looked at later: whose they are, and whether how they ended was told."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping
from typing import Any, Final

from openai_safety_otel.contract.record import CallRecord, Identity, Outcome
from openai_safety_otel.instrumentation.extract.shape import items, text
from openai_safety_otel.instrumentation.extract.terminal import goes_on
from openai_safety_otel.instrumentation.outcome import pending
from openai_safety_otel.who.identifier import Hasher, owner

MAX_SEEN: Final = 10_000
_SESSION: Final = re.compile(r"/agents/sessions/([^/?#]+)")
# Whose answers can be looked at later.
_FETCHED: Final = frozenset({"responses", "videos", "assistants", "agents"})
_MESSAGE: Final = "agent.session.input.message"


class Answers:
    """What this process knows of the last ten thousand answers, by their ids.

    Args:
        hasher: None where no key is set.
    """

    def __init__(self, hasher: Hasher | None) -> None:
        self._hasher = hasher
        self.told: collections.OrderedDict[str, str | None] = collections.OrderedDict()
        self._asked: collections.OrderedDict[str, Identity] = collections.OrderedDict()

    def owner(self, record: CallRecord) -> Identity | None:
        """Whose a fetched answer is: as the provider says, or as is known here; None where nobody knows."""
        asked = self._asked.get(record.response_id or "") or self._asked.get(record.session_id or "")
        echoed = record.echoed_identifier or (None if asked else record.echoed_user)
        return owner(echoed, record.identity, self._hasher) if echoed else asked

    def note(self, record: CallRecord, outcome: Outcome, *, once: bool) -> bool:
        """Keep what an ended call tells of its answer; whether its outcome is news, and so is told.

        That of a fetched answer is, once, by its id, when it has ended. Who asked for an answer that has not ended, as
        far as is known, is kept: perhaps somebody else fetches it.
        """
        early = pending(record) or (record.streaming and goes_on(record))
        known = record.response_id
        if once and record.end == "returned" and (early or (known or "") in self.told):
            return False
        read = record.end == "returned" and record.terminal_seen is not False
        if known and not early and (read or _is_last_word(record, outcome)):
            _keep(self.told, known, record.identity.value)
        elif known and record.inference:
            _keep(self._asked, known, self._asked.get(known, record.identity))
        if record.api == "agents" and record.asks and outcome.name == "completed":
            _keep(self._asked, record.session_id or known or "", record.identity)
        return True

    def identifier_of(self, response_id: str) -> str | None:
        """Whose answer this was, if it is known."""
        found = self._asked.get(response_id)
        return self.told.get(response_id) or (found.value if found is not None else None)


def _is_last_word(record: CallRecord, outcome: Outcome) -> bool:
    """Whether the provider has said how an answer ended that nobody read to its end, or that nobody can look at."""
    return record.complete or outcome.name in ("blocked", "refused") or record.api not in _FETCHED


def _keep(where: collections.OrderedDict[str, Any], name: str, value: object) -> None:
    where[name] = value
    if len(where) > MAX_SEEN:
        where.popitem(last=False)


def read_session(record: CallRecord, url: str, body: Mapping[str, Any]) -> None:
    """Note the session of agents that a request is about, and whether it asks for a turn there."""
    found = _SESSION.search(url)
    record.session_id = found.group(1) if found else None
    events = items(body, "events")
    record.asks = record.inference and (not events or any(text(one, "type") == _MESSAGE for one in events))
