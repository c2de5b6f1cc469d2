"""OTLP JSON lines to text rows, one per event of ours: the hot loop of reading files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from typing import Any

import orjson

from openai_safety_otel import conventions as c
from openai_safety_otel.store.schema import ATTRIBUTE_COLUMNS, LIST_SEPARATOR, LISTS, RESOURCE

_BLANK: dict[str, Any] = dict.fromkeys(column.source for column in ATTRIBUTE_COLUMNS)
_in_order = itemgetter(*_BLANK)
_NOT_PLAIN = (b"\\", b"{", b"[")
_TEXT_LIMIT = 20_000  # characters kept of one value: names and codes are far shorter
_ROW_LIMIT = 500_000
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

    def line(self, line: bytes, *, finished: bool = True) -> None:
        """Read one line of a file; ``finished`` is false for a last line without its newline."""
        if line.isspace():
            return
        try:
            document = orjson.loads(line)
            resources = document["resourceLogs"]
        except (KeyError, TypeError):
            self.skipped.other_lines += 1
            return
        except ValueError:
            if finished:
                self.skipped.broken_lines += 1
            else:
                self.skipped.unfinished_lines += 1
            return
        self._resources(resources)

    def _resources(self, resources: Any) -> None:
        try:
            for resource in resources:
                place = _resource(resource)
                for scope in resource["scopeLogs"]:
                    for record in scope["logRecords"]:
                        self._record(record, place)
        except (KeyError, TypeError, AttributeError):
            self.skipped.broken_lines += 1

    def _record(self, record: Any, place: tuple[Any, ...]) -> None:
        try:
            row = _BLANK.copy()
            for pair in record["attributes"]:
                # A value is an object of one member (none at all for an empty one).
                for value in pair["value"].values():
                    row[pair["key"]] = value
            event = record.get("eventName") or row.get(c.EVENT_NAME)
            if not isinstance(event, str) or not event.startswith(c.ROOT):
                self.skipped.other_records += 1
                return
            self.row(_head(record, event) + place, row)
        except (KeyError, TypeError, AttributeError, ValueError):
            self.skipped.broken_records += 1

    def row(self, head: tuple[Any, ...], row: dict[str, Any]) -> None:
        """Write one row: the record's own fields, then the attributes in the table's order."""
        for name in LISTS:
            if row[name] is not None:
                row[name] = _joined(row[name])
        values = head + _in_order(row)
        # A JSON list without its brackets is a CSV line, as long as no string needs an escape.
        text = orjson.dumps(values)[1:-1]
        if len(text) > _ROW_LIMIT or any(mark in text for mark in _NOT_PLAIN):
            text = ",".join(map(_field, values)).encode("utf-8", "replace")
        self._write(text + b"\n")
        self.rows += 1

    def attributes(self, head: tuple[Any, ...], given: Iterable[tuple[str, Any]]) -> None:
        """Write one row from plain attribute values."""
        row = _BLANK.copy()
        row.update(given)
        self.row(head, row)


def _head(record: dict[str, Any], event: str) -> tuple[Any, ...]:
    body = record.get("body") or {}
    severity = record.get("severityText") or _OUR_SEVERITIES.get(record.get("severityNumber") or 0)
    time_ns = int(record.get("timeUnixNano") or 0) or int(record["observedTimeUnixNano"])
    if not 0 < time_ns < _LATEST:
        raise ValueError("no such time")
    return (
        time_ns,
        event,
        severity,
        body.get("stringValue"),
        record.get("traceId") or None,
        record.get("spanId") or None,
    )


def _resource(resource: dict[str, Any]) -> tuple[Any, ...]:
    pairs = (resource.get("resource") or {}).get("attributes") or ()
    found = {pair["key"]: pair["value"].get("stringValue") for pair in pairs}
    return tuple(found.get(name) for name in RESOURCE.values())


def _joined(value: Any) -> str | None:
    """The texts of an OTLP array (or of a plain list) as one field."""
    items = value.get("values") or () if isinstance(value, dict) else value
    if isinstance(items, str):
        return items
    texts = (item.get("stringValue") if isinstance(item, dict) else item for item in items)
    return LIST_SEPARATOR.join(str(text) for text in texts if text is not None) or None


def _field(value: Any) -> str:
    if value is None:
        return "null"
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    text = text[:_TEXT_LIMIT].replace("\x00", "").replace('"', '""')
    return f'"{text}"'
