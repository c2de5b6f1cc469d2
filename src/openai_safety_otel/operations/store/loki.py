"""Events from Loki: every entry of ours in a time range, exactly once, as the same table as files make."""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.operations.store.events import Events, connect, open_events
from openai_safety_otel.operations.store.lines import lines_left, read_lines
from openai_safety_otel.operations.store.loki_http import EVIDENCE_TENANT, TENANT, LokiError, LokiHttp
from openai_safety_otel.operations.store.oddities import Skipped
from openai_safety_otel.operations.store.room import room_aside
from openai_safety_otel.operations.store.schema import ATTRIBUTE_COLUMNS, RESOURCE, Column, column_name

__all__ = ["EVIDENCE_TENANT", "Loki", "LokiError"]

LOOK_BACK_DAYS: Final = 400  # how far back to ask for everything: the longest retention shipped
PAGE: Final = 5000  # Loki's default limit of entries in one answer
_RANGE_NS: Final = 29 * 86_400 * 1_000_000_000  # below Loki's default limit of 30 days in one query
_NS: Final = 1_000_000_000
_DAY: Final = 86_400
# Every stream of ours has a service name; the event's name tells ours from the app's other logs.
EVERYTHING: Final = '{service_name=~".+"} | event_name=~"openai_safety[.].+"'
# Without the completed calls, most of all events; streams that no collector of ours labelled are read too.
NOTABLE: Final = '{service_name=~".+", openai_safety_stream!="completed"} | event_name=~"openai_safety[.].+"'

LogEntry = tuple[int, str, dict[str, str]]


class Loki:
    """Reads from the Loki at a base URL, as the tenant named in it or as ``tenant``."""

    def __init__(self, url: str, tenant: str = TENANT) -> None:
        self._http = LokiHttp(url, tenant)

    def __enter__(self) -> Loki:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def events(
        self,
        since: float,
        until: float,
        *,
        query: str = EVERYTHING,
        progress: Callable[[int, int], None] | None = None,
    ) -> Events:
        """The events of a log query from ``since`` to ``until`` (Unix seconds) as a table.

        Raises:
            LokiError: Loki cannot be reached or refuses the query.
            StoreError: there is no room for what is written aside.
        """
        with room_aside(), ExitStack() as stack:
            scratch = Path(tempfile.mkdtemp(prefix="openai-safety-"))
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            start, end = int(since * _NS), int(until * _NS)
            lines = scratch / "entries.jsonl"
            with lines.open("wb") as out:
                for number, entry in enumerate(self.entries(query, start, end)):
                    out.write(_otlp_line(entry))
                    if progress and not number % PAGE:
                        progress((entry[0] - start) // _NS, (end - start) // _NS)
            skipped = Skipped()
            database = stack.enter_context(connect(scratch))
            left = lines_left(lines, {})
            parts = read_lines(database, [left] if left else [], scratch, skipped)
            lines.unlink()
            return open_events(database, [], parts, f"Loki at {self._http.shown}", skipped, stack.pop_all())

    def entries(self, query: str, start_ns: int, end_ns: int) -> Iterator[LogEntry]:
        """Entries of a log query, oldest first, each once: (nanoseconds, line, labels and metadata).

        Raises:
            LokiError: Loki cannot be reached or refuses the query.
        """
        for first in range(start_ns, end_ns, _RANGE_NS):
            yield from self._range(query, first, min(first + _RANGE_NS, end_ns))

    def seen(
        self, names: Iterable[str], query: str, *, look_back: int = LOOK_BACK_DAYS
    ) -> Iterator[list[str]]:
        """The values that these labels have together in a log query; Loki counts, and sends no entries.

        ``look_back`` is how many days are looked at.

        Raises:
            LokiError: Loki cannot be reached or refuses the query.
        """
        now = int(time.time())
        for labels, _ in self._counts(names, query, now - look_back * _DAY, now):
            yield list(labels.values())

    def counted(
        self, names: Iterable[str], query: str, since: float, until: float
    ) -> Iterator[tuple[tuple[str, ...], int]]:
        """How many entries of a log query there are, by the values of these labels (empty where there is none).

        Loki counts, and sends no entries; ``since`` and ``until`` are Unix seconds. A combination may come again.

        Raises:
            LokiError: Loki cannot be reached or refuses the query.
        """
        names = tuple(names)
        for labels, number in self._counts(names, query, since, until):
            yield tuple(labels.get(name, "") for name in names), number

    def _counts(
        self, names: Iterable[str], query: str, since: float, until: float
    ) -> Iterator[tuple[dict[str, str], int]]:
        by, end = ", ".join(names), int(until)
        while end > since:
            seconds = min(_RANGE_NS // _NS, math.ceil(end - since))
            counted = f"sum by ({by}) (count_over_time({query} [{seconds}s]))"
            # An instant belongs to the range that ends with it: the end itself is left to whoever asks later.
            for series in self._http.result("/loki/api/v1/query", query=counted, time=str(end * _NS - 1)):
                yield dict(series["metric"]), int(series["value"][1])
            end -= seconds

    def _range(self, query: str, start: int, end: int) -> Iterator[LogEntry]:
        at_cursor: set[str] = set()
        while True:
            page = self._page(query, start, end)
            new = [entry for entry in page if not (entry[0] == start and _identity(entry) in at_cursor)]
            yield from new
            if len(page) < PAGE:
                return
            last = page[-1][0]
            if not new:
                raise LokiError(f"more than {PAGE} entries at one nanosecond ({last}): cannot page past them")
            # The next page begins at the last nanosecond seen: entries that share it may be left over.
            if last != start:
                start, at_cursor = last, set()
            at_cursor.update(_identity(entry) for entry in page if entry[0] == last)

    def _page(self, query: str, start: int, end: int) -> list[LogEntry]:
        streams = self._http.result(
            "/loki/api/v1/query_range",
            query=query,
            start=str(start),
            end=str(end),
            limit=str(PAGE),
            direction="forward",
        )
        return sorted(_entries(streams), key=lambda entry: entry[0])


def _entries(streams: list[Any]) -> Iterator[LogEntry]:
    for stream in streams:
        for at, line, *more in stream["values"]:
            found = dict(stream["stream"])
            if more:
                found.update(more[0].get("structuredMetadata") or {})
            yield int(at), line, found


def _identity(entry: LogEntry) -> str:
    return json.dumps(entry[1:], sort_keys=True)


WHO: Final = tuple(map(column_name, (c.USER_HASH, c.IDENTIFIER_LINKED, c.REPORTED_HASH)))


def any_of(values: Iterable[str]) -> str:
    """A LogQL pattern, which is anchored, for exactly these."""
    return json.dumps("|".join(map(re.escape, sorted(values))))


def about(identifiers: Iterable[str], *events: str) -> str:
    """LogQL for every event that one of these identifiers is part of, and all events of these names."""
    pattern = any_of(identifiers)
    parts = [*(f"{name}=~{pattern}" for name in WHO), *(f'event_name="{name}"' for name in events)]
    return f"{EVERYTHING} | {' or '.join(parts)}"


def linked_in_loki(loki: Loki, identifier: str) -> set[str]:
    """The identifiers that events link with this one: a session and the user it turned out to be."""
    linked = column_name(c.IDENTIFIER_LINKED)
    names = (column_name(c.USER_HASH), linked)
    return {value for found in loki.seen(names, f'{about([identifier])} | {linked}!=""') for value in found}


def apis_in_loki(loki: Loki) -> list[str]:
    """The APIs that anybody called within a week: what one person may reach is more than what they used."""
    calls = f'{{service_name=~".+"}} | event_name="{c.CALL_EVENT}"'
    return [api for found in loki.seen((column_name(c.API),), calls, look_back=7) for api in found]


_KINDS: Final = {"BIGINT": "intValue", "DOUBLE": "doubleValue", "BOOLEAN": "boolValue"}


def _otlp_line(entry: LogEntry) -> bytes:
    """An entry as the line of OTLP JSON that it came from."""
    at, line, found = entry
    record = {
        "timeUnixNano": at,
        "eventName": found.get("event_name"),
        "severityText": found.get("severity_text"),
        "body": {"stringValue": line or None},
        "traceId": found.get("trace_id"),
        "spanId": found.get("span_id"),
        "attributes": [
            {"key": column.source, "value": _value(column, found[column.name])}
            for column in ATTRIBUTE_COLUMNS
            if column.name in found
        ],
    }
    place = [
        {"key": name, "value": {"stringValue": found[column_name(name)]}}
        for name in RESOURCE.values()
        if column_name(name) in found
    ]
    resource = {"resource": {"attributes": place}, "scopeLogs": [{"logRecords": [record]}]}
    return msgspec.json.encode({"resourceLogs": [resource]}) + b"\n"


def _value(column: Column, text: str) -> dict[str, Any]:
    """A label's text as OTLP writes the attribute; Loki keeps a list as JSON text."""
    if column.sql != "VARCHAR[]":
        return {_KINDS.get(column.sql, "stringValue"): text}
    try:
        found = msgspec.json.decode(text, type=list[str])
    except msgspec.MsgspecError:
        found = [text]
    return {"arrayValue": {"values": [{"stringValue": one} for one in found]}}
