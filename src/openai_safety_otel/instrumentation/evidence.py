"""Opt-in evidence: the user's own last turn, and the output where that was flagged; masked and truncated."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, CallRecord, Outcome, SafetyEvent
from openai_safety_otel.contract.settings import EvidenceMode
from openai_safety_otel.instrumentation.extract.categories import LIKELY_MINORS
from openai_safety_otel.instrumentation.extract.shape import dig, get, items
from openai_safety_otel.instrumentation.signals.attributes import (
    is_flagged,
    safety_attributes,
    score_attributes,
)

MAX_CHARS: Final = 4000  # kept of each text, after masking
_MARGIN: Final = 512  # read beyond that, so that what is masked is not cut in half first
MAX_WATCHED_EVENTS: Final = 200  # of one watched identifier, in one process
_MAX_WATCHED: Final = 10_000  # watched identifiers counted at a time
_MINORS: Final = "sexual/minors"
_STANDARD: Final = (c.RESPONSE_ID, c.REQUEST_MODEL, c.CONVERSATION_ID)


# --- the user's last turn ----------------------------------------------------------------------------------


def last_turn(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts of the user's own last turn in a request body; empty where it holds none.

    Reads Chat's ``messages``, Responses' and others' ``input``, and ``prompt``. Of a conversation it takes
    the last run of user messages: no system text, no tool output, nothing earlier. References, no copies.
    """
    for place in ("messages", "input", "prompt"):
        found = get(body, place)
        if found is None:
            continue
        return tuple(_texts(found if isinstance(found, (str, bytes)) else _last_run(body, place)))
    return tuple(_texts(_last_run(get(body, "thread") or {}, "messages")))


def _last_run(body: Any, place: str) -> list[Any]:
    """The last user messages in a row; every item where none has a role (embeddings, moderations)."""
    found = items(body, place) if not isinstance(body.get(place), list) else body[place]
    run: list[Any] = []
    conversation = False
    for item in reversed(found):
        role = get(item, "role") if not isinstance(item, str) else None
        conversation = conversation or role is not None
        if role == "user":
            run.append(item)
        elif run:
            break
    if conversation:
        return run[::-1]
    return [item for item in found if isinstance(item, str) or get(item, "type") in _TEXT_TYPES]


_TEXT_TYPES: Final = ("text", "input_text", "output_text")


def _texts(found: Any) -> Iterator[str]:
    """The texts in a string, a part, a message, or a list of these."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, (list, tuple)):
        for one in found:
            yield from _texts(one)
    elif get(found, "type") in _TEXT_TYPES:
        if isinstance(text := get(found, "text"), str):
            yield text
    elif isinstance(content := get(found, "content"), (str, list, tuple)):
        yield from _texts(content)


# --- what a call leaves ------------------------------------------------------------------------------------


class Collector:
    """Texts of one running call, kept only until it ends. ``turn`` is references to the request's own texts.

    Output pieces are collected up to a bound: constant work for each chunk, whatever the answer's length.
    """

    __slots__ = ("_left", "_pieces", "turn", "watched")

    def __init__(self, body: Mapping[str, Any], *, watched: bool) -> None:
        self.turn = last_turn(body)
        self.watched = watched
        self._pieces: list[str] = []
        self._left = MAX_CHARS + _MARGIN

    def chunk(self, chunk: object) -> None:
        """One parsed chunk of a stream: the text it adds, if it adds any."""
        if self._left <= 0:
            return
        kind = get(chunk, "type")
        if isinstance(kind, str):
            if kind in ("response.output_text.delta", "response.refusal.delta"):
                self.add(get(chunk, "delta"))
        else:
            for choice in items(chunk, "choices"):
                self.add(dig(choice, "delta", "content") or get(choice, "text"))

    def result(self, answer: object) -> None:
        """A whole parsed answer, where there was no stream."""
        for choice in items(answer, "choices"):
            self.add(dig(choice, "message", "content") or get(choice, "text"))
        for item in items(answer, "output"):
            for part in items(item, "content"):
                self.add(get(part, "text"))

    def add(self, text: object) -> None:
        """One piece of output text; what is beyond the bound is not kept."""
        if isinstance(text, str) and text and self._left > 0:
            self._pieces.append(text[: self._left])
            self._left -= len(text)

    def output(self) -> str:
        """The output text so far."""
        return "".join(self._pieces)


class Evidence:
    """Which calls leave evidence, and the event they leave.

    Args:
        mode: ``off``, ``blocked`` or ``flagged`` (which includes blocked). Under a `watch` decision every
            call of that identifier leaves evidence, whatever the mode, up to `MAX_WATCHED_EVENTS` in a
            process.
    """

    def __init__(self, mode: EvidenceMode) -> None:
        self._mode = mode
        self._watched: collections.OrderedDict[str, int] = collections.OrderedDict()

    @property
    def wanted(self) -> bool:
        """Whether any call may leave evidence that is not watched."""
        return self._mode != "off"

    def collector(self, body: Mapping[str, Any], *, watched: bool = False) -> Collector | None:
        """What to give a starting call; None where none of its text may be kept."""
        return Collector(body, watched=watched) if watched or self.wanted else None

    def event(
        self,
        record: CallRecord,
        outcome: Outcome,
        collected: Collector | None,
        trace_ids: tuple[int, int, int] = (0, 0, 0),
    ) -> SafetyEvent | None:
        """The evidence event of a finished call, in its own scope; None where it leaves none."""
        if collected is None or not (self._wants(record, outcome) or self._watches(record, collected)):
            return None
        attributes: dict[str, AttributeValue] = {
            name: value for name in _STANDARD if (value := record.standard.get(name)) is not None
        }
        attributes.update(score_attributes(record, only_flagged=False))
        attributes.update(safety_attributes(record, outcome))
        attributes.update(_kept_texts(record, outcome, collected))
        trace_id, span_id, flags = trace_ids
        return SafetyEvent(
            name=c.EVIDENCE_EVENT,
            time_ns=record.ended_ns,
            attributes=attributes,
            body=f"evidence of {record.endpoint} {outcome.name}",
            scope=c.EVIDENCE_SCOPE,
            trace_id=trace_id,
            span_id=span_id,
            trace_flags=flags,
        )

    def _wants(self, record: CallRecord, outcome: Outcome) -> bool:
        if self._mode == "off" or outcome.block_type == "suspended_locally":
            return False  # what a suspended user wrote went nowhere and is nobody's business
        return outcome.name == "blocked" or (self._mode == "flagged" and is_flagged(record))

    def _watches(self, record: CallRecord, collected: Collector) -> bool:
        who = record.identity.value
        if not collected.watched or who is None:
            return False
        seen = self._watched.pop(who, 0) + 1
        self._watched[who] = seen
        while len(self._watched) > _MAX_WATCHED:
            self._watched.popitem(last=False)
        return seen <= MAX_WATCHED_EVENTS


def _kept_texts(record: CallRecord, outcome: Outcome, collected: Collector) -> dict[str, AttributeValue]:
    if about_minors(record):
        return {}  # scores and ids only, never text
    kept: dict[str, AttributeValue] = {}
    if turn := shortened("\n".join(_bounded(collected.turn))):
        kept[c.EVIDENCE_INPUT] = turn
    leg = record.moderation.legs.get("output")
    flagged = outcome.block_source == "output" or (leg is not None and leg.flagged)
    if flagged and (output := shortened(collected.output())):
        kept[c.EVIDENCE_OUTPUT] = output
    return kept


def about_minors(record: CallRecord) -> bool:
    """Whether anything says that the text may be about sexual/minors."""
    legs = record.moderation.legs.values()
    likely = (leg.scores.get(_MINORS, 0.0) >= LIKELY_MINORS for leg in legs)
    if any(likely) or any(leg.minors or _MINORS in leg.categories for leg in legs):
        return True
    return record.filtered_minors or any(error.minors for error in (*record.errors, *record.item_errors))


def shortened(text: str) -> str:
    """Masked first and cut afterwards, so that half a secret is not left standing at the cut."""
    from openai_safety_otel.instrumentation.masking import mask  # noqa: PLC0415 - its patterns are compiled where they are used

    masked = mask(text[: MAX_CHARS + _MARGIN])
    return masked if len(masked) <= MAX_CHARS and len(text) <= MAX_CHARS else f"{masked[: MAX_CHARS - 1]}…"


def _bounded(texts: tuple[str, ...]) -> Iterator[str]:
    """Texts up to the bound, without joining a long document first."""
    left = MAX_CHARS + _MARGIN
    for text in texts:
        if left <= 0:
            return
        yield text[: left + 1]
        left -= len(text)
