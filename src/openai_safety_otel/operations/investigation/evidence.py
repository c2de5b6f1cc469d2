"""Evidence events: read straight from where they were written, never from a copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.operations.investigation.context import EVIDENCE_DAYS, ContextSource, gone_or_never
from openai_safety_otel.operations.store.files import find_files
from openai_safety_otel.operations.store.loki import EVIDENCE_TENANT, Loki
from openai_safety_otel.operations.store.oddities import decoded, open_text
from openai_safety_otel.operations.store.schema import column_name

_NAME: Final = c.EVIDENCE_EVENT.encode()
_READ: Final = "--evidence --out FILE.zip --by WHO --why TEXT"
_FIELDS: Final = (
    c.USER_HASH,
    c.EVIDENCE_INPUT,
    c.EVIDENCE_OUTPUT,
    c.RESPONSE_ID,
    c.PROVIDER_REQUEST_ID,
    c.BLOCK_TYPE,
    c.OUTCOME,
)


def from_files(paths: Iterable[Path], forms: list[str]) -> Iterator[dict[str, Any]]:
    """Evidence about these identifiers in event files."""
    wanted = [form.encode() for form in forms]
    for file in find_files(paths):
        for line in whole_lines(file):
            if _NAME in line and any(form in line for form in wanted):
                yield from _in_line(line, forms)


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file as far as it can be read."""
    try:
        with open_text(path) as lines:
            yield from lines
    except (OSError, EOFError):
        return


def _in_line(line: bytes, forms: list[str]) -> Iterator[dict[str, Any]]:
    try:
        document = decoded(line)
        records = [
            record
            for resource in document["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]
        for record in records:
            found = {pair["key"]: pair["value"].get("stringValue") for pair in record["attributes"]}
            name = record.get("eventName") or found.get(c.EVENT_NAME)
            if name == c.EVIDENCE_EVENT and found.get(c.USER_HASH) in forms:
                ids = {"time_ns": int(record["timeUnixNano"]), "trace_id": record.get("traceId")}
                yield {**ids, **{key: found[key] for key in _FIELDS if found.get(key)}}
    except (ValueError, msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return  # a broken line: counted where the events are read


def from_loki(url: str, forms: list[str], start_ns: int, end_ns: int) -> Iterator[dict[str, Any]]:
    """Evidence about these identifiers in Loki, in the evidence's own tenant unless the URL names another.

    Raises:
        LokiError: Loki cannot be reached or refuses the query.
    """
    with Loki(url, EVIDENCE_TENANT) as loki:
        for form in forms:
            who = msgspec.json.encode(form).decode()
            query = f'{{service_name=~".+"}} | event_name="{c.EVIDENCE_EVENT}" | user_hash={who}'
            for at, _, labels in loki.entries(query, start_ns, end_ns):
                found = {name: labels.get(column_name(name)) for name in _FIELDS}
                kept = {name: value for name, value in found.items() if value}
                yield {"time_ns": at, "trace_id": labels.get("trace_id"), **kept}


def unread(count: int, last_signal_ns: int | None, now_ns: int, *, apart: bool) -> ContextSource:
    """The source's state without reading any content; ``apart``: it is not among the events that were read."""
    if count:
        return ContextSource("evidence", "present", f"{counted(count, 'event')}, not read: {_READ}")
    missing = _missing(last_signal_ns, now_ns)
    if apart and missing.state == "absent":
        return ContextSource("evidence", "not asked", f"kept apart from other events: {_READ}")
    return missing


def read(items: list[dict[str, Any]], last_signal_ns: int | None, now_ns: int) -> ContextSource:
    """The source with what was read."""
    if not items:
        return _missing(last_signal_ns, now_ns)
    return ContextSource("evidence", "present", counted(len(items), "event"), items)


def _missing(last_signal_ns: int | None, now_ns: int) -> ContextSource:
    state = gone_or_never(last_signal_ns, now_ns, EVIDENCE_DAYS)
    texts = {
        "expired": f"every block and flag is older than the {EVIDENCE_DAYS} days evidence is kept",
        "absent": "none is stored where it was looked for (OPENAI_SAFETY_EVIDENCE is off by default)",
    }
    return ContextSource("evidence", state, texts[state])
