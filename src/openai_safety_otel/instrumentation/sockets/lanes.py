"""Which response a server event belongs to: by its id, by its lane, or the oldest one asked for."""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.extract.shape import get, text
from openai_safety_otel.instrumentation.extract.stream import PLAIN_DELTAS

_MAX_LANES: Final = 64
_BEGINNINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDS: Final = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "response.done",
    }
)
_LIFECYCLE: Final = _BEGINNINGS | _ENDS


@dataclass(slots=True, eq=False)
class Answer:
    """A response asked for or begun: its call, its lane, its id, and the id of the event that asked."""

    call: Call
    lane: str = ""
    event_id: str = ""
    response_id: str = ""


class Lanes:
    """The responses of one connection. Requests of one lane are answered in the order they were sent.

    Args:
        by_lane: events name their lane (``stream_id``); otherwise they name their response.
        unasked: opens a call for a response that nobody asked for, given the lane's previous record.
    """

    def __init__(self, *, by_lane: bool, unasked: Callable[[CallRecord | None], Call]) -> None:
        self._by_lane = by_lane
        self._unasked = unasked
        self._waiting: dict[str, collections.deque[Answer]] = {}
        self._current: dict[str, Answer] = {}
        self._by_id: dict[str, Answer] = {}
        # Ids of ended responses, and lanes halted by an error: a later frame may tell of the same end again.
        self._ended: collections.deque[str] = collections.deque(maxlen=_MAX_LANES)
        self._previous: collections.OrderedDict[str, CallRecord] = collections.OrderedDict()

    def lane_of(self, event: object) -> str:
        """The lane an event names, empty for the only one."""
        return text(event, "stream_id") if self._by_lane else ""

    def sent(self, answer: Answer) -> None:
        """A response is asked for now."""
        self._waiting.setdefault(answer.lane, collections.deque()).append(answer)
        self._forget_end(f"lane:{answer.lane}")

    def unsent(self, answer: Answer) -> None:
        """The request did not leave."""
        self._drop_waiting(answer)

    def route(self, kind: str, event: object, lane: str | None = None) -> Answer | None:
        """The response that an event belongs to, begun now if it is new; None if it belongs to none."""
        if kind in _LIFECYCLE:
            lane = self.lane_of(event) if lane is None else lane
            return self._lifecycle(kind, text(get(event, "response"), "id"), lane)
        if self._by_lane or lane is not None:
            lane = self.lane_of(event) if lane is None else lane
            return self._current.get(lane) or (self._begin(lane) if kind in PLAIN_DELTAS else None)
        return self._by_id.get(text(event, "response_id"))

    def failed(self, lane: str, event_id: str) -> Answer | None:
        """The response that an error belongs to: the one whose request it names, else the lane's."""
        waiting = self._waiting.get(lane) or ()
        if event_id:
            return next((answer for answer in waiting if answer.event_id == event_id), None)
        current = self._current.get(lane) if self._by_lane else None
        return current or next(iter(waiting), None)

    def done(self, answer: Answer) -> None:
        """A response has ended."""
        self._drop_waiting(answer)
        if self._current.get(answer.lane) is answer:
            del self._current[answer.lane]
        if answer.response_id:
            self._by_id.pop(answer.response_id, None)
            self._ended.append(f"id:{answer.response_id}")
        else:
            self._ended.append(f"lane:{answer.lane}")
        self._previous[answer.lane] = answer.call.record
        self._previous.move_to_end(answer.lane)
        if len(self._previous) > _MAX_LANES:
            self._previous.popitem(last=False)

    def clear(self) -> list[Call]:
        """Every response that has not ended; forgotten from now on."""
        answers = [answer for waiting in list(self._waiting.values()) for answer in list(waiting)]
        answers += list(self._current.values()) + list(self._by_id.values())
        self._waiting.clear()
        self._current.clear()
        self._by_id.clear()
        return list(dict.fromkeys(answer.call for answer in answers))

    @property
    def begun(self) -> list[Call]:
        """The responses that are being received."""
        return [answer.call for answer in {**self._by_id, **self._current}.values()]

    @property
    def busy(self) -> bool:
        """Whether any response is asked for or being received."""
        return bool(self._waiting or self._current or self._by_id)

    def _lifecycle(self, kind: str, response_id: str, lane: str) -> Answer | None:
        answer = self._by_id.get(response_id) or (None if response_id else self._current.get(lane))
        if answer is None and (current := self._current.get(lane)) and not current.response_id:
            answer = current  # begun by a delta, before its id was known
        if answer is None:
            if kind in _ENDS and (f"id:{response_id}" in self._ended or f"lane:{lane}" in self._ended):
                self._forget_end(f"lane:{lane}")
                return None
            self._forget_end(f"lane:{lane}")
            answer = self._begin(lane) or self._start(
                lane, Answer(self._unasked(self._previous.get(lane)), lane)
            )
        if response_id and not answer.response_id:
            answer.response_id = response_id
            self._by_id[response_id] = answer
        return answer

    def _begin(self, lane: str) -> Answer | None:
        """The oldest request of the lane is being answered now."""
        # A Live delegation's lane is named by the server: its request could not name it.
        asked = lane if self._by_lane or lane in self._waiting else ""
        waiting = self._waiting.get(asked)
        if not waiting:
            return None
        answer = waiting.popleft()
        if not waiting:
            del self._waiting[asked]
        return self._start(lane, answer)

    def _start(self, lane: str, answer: Answer) -> Answer:
        answer.lane = lane
        self._current[lane] = answer
        return answer

    def _drop_waiting(self, answer: Answer) -> None:
        waiting = self._waiting.get(answer.lane)
        if waiting and answer in waiting:
            waiting.remove(answer)
            if not waiting:
                del self._waiting[answer.lane]

    def _forget_end(self, mark: str) -> None:
        if mark in self._ended:
            self._ended.remove(mark)
