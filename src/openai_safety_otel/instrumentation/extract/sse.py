"""What the caller of an unparsed response reads, seen in passing: JSON, or server-sent events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.extract.response import read_response
from openai_safety_otel.instrumentation.extract.stream import PLAIN_DELTAS, Seen, fold

MAX_BODY: Final = 1 << 20
_LINE_END = re.compile(rb"\r\n|\n|\r")
_DELTA_NAMES: Final = frozenset(name.encode() for name in PLAIN_DELTAS)
_SEEN: Final = tuple(Seen(bits) for bits in range(4))  # arithmetic on flags is slow
_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = _BOM + b" \t\r\n"
_KINDS: Final = ("event-stream", "json", "text/plain")
_EVENT_STARTS: Final = (b"d", b"e", b"i", b"r", b":")  # data, event, id, retry, a comment
_TAIL: Final = 64
_DONE: Final = re.compile(rb"[\r\n]data: ?\[DONE\]")


class BodyReader:
    """Reads one body as it passes by, whatever its pieces; holds at most ``MAX_BODY`` bytes.

    Its first character shows what it is: gateways answer with JSON where a stream was asked for, and name it either
    way. A body that is named as something else is ignored.

    Args:
        headers: of the response.
    """

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        kind = ((headers or {}).get("content-type") or "").lower()
        self.named_events = not kind or "event-stream" in kind
        self._decided = bool(kind) and not any(known in kind for known in _KINDS)
        self._sure = "event-stream" in kind
        self._make: Callable[[], _Events | _Tail | None] = _Events
        self._reader: _Json | _Events | _Tail | None = None

    @property
    def is_json(self) -> bool:
        """Whether it has shown itself to be JSON."""
        return type(self._reader) is _Json

    @property
    def listening(self) -> bool:
        """Whether it must hear more of the body."""
        return not self._decided or self._reader is not None

    def leave_events(self, *, look_for_done: bool) -> None:
        """Somebody else reads the events; of their bytes only the closing line may be of interest."""
        self._make = _Tail if look_for_done else _nothing
        if type(self._reader) is _Events:
            self._reader = self._make()

    def feed(self, record: CallRecord, data: bytes) -> Seen:
        """Look at the next bytes."""
        if not self._decided:
            data = bytes(data).lstrip(_BLANK)
            if not data:
                return Seen.NOTHING
            self._decided = True
            if data[:1] in (b"{", b"["):
                self._reader = _Json()
            elif self._sure or data[:1] in _EVENT_STARTS:
                self._reader = self._make()
        return self._reader.feed(record, data) if self._reader else Seen.NOTHING

    def finish(self, record: CallRecord) -> Seen:
        """The body ended."""
        return self._reader.finish(record) if self._reader else Seen.NOTHING


def _nothing() -> None:
    return None


class _Tail:
    """The last bytes of a stream: whether its closing line came, which the SDK keeps to itself."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\n"

    def feed(self, record: CallRecord, data: bytes) -> Seen:
        self._last = bytes(data[-_TAIL:]) if len(data) >= _TAIL else (self._last + data)[-_TAIL:]
        return Seen.NOTHING

    def finish(self, record: CallRecord) -> Seen:
        return Seen.TERMINAL if _DONE.search(self._last) else Seen.NOTHING


class _Json:
    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, record: CallRecord, data: bytes) -> Seen:
        if self._size > MAX_BODY:
            return Seen.NOTHING
        self._size += len(data)
        if self._size > MAX_BODY:
            self._parts.clear()
            record.oversized += 1
        else:
            self._parts.append(data)
        return Seen.NOTHING

    def finish(self, record: CallRecord) -> Seen:
        body = _parsed(b"".join(self._parts))
        self._parts.clear()
        if body is None:
            return Seen.NOTHING
        read_response(record, body)
        return Seen.TERMINAL


class _Events:
    __slots__ = ("_after_cr", "_data", "_long", "_name", "_rest", "_size", "_skipping")

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # pieces of a line that has not ended
        self._data: list[bytes] = []
        self._name = b""
        self._long = 0  # bytes of it, kept or not
        self._size = 0  # bytes of the event so far
        self._after_cr = False
        self._skipping = False

    def feed(self, record: CallRecord, data: bytes) -> Seen:
        data = bytes(data)
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        if not data:
            return Seen.NOTHING
        self._after_cr = data.endswith(b"\r")
        first, *others = _LINE_END.split(data)
        self._hold(record, first)
        seen = 0
        for piece in others:
            seen |= self._line(record)
            self._hold(record, piece)
        return _SEEN[seen]

    def finish(self, record: CallRecord) -> Seen:
        """An event that the last line did not close is read all the same."""
        return _SEEN[self._line(record) | self._dispatch(record)]

    def _hold(self, record: CallRecord, piece: bytes) -> None:
        self._long += len(piece)
        self._size += len(piece)
        if self._size <= MAX_BODY:
            if piece:
                self._rest.append(piece)
        elif not self._skipping:
            self._skipping = True
            record.oversized += 1
            self._rest.clear()
            self._data.clear()

    def _line(self, record: CallRecord) -> int:
        """A line ended; an empty one ends an event."""
        line, long = b"".join(self._rest), self._long
        self._rest.clear()
        self._long = 0
        if not long:
            return self._dispatch(record)
        if self._skipping:
            return 0
        name, _, value = line.removeprefix(_BOM).partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
        return 0

    def _dispatch(self, record: CallRecord) -> int:
        data, name = b"\n".join(self._data), self._name
        self._data.clear()
        self._name, self._size, self._skipping = b"", 0, False
        if not data or (record.output_begun and name in _DELTA_NAMES):
            return Seen.NOTHING
        if data.startswith(b"[DONE]"):
            return Seen.TERMINAL
        event = _parsed(data)
        if not isinstance(event, dict):
            return Seen.NOTHING
        if name.startswith(b"thread."):  # assistants: the event's name stands outside its data
            event = {"event": name.decode(errors="replace"), "data": event}
        return fold(record, event)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
