"""Which response a server event belongs to: by its id, by its stream, or the oldest one asked for."""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.extract.shape import get, text
from openai_safety_otel.instrumentation.extract.stream import PLAIN_DELTAS

_MAX_STREAMS: Final = 64
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
class OpenAnswer:
    """A response asked for or begun: its call, its stream, its id, and the id of the event that asked."""

    call: Call
    stream_id: str = ""
    event_id: str = ""
    response_id: str = ""


class Pending:
    """The responses of one connection. Requests of one stream are answered in the order they were sent.

    Args:
        by_stream: events name their stream (``stream_id``); otherwise they name their response.
        unasked: opens a call for a response that nobody asked for, given the stream's previous record.
    """

    def __init__(self, *, by_stream: bool, unasked: Callable[[CallRecord | None], Call]) -> None:
        self._by_stream = by_stream
        self._unasked = unasked
        self._waiting: dict[str, collections.deque[OpenAnswer]] = {}
        self._current: dict[str, OpenAnswer] = {}
        self._by_id: dict[str, OpenAnswer] = {}
        # Ids of ended responses, and streams halted by an error: a later frame may tell of the same end again.
        self._ended: collections.deque[str] = collections.deque(maxlen=_MAX_STREAMS)
        self._previous: collections.OrderedDict[str, CallRecord] = collections.OrderedDict()

    def stream_of(self, event: object) -> str:
        """Return the stream that an event names, empty for the only one."""
        return text(event, "stream_id") if self._by_stream else ""

    def sent(self, answer: OpenAnswer) -> None:
        """A response is asked for now."""
        self._waiting.setdefault(answer.stream_id, collections.deque()).append(answer)
        self._forget_end(f"stream:{answer.stream_id}")

    def unsent(self, answer: OpenAnswer) -> None:
        """The request did not leave."""
        self._drop_waiting(answer)

    def route(self, kind: str, event: object, stream_id: str | None = None) -> OpenAnswer | None:
        """The response that an event belongs to, begun now if it is new; None if it belongs to none."""
        if kind in _LIFECYCLE:
            stream_id = self.stream_of(event) if stream_id is None else stream_id
            return self._lifecycle(kind, text(get(event, "response"), "id"), stream_id)
        if self._by_stream or stream_id is not None:
            stream_id = self.stream_of(event) if stream_id is None else stream_id
            return self._current.get(stream_id) or (self._begin(stream_id) if kind in PLAIN_DELTAS else None)
        return self._by_id.get(text(event, "response_id"))

    def failed(self, stream_id: str, event_id: str) -> OpenAnswer | None:
        """The response that an error belongs to: the one whose request it names, else the stream's."""
        waiting = self._waiting.get(stream_id) or ()
        if event_id:
            return next((answer for answer in waiting if answer.event_id == event_id), None)
        current = self._current.get(stream_id) if self._by_stream else None
        found = current or next(iter(waiting), None)
        if found is None and self._by_stream and not stream_id and len(every := self._every()) == 1:
            return every[0]  # it names no stream, and nobody else has asked for anything
        return found

    def done(self, answer: OpenAnswer) -> None:
        """A response has ended."""
        self._drop_waiting(answer)
        if self._current.get(answer.stream_id) is answer:
            del self._current[answer.stream_id]
        if answer.response_id:
            self._by_id.pop(answer.response_id, None)
            self._ended.append(f"id:{answer.response_id}")
        else:
            self._ended.append(f"stream:{answer.stream_id}")
        self._previous[answer.stream_id] = answer.call.record
        self._previous.move_to_end(answer.stream_id)
        if len(self._previous) > _MAX_STREAMS:
            self._previous.popitem(last=False)

    def clear(self) -> list[Call]:
        """Every response that has not ended; forgotten from now on."""
        answers = self._every()
        self._waiting.clear()
        self._current.clear()
        self._by_id.clear()
        return [answer.call for answer in answers]

    def _every(self) -> list[OpenAnswer]:
        answers = [answer for waiting in list(self._waiting.values()) for answer in list(waiting)]
        answers += list(self._current.values()) + list(self._by_id.values())
        return list(dict.fromkeys(answers))

    def record_of(self, response_id: str) -> CallRecord | None:
        """The record of a response that runs, or was the last of its stream."""
        answer = self._by_id.get(response_id)
        if answer is not None:
            return answer.call.record
        return next((one for one in self._previous.values() if one.response_id == response_id), None)

    @property
    def begun(self) -> list[Call]:
        """The responses that are being received."""
        return [answer.call for answer in {**self._by_id, **self._current}.values()]

    @property
    def busy(self) -> bool:
        """Whether any response is asked for or being received."""
        return bool(self._waiting or self._current or self._by_id)

    def _lifecycle(self, kind: str, response_id: str, stream_id: str) -> OpenAnswer | None:
        answer = self._by_id.get(response_id) or (None if response_id else self._current.get(stream_id))
        if answer is None and (current := self._current.get(stream_id)) and not current.response_id:
            answer = current  # begun by a delta, before its id was known
        if answer is None:
            if kind in _ENDS and (f"id:{response_id}" in self._ended or f"stream:{stream_id}" in self._ended):
                self._forget_end(f"stream:{stream_id}")
                return None
            self._forget_end(f"stream:{stream_id}")
            answer = self._begin(stream_id) or self._start(
                stream_id, OpenAnswer(self._unasked(self._previous.get(stream_id)), stream_id)
            )
        if response_id and not answer.response_id:
            answer.response_id = response_id
            self._by_id[response_id] = answer
        return answer

    def _begin(self, stream_id: str) -> OpenAnswer | None:
        """The oldest request of the stream is being answered now."""
        # A Live delegation's stream is named by the server: its request could not name it.
        asked = stream_id if self._by_stream or stream_id in self._waiting else ""
        waiting = self._waiting.get(asked)
        if not waiting:
            return None
        answer = waiting.popleft()
        if not waiting:
            del self._waiting[asked]
        return self._start(stream_id, answer)

    def _start(self, stream_id: str, answer: OpenAnswer) -> OpenAnswer:
        answer.stream_id = stream_id
        self._current[stream_id] = answer
        return answer

    def _drop_waiting(self, answer: OpenAnswer) -> None:
        waiting = self._waiting.get(answer.stream_id)
        if waiting and answer in waiting:
            waiting.remove(answer)
            if not waiting:
                del self._waiting[answer.stream_id]

    def _forget_end(self, mark: str) -> None:
        if mark in self._ended:
            self._ended.remove(mark)
