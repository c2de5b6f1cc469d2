"""OTLP JSON lines to text rows, one per event of ours: the hot loop of reading files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from typing import Any

import msgspec

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.operations.store.otlp import Record, decode_line
from openai_safety_otel.operations.store.schema import ATTRIBUTE_COLUMNS, LIST_SEPARATOR, LISTS, RESOURCE

_BLANK: dict[str, Any] = dict.fromkeys(column.source for column in ATTRIBUTE_COLUMNS)
_in_order = itemgetter(*_BLANK)
# An escape, an object or a list would break a CSV line; OTLP's words for what is no number are no numbers.
_NOT_PLAIN = (b"\\", b"{", b"[", b'"NaN"', b'Infinity"')
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
_TEXT_LIMIT = 20_000  # characters kept of one value: names and codes are far shorter
_ROW_LIMIT = 500_000
_MOST_RESOURCES = 1000
_LATEST = 2**63  # nanoseconds: what a signed 64-bit column holds
_OUR_SEVERITIES = {9: "INFO", 13: "WARN", 17: "ERROR"}


@dataclass(slots=True)
class Skipped:
    """What was read past, and why. Counts of lines, of records and of files."""

    broken_lines: int = 0
    unfinished_lines: int = 0
    broken_records: int = 0
    other_records: int = 0
    other_lines: int = 0
    unreadable_files: int = 0
    duplicates: int = 0

    def add(self, other: Skipped) -> None:
        """Add another count to this one."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    @property
    def problems(self) -> int:
        """How much could not be read; other signals, other logs and duplicates are no problem."""
        return self.broken_lines + self.unfinished_lines + self.broken_records + self.unreadable_files

    def as_dict(self) -> dict[str, int]:
        """Counts by name."""
        return asdict(self)


class RowWriter:
    """Turns lines into rows of text and hands each row (bytes with a newline) to ``write``."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self.skipped = Skipped()
        self.rows = 0
        self._write = write
        self._places: dict[bytes, tuple[Any, ...]] = {}

    def line(self, line: bytes, *, finished: bool = True) -> None:
        """Read one line of a file; ``finished`` is false for a last line without its newline."""
        try:
            resources = decode_line(line).resource_logs
            if resources is None:
                self.skipped.other_lines += 1
                return
            for resource in resources:
                place = self._place(bytes(resource.resource))
                for scope in resource.scope_logs:
                    for record in scope.log_records:
                        self._record(record, place)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._odd_line(line, finished=finished)

    def _record(self, record: Record, place: tuple[Any, ...]) -> None:
        row = _BLANK.copy()
        for pair in record.attributes:
            # A value is an object of one member (none at all for an empty one).
            for value in pair.value.values():
                row[pair.key] = value
        event = record.event_name or row.get(c.EVENT_NAME)
        if not isinstance(event, str) or not event.startswith(c.ROOT):
            self.skipped.other_records += 1
            return
        try:
            self.row((*_head(record, event), *place), row)
        except (TypeError, ValueError, AttributeError, msgspec.MsgspecError):
            self.skipped.broken_records += 1

    def _place(self, resource: bytes) -> tuple[Any, ...]:
        """The resource's columns; every line of a process has the same one, so it is read once."""
        known = self._places.get(resource)
        if known is None:
            if len(self._places) > _MOST_RESOURCES:
                self._places.clear()
            known = self._places[resource] = _resource(msgspec.json.decode(resource) if resource else None)
        return known

    def _odd_line(self, line: bytes, *, finished: bool) -> None:
        """A line that is not as the protocol says: count it, or read the records of it that are."""
        if not line.strip():
            return
        try:
            document = msgspec.json.decode(line)
            resources = document["resourceLogs"]
        except (KeyError, TypeError):
            self.skipped.other_lines += 1
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if finished:
                self.skipped.broken_lines += 1
            else:
                self.skipped.unfinished_lines += 1
            return
        self._odd_resources(resources)

    def _odd_resources(self, resources: Any) -> None:
        try:
            for resource in resources:
                place = _resource(resource.get("resource"))
                for scope in resource["scopeLogs"]:
                    for record in scope["logRecords"]:
                        self._odd_record(record, place)
        except (KeyError, TypeError, AttributeError):
            self.skipped.broken_lines += 1

    def _odd_record(self, record: Any, place: tuple[Any, ...]) -> None:
        try:
            typed = msgspec.convert(record, Record)
        except msgspec.ValidationError:
            self.skipped.broken_records += 1
            return
        self._record(typed, place)

    def row(self, head: tuple[Any, ...], row: dict[str, Any]) -> None:
        """Write one row: the record's own fields, then the attributes in the table's order."""
        for name in LISTS:
            if row[name] is not None:
                row[name] = _joined(row[name])
        values = head + _in_order(row)
        # A JSON list without its brackets is a CSV line, as long as no string needs an escape.
        text = msgspec.json.encode(values)[1:-1]
        if len(text) > _ROW_LIMIT or any(mark in text for mark in _NOT_PLAIN):
            text = ",".join(map(_field, values)).encode("utf-8", "replace")
        self._write(text + b"\n")
        self.rows += 1

    def attributes(self, head: tuple[Any, ...], given: Iterable[tuple[str, Any]]) -> None:
        """Write one row from plain attribute values."""
        row = _BLANK.copy()
        row.update(given)
        self.row(head, row)


def _head(record: Record, event: str) -> tuple[Any, ...]:
    time_ns = int(record.time_unix_nano) or int(record.observed_time_unix_nano)
    if not 0 < time_ns < _LATEST:
        raise ValueError("no such time")
    body = record.body
    return (
        time_ns,
        event,
        record.severity_text or _OUR_SEVERITIES.get(record.severity_number),
        body.get("stringValue") if body else None,
        record.trace_id or None,
        record.span_id or None,
    )


def _resource(resource: Any) -> tuple[Any, ...]:
    try:
        pairs = (resource or {}).get("attributes") or ()
        found = {pair["key"]: pair["value"].get("stringValue") for pair in pairs}
    except (KeyError, TypeError, AttributeError):
        return (None,) * len(RESOURCE)
    return tuple(found.get(name) for name in RESOURCE.values())


def _joined(value: Any) -> str | None:
    """The texts of an OTLP array (or of a plain list) as one field."""
    items = value.get("values") or () if isinstance(value, dict) else value
    if isinstance(items, str):
        return items
    texts = (item.get("stringValue") if isinstance(item, dict) else item for item in items)
    return LIST_SEPARATOR.join(str(text) for text in texts if text is not None) or None


def _field(value: Any) -> str:
    if value is None or value in _NO_NUMBERS:
        return "null"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = text[:_TEXT_LIMIT].replace("\x00", "").replace('"', '""')
    return f'"{text}"'
