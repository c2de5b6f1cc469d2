"""Events that wait on disk while the collector is away: OTLP JSON lines, one file a process.

A file is taken up from its end: what was delivered is cut off, so the file itself says what is left. A kill
between a delivery and its cut repeats one batch, never more. A file is locked by the process that writes or
sends it; what an ended process left is sent by whichever process gets its lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai_safety_otel import conventions as c
from openai_safety_otel.record import AttributeValue, SafetyEvent
from openai_safety_otel.signals import otlp_json
from openai_safety_otel.signals.pruning import hold, lock

LIMIT_BYTES = 500_000_000  # of one folder, all processes together
_RESCAN_SECONDS = 30.0
_READ_BYTES = 1 << 20
_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_PATTERN = "openai-safety-spill-*.jsonl"


class SpillFullError(OSError):
    """The folder holds as much as it may."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The last events of a file; ``drop`` once they were delivered."""

    events: list[SafetyEvent]
    resource: dict[str, AttributeValue]
    unreadable: int
    file: _File
    start: int

    @property
    def key(self) -> tuple[str, int]:
        """Which file, and where in it."""
        return str(self.file.path), self.start

    def drop(self) -> None:
        """Cut them off; an empty file of an ended process goes."""
        self.file.cut(self.start)


class Spill:
    """The folder of waiting events, seen from one process; used by one thread at a time.

    Args:
        directory: made if it is missing, readable by its owner only.
        limit_bytes: of all files in it together.
    """

    def __init__(self, directory: str | Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._directory = Path(directory)
        self._limit = limit_bytes
        self._own: _File | None = None
        self._left: list[_File] = []
        self._looked: float | None = None

    @property
    def path(self) -> Path | None:
        """This process's own file, once there is one."""
        return self._own.path if self._own else None

    def write(self, events: Sequence[SafetyEvent], resource: Mapping[str, AttributeValue]) -> None:
        """Append events, each in a line of its own.

        Raises:
            SpillFullError: the folder holds as much as it may.
            OSError: the disk says no.
        """
        content = b"".join(otlp_json.line(event, resource) for event in events)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sum(_size(path) for path in self._directory.glob(_PATTERN)) + len(content) > self._limit:
            raise SpillFullError("the spill folder is full")
        if self._own is None or self._own.is_gone():
            self._own = _File.create(self._directory)
        self._own.append(content)

    def take(self, many: int) -> Taken | None:
        """Up to ``many`` of the events that wait: this process's own, else an ended one's."""
        if self._own is not None and self._own.size:
            return self._own.tail(many)
        self._look()
        while self._left:
            if self._left[-1].size:
                return self._left[-1].tail(many)
            self._left.pop().remove()
        return None

    @property
    def waiting(self) -> bool:
        """Whether there is something to take, as far as is known without looking again."""
        return bool(self._left) or (self._own is not None and self._own.size > 0)

    def close(self) -> None:
        """Give up the locks; a file with nothing left in it goes."""
        for file in (self._own, *self._left):
            if file is not None:
                (file.close if file.size else file.remove)()
        self._own, self._left, self._looked = None, [], None

    def disown(self) -> None:
        """In a forked child: these files are the parent's."""
        for file in (self._own, *self._left):
            if file is not None:
                with contextlib.suppress(OSError):  # the parent was about to close it as it forked
                    file.close()
        self._own, self._left, self._looked = None, [], None

    def _look(self) -> None:
        now = time.monotonic()
        if self._left or (self._looked is not None and now - self._looked < _RESCAN_SECONDS):
            return
        self._looked = now
        own = self.path
        for path in sorted(self._directory.glob(_PATTERN)):
            if path != own and (found := _File.claim(path)):
                self._left.append(found)


class _File:
    """One open, locked spill file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, directory: Path) -> _File:
        start = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        path = directory / f"openai-safety-spill-{start}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        hold(descriptor)
        return cls(path, descriptor)

    @classmethod
    def claim(cls, path: Path) -> _File | None:
        """A file that nobody holds, and that this user wrote: others must not put words in our mouth."""
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError:
            return None
        found = os.fstat(descriptor)
        ours = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
        # The lock first, then the look: whoever had it may have sent all and removed the file.
        if ours and lock(descriptor) and os.fstat(descriptor).st_nlink:
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    def is_gone(self) -> bool:
        """Whether somebody deleted it: what is written now would be lost."""
        return os.fstat(self._descriptor).st_nlink == 0

    def append(self, content: bytes) -> None:
        """Add lines; what does not fit on the disk is taken back whole."""
        written = 0
        try:
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(content)

    def tail(self, many: int) -> Taken:
        lines = self._last_lines(many)
        start = self.size - sum(map(len, lines))
        found = [_read_or_none(line) for line in lines if line.strip()]  # erased events are spaces
        read = [one for one in found if one is not None]
        resource = read[-1][1] if read else {}
        return Taken([event for event, _ in read], resource, len(found) - len(read), self, start)

    def _last_lines(self, many: int) -> list[bytes]:
        want = _READ_BYTES
        while True:
            start = max(0, self.size - want)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            data = _read(self._descriptor, self.size - start)
            first = data.find(b"\n", 0, len(data) - 1) + 1 if start else 0
            if first or not start:
                return data[first:].splitlines(keepends=True)[-many:]
            want *= 4

    def cut(self, start: int) -> None:
        os.ftruncate(self._descriptor, start)
        self.size = start

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)


def read_line(line: bytes) -> tuple[SafetyEvent, dict[str, AttributeValue]]:
    """The event and the resource of one line that `otlp_json.line` wrote.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: it is no such line.
    """
    block = json.loads(line)["resourceLogs"][0]
    scope = block["scopeLogs"][0]
    record = scope["logRecords"][0]
    attributes = _attributes(record["attributes"])
    attributes.pop(c.EVENT_NAME, None)
    event = SafetyEvent(
        name=record["eventName"],
        time_ns=int(record["timeUnixNano"]),
        attributes=attributes,
        body=record.get("body", {}).get("stringValue", ""),
        severity=record["severityText"],
        scope=scope["scope"]["name"],
        trace_id=int(record.get("traceId", "0"), 16),
        span_id=int(record.get("spanId", "0"), 16),
        trace_flags=record.get("flags", 0),
    )
    return event, _attributes(block["resource"]["attributes"])


def _read_or_none(line: bytes) -> tuple[SafetyEvent, dict[str, AttributeValue]] | None:
    """The same, or None for a line torn by a kill or a full disk."""
    try:
        return read_line(line)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _attributes(pairs: list[dict[str, Any]]) -> dict[str, AttributeValue]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def _value(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "arrayValue":
        return tuple(_value(item) for item in content["values"])
    return _KINDS[kind](content)


_KINDS = {"stringValue": str, "boolValue": bool, "intValue": int, "doubleValue": float}


def _read(descriptor: int, many: int) -> bytes:
    parts = []
    while many > 0 and (part := os.read(descriptor, many)):
        parts.append(part)
        many -= len(part)
    return b"".join(parts)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
