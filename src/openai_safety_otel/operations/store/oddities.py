"""What the fast way of reading cannot read: told apart, counted, and put right where it is right after all."""

from __future__ import annotations

import gzip
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.operations.store.otlp import LONGEST_LINE

_SCALARS: Final = ("stringValue", "intValue", "doubleValue", "boolValue")
_FIELDS: Final = (
    *("timeUnixNano", "observedTimeUnixNano", "eventName", "severityText", "severityNumber"),
    *("traceId", "spanId"),
)


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


# A backslash and what belongs to it: a pair, half of one, anything else.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(?P<half>u[dD][89a-fA-F][\da-fA-F]{2})|.)",
    re.DOTALL,
)


def read_past(skipped: Mapping[str, int]) -> str:
    """What could not be read, in words, from `Skipped.as_dict`; empty where there is nothing."""
    names = ("broken_lines", "unfinished_lines", "broken_records", "unreadable_files")
    said = ((skipped.get(name, 0), name.removesuffix("s").replace("_", " ")) for name in names)
    parts = [counted(number, what) for number, what in said if number]
    return f"read past {', '.join(parts)}" if parts else ""


def open_text(path: Path) -> BinaryIO:
    """A file, unpacked where its name ends in ``.gz``."""
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def readable(path: Path, target: Path, skipped: Skipped) -> None:
    """Copy the lines that are text of a bearable length, as far as the file can be read."""
    with target.open("wb") as out:
        out.writelines(_texts(path, skipped))


def _texts(path: Path, skipped: Skipped) -> Iterator[bytes]:
    try:
        with open_text(path) as source:
            while line := source.readline(LONGEST_LINE):
                if _is_text(line):
                    yield line.replace(b"\r", b"").rstrip(b"\n") + b"\n"
                else:
                    skipped.broken_lines += 1
                    while line and not line.endswith(b"\n"):
                        line = source.readline(LONGEST_LINE)
    except (OSError, EOFError):
        # Unreadable, or a compressed file cut short: what came before counts.
        skipped.unreadable_files += 1


def decoded(text: bytes) -> Any:
    """What a JSON text holds, `mended` where it needs that.

    Raises:
        msgspec.DecodeError: it is no JSON.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return msgspec.json.decode(mended(text))


def mended(text: bytes) -> bytes:
    """A JSON text, as long as it was, with a mark for half a surrogate pair: it can be spelled and is no character."""
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["half"] else escape[0], text)


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return len(line) < LONGEST_LINE and b"\x01" not in line and b"\x00" not in line


def put_right(lines: Iterable[str], unfinished: Collection[str], skipped: Skipped) -> Iterator[bytes]:
    """The lines as the fast way takes them, without the records and values that nobody can read."""
    for line in lines:
        try:
            document = decoded(line.encode())
            resources = document["resourceLogs"]
        except (KeyError, TypeError):  # noqa: PERF203 - one odd line must not end the others
            skipped.other_lines += 1
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            if any(one.startswith(line) for one in unfinished):
                skipped.unfinished_lines += 1
            else:
                skipped.broken_lines += bool(line.strip())
        else:
            try:
                found = [_resource(one, skipped) for one in resources]
            except (KeyError, TypeError, AttributeError):
                skipped.broken_lines += 1
            else:
                yield msgspec.json.encode({"resourceLogs": found}) + b"\n"


def _resource(resource: Any, skipped: Skipped) -> dict[str, Any]:
    named = resource.get("resource")
    attributes = named.get("attributes") if isinstance(named, dict) else ()
    records = [
        found
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
        if (found := _record(record, skipped))
    ]
    return {"resource": {"attributes": _pairs(attributes)}, "scopeLogs": [{"logRecords": records}]}


def _record(record: Any, skipped: Skipped) -> dict[str, Any] | None:
    if not isinstance(record, dict) or not isinstance(record.get("attributes", []), list):
        skipped.broken_records += 1
        return None
    found = {name: record[name] for name in _FIELDS if isinstance(record.get(name), str | int)}
    body = record.get("body")
    text = body.get("stringValue") if isinstance(body, dict) else None
    return {**found, "body": {"stringValue": text}, "attributes": _pairs(record.get("attributes"))}


def _pairs(given: Any) -> list[dict[str, Any]]:
    """The attributes with a plain value or a list of texts, each once (the first counts), as OTLP spells them.

    One that is called ``key`` is left out: the fast way takes it for a pair that it cannot read.
    """
    found: dict[str, dict[str, Any]] = {}
    for pair in given if isinstance(given, list) else ():
        named = isinstance(pair, dict) and isinstance(pair.get("key"), str) and pair["key"] != "key"
        if named and (value := _plain(pair.get("value"))):
            found.setdefault(pair["key"], value)
    return [{"key": key, "value": value} for key, value in found.items()]


def _plain(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    for kind in _SCALARS:
        if isinstance(value.get(kind), str | int | float):
            return {kind: value[kind]}
    array = value.get("arrayValue")
    items = array.get("values") if isinstance(array, dict) else None
    if not isinstance(items, list):
        return None
    texts = [
        one["stringValue"]
        for one in items
        if isinstance(one, dict) and isinstance(one.get("stringValue"), str)
    ]
    return {"arrayValue": {"values": [{"stringValue": text} for text in texts]}}
