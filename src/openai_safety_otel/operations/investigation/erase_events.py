"""Erase a person's records from files in place, and ask Loki to delete them.

Their bytes in a file become spaces, so a process may go on appending. Events and spans are records; what is no record
about exactly this person stays byte-equal.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.replacing import replacing
from openai_safety_otel.ledger.journal.erasure import ERASURE
from openai_safety_otel.operations.store.files import PACKED_OTHERWISE, find_files, find_stores
from openai_safety_otel.operations.store.loki_http import EVIDENCE_TENANT, TENANT, LokiError, LokiHttp
from openai_safety_otel.operations.store.oddities import mended
from openai_safety_otel.operations.store.room import StoreError
from openai_safety_otel.operations.store.schema import column_name, quoted
from openai_safety_otel.operations.store.shared import objects

# Not the linked session: a record that names one is about the user it has, and two users may share one.
_NAMES: Final = (c.USER_HASH, c.REPORTED_HASH)
NO_ERASURE: Final = f'{column_name(c.DECISION_ACTION)}!="{ERASURE}"'  # a filter of Loki's
_SINCE: Final = "1000000000"  # Unix seconds, before anything; Loki wants ten digits


@dataclass(slots=True)
class Erased:
    """What became of the files: ``unreached`` says in words what could not be erased.

    ``stored`` counts events in column stores, most of which are in an event file too.
    """

    files: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    unreached: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        """How many of all kinds."""
        return self.kinds.total()


class _Scope(msgspec.Struct, rename="camel"):
    log_records: list[msgspec.Raw] | None = None
    spans: list[msgspec.Raw] | None = None


class _Resource(msgspec.Struct, rename="camel"):
    scope_logs: list[_Scope] | None = None
    scope_spans: list[_Scope] | None = None


class _Line(msgspec.Struct, rename="camel"):
    resource_logs: list[_Resource] | None = None
    resource_spans: list[_Resource] | None = None


_decoder: Final = msgspec.json.Decoder(_Line)


def erase_files(paths: Iterable[Path], forms: Iterable[str], *, dry: bool = False) -> Erased:
    """Remove every record about these identifiers; with ``dry`` only count them.

    Raises:
        NoEventFilesError: a path does not exist.
    """
    wanted = frozenset(forms)
    erased = Erased()
    given = tuple(paths)
    for file in find_files(given):
        if file.suffix in PACKED_OTHERWISE:
            erased.unreached.append(f"{file}: packed otherwise than by gzip: unpack it")
            continue
        try:
            found = _erase_packed(file, wanted, erased, dry=dry)
        except (OSError, EOFError) as error:
            erased.unreached.append(f"{file}: {getattr(error, 'strerror', None) or error}")
            continue
        erased.files += bool(found)
        erased.kinds.update(found)
    _erase_stored(given, wanted, erased, dry=dry)
    return erased


def _erase_stored(paths: tuple[Path, ...], wanted: Iterable[str], erased: Erased, *, dry: bool) -> None:
    """The same events once more, in the column stores; some are in no event file any more."""
    forms = ", ".join(map(quoted, sorted(wanted)))
    about = " OR ".join(f"{column_name(name)} IN ({forms})" for name in _NAMES)
    condition = f"({about}) AND {column_name(c.DECISION_ACTION)} IS DISTINCT FROM {quoted(ERASURE)}"
    stored: Counter[str] = Counter()
    erased.unreached += [
        f"{path}: columns that hosts share; erase on each host, then `compact --to` there"
        for path in paths
        if objects(path)
    ]
    for store in find_stores(paths):
        try:
            stored += store.count(condition) if dry else store.erase(condition)
        except (OSError, StoreError) as error:  # noqa: PERF203 - the other stores all the same
            erased.unreached.append(f"{store.root}: {error}")
    erased.stored = stored.total()
    erased.kinds |= stored


def _erase_packed(path: Path, wanted: frozenset[str], erased: Erased, *, dry: bool) -> Counter[str]:
    if path.suffix != ".gz":
        with path.open("rb" if dry else "r+b") as file:
            return _erase_open(path, file, wanted, erased, dry=dry)
    with tempfile.TemporaryFile() as plain:
        with gzip.open(path, "rb") as packed:
            shutil.copyfileobj(packed, plain)
        found = _erase_open(path, cast("BinaryIO", plain), wanted, erased, dry=dry)
        if found and not dry:
            _pack_again(path.resolve(), cast("BinaryIO", plain))
    return found


def _pack_again(path: Path, plain: BinaryIO) -> None:
    plain.seek(0)
    with replacing(path, keep=True) as out, gzip.open(out, "wb") as packed:
        shutil.copyfileobj(plain, packed)


def _erase_open(
    path: Path, file: BinaryIO, wanted: frozenset[str], erased: Erased, *, dry: bool
) -> Counter[str]:
    texts = [form.encode() for form in wanted]
    changes: list[tuple[int, bytes]] = []
    found: Counter[str] = Counter()
    for at, line in _lines(file):
        # An escape can spell any text.
        if b"\\" not in line and not any(text in line for text in texts):
            continue
        try:
            left, kinds = _without(line, wanted)
        except (ValueError, RecursionError):
            if any(text in line for text in texts):
                erased.unreached.append(_unread(path, at, line))
            continue
        if kinds and not line.endswith(b"\n"):
            erased.unreached.append(_unread(path, at, line))
        elif kinds:
            found.update(kinds)
            changes.append((at, left))
    if not dry:
        _overwrite(file, changes)
    return found


def _unread(path: Path, at: int, line: bytes) -> str:
    if not line.endswith(b"\n"):
        return f"{path}: the last line is still being written; run this again"
    return f"{path}: the line at byte {at} cannot be read, and holds the identifier: it is left as it is"


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    at = 0
    file.seek(0)
    for line in file:
        yield at, line
        at += len(line)


def _without(line: bytes, wanted: frozenset[str]) -> tuple[bytes, Counter[str]]:
    """The line with the records about these identifiers blanked, and how many of each kind.

    Raises:
        ValueError: it is no line of OTLP JSON, or one of its records is none.
    """
    left, at = bytearray(line), 0
    try:
        document = _decoder.decode(line)
    except msgspec.DecodeError:
        line = mended(line)  # as long, and what stays is written as it was
        document = _decoder.decode(line)
    kinds: Counter[str] = Counter()
    kept = 0
    for records in _record_lists(document):
        places = []
        for record in map(bytes, records):
            at = line.index(record, at)
            places.append((at, at + len(record), _kind(record, wanted)))
            at += len(record)
        _blank(left, places)
        kinds.update(kind for _, _, kind in places if kind)
        kept += sum(kind is None for _, _, kind in places)
    if kinds and not kept:
        left[:] = b" " * (len(line) - 1) + b"\n"
    return bytes(left), kinds


def _record_lists(line: _Line) -> Iterator[list[msgspec.Raw]]:
    for resource in (*(line.resource_logs or ()), *(line.resource_spans or ())):
        for scope in (*(resource.scope_logs or ()), *(resource.scope_spans or ())):
            yield from (found for found in (scope.log_records, scope.spans) if found)


def _kind(record: bytes, wanted: frozenset[str]) -> str | None:
    """What kind of record it is, if it is about one of these identifiers."""
    content = msgspec.json.decode(record)
    attributes = isinstance(content, dict) and (content.get("attributes") or [])
    if not isinstance(attributes, list):
        raise ValueError("no record")  # noqa: TRY004 - one kind of error for a line that is none
    values = dict(map(_pair, reversed(attributes)))  # of two of a name the first counts
    if not any(values.get(name) in wanted for name in _NAMES) or values.get(c.DECISION_ACTION) == ERASURE:
        return None
    if "spanId" in content and "timeUnixNano" not in content:
        return "span"
    return str(content.get("eventName") or values.get(c.EVENT_NAME) or "log record")


def _pair(pair: Any) -> tuple[str, str | None]:
    if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
        return "", None
    value = pair.get("value")
    text = value.get("stringValue") if isinstance(value, dict) else None
    return pair["key"], text if isinstance(text, str) else None


def _blank(left: bytearray, places: list[tuple[int, int, str | None]]) -> None:
    """Blank what has a kind, and a comma beside it, so that the list stays one."""
    before: int | None = None  # the end of the last record that stays
    for number, (start, end, kind) in enumerate(places):
        if kind is None:
            before = end
            continue
        left[start:end] = b" " * (end - start)
        gap = (
            (before, start)
            if before is not None
            else (end, places[number + 1][0] if number + 1 < len(places) else end)
        )
        comma = left.find(b",", *gap)
        if comma >= 0:
            left[comma : comma + 1] = b" "


def _overwrite(file: BinaryIO, changes: list[tuple[int, bytes]]) -> None:
    if not changes:
        return
    for at, left in changes:
        file.seek(at)
        file.write(left)
    file.flush()
    os.fsync(file.fileno())


# --- Loki ---


def delete_from_loki(url: str, forms: list[str]) -> int:
    """Request the deletion of every entry about these identifiers, evidence too; returns the requests taken.

    Loki deletes later, when its compactor runs and its cancel period is over; until then they can be queried.

    Raises:
        LokiError: Loki cannot be reached, or its deletion is not switched on.
    """
    taken = 0
    for tenant in (TENANT, EVIDENCE_TENANT):
        with LokiHttp(url, tenant) as http:
            for form, name in product(forms, map(column_name, _NAMES)):
                query = f'{{service_name=~".+"}} | {name}={msgspec.json.encode(form).decode()} | {NO_ERASURE}'
                http.delete(query, _SINCE)
                taken += 1
    return taken


def why_not(error: LokiError) -> str:
    """Why Loki did not take the request, in words that say what to change."""
    if error.status in (403, 404):
        return "its deletion is off: set compactor.retention_enabled and limits_config.deletion_mode"
    return str(error)
