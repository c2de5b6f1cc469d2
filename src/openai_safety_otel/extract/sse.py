"""What the caller of an unparsed response reads, seen in passing: JSON, or server-sent events."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from openai_safety_otel.extract.response import read_response
from openai_safety_otel.extract.stream import PLAIN_DELTAS, Seen, fold
from openai_safety_otel.record import CallRecord

MAX_BODY: Final = 1 << 20
_LINE_END = re.compile(rb"\r\n|\n|\r")
_DELTA_NAMES: Final = frozenset(name.encode() for name in PLAIN_DELTAS)
_SEEN: Final = tuple(Seen(bits) for bits in range(4))  # arithmetic on flags is slow
_BOM: Final = b"\xef\xbb\xbf"


class BodyReader:
    """Reads one body as it passes by, whatever its pieces; holds at most ``MAX_BODY`` bytes.

    Args:
        headers: of the response. A body whose type is neither JSON nor an event stream is ignored; one
            that names no type is taken for what it looks like.
    """

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        kind = (headers or {}).get("content-type") or ""
        self._reader: _Json | _Events | None = None
        self._decided = False
        self._head = b""
        if "event-stream" in kind:
            self._decide(_Events())
        elif "json" in kind:
            self._decide(_Json())
        elif kind and not kind.startswith("text/plain"):
            self._decide(None)

    def _decide(self, reader: _Json | _Events | None) -> None:
        self._reader = reader
        self._decided = True

    def feed(self, record: CallRecord, data: bytes) -> Seen:
        """Look at the next bytes."""
        if not self._decided:
            self._head += bytes(data[:MAX_BODY])
            start = self._head.removeprefix(_BOM).lstrip()
            if not start:
                return Seen.NOTHING
            looks_json = start[:1] in (b"{", b"[")
            looks_events = start[:1] in (b"d", b"e", b"i", b"r", b":")
            self._decide(_Json() if looks_json else _Events() if looks_events else None)
            data, self._head = self._head, b""
        return self._reader.feed(record, data) if self._reader else Seen.NOTHING

    def finish(self, record: CallRecord) -> Seen:
        """The body ended."""
        return self._reader.finish(record) if self._reader else Seen.NOTHING


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
