"""Erase a person from event files in place: bytes become spaces, so a process may go on appending."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from openai_safety_otel import conventions as c
from openai_safety_otel.store.files import find_files, forget_copies

# Not the linked session: a record that names one is about the user it has, and two users may share one.
_NAMES: Final = (c.USER_HASH, c.REPORTED_HASH)


@dataclass(slots=True)
class Erased:
    """What became of the files: ``unreached`` says in words what could not be erased."""

    files: int = 0
    records: int = 0
    copies: int = 0
    unreached: list[str] = field(default_factory=list)


def erase_files(paths: Iterable[Path], forms: Iterable[str], *, dry: bool = False) -> Erased:
    """Remove every record about these identifiers; with ``dry`` only count them.

    Raises:
        NoEventFilesError: a path does not exist.
    """
    wanted = frozenset(forms)
    erased = Erased()
    files = find_files(paths)
    for file in files:
        try:
            found = _erase_packed(file.path, wanted, erased, dry=dry)
        except (OSError, EOFError) as error:
            erased.unreached.append(f"{file.path}: {getattr(error, 'strerror', None) or error}")
            continue
        erased.files += bool(found)
        erased.records += found
    if not dry:
        # Copies of changed files go; those of others hold nothing of him.
        erased.copies = sum(forget_copies(folder) for folder in {file.path.parent for file in files})
    return erased


def _erase_packed(path: Path, wanted: frozenset[str], erased: Erased, *, dry: bool) -> int:
    if path.suffix != ".gz":
        with path.open("rb" if dry else "r+b") as file:
            return _erase_open(path, file, wanted, erased, dry=dry)
    with tempfile.TemporaryFile() as plain:
        with gzip.open(path, "rb") as packed:
            shutil.copyfileobj(packed, plain)
        found = _erase_open(path, cast("BinaryIO", plain), wanted, erased, dry=dry)
        if found and not dry:
            _pack_again(path, cast("BinaryIO", plain))
    return found


def _pack_again(path: Path, plain: BinaryIO) -> None:
    plain.seek(0)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with gzip.open(beside, "wb") as packed:
            shutil.copyfileobj(plain, packed)
        shutil.copymode(path, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _erase_open(path: Path, file: BinaryIO, wanted: frozenset[str], erased: Erased, *, dry: bool) -> int:
    texts = [form.encode() for form in wanted]
    changes: list[tuple[int, bytes]] = []
    records = 0
    for at, line in _lines(file):
        if not any(text in line for text in texts):
            continue
        if not line.endswith(b"\n"):
            erased.unreached.append(f"{path}: the last line is still being written; run this again")
            continue
        left, count = _without(line, wanted)
        if len(left) > len(line):
            erased.unreached.append(f"{path}: a line at byte {at} cannot be shortened in place")
        elif count:
            records += count
            changes.append((at, left))
    if not dry:
        _overwrite(file, changes)
    return records


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    at = 0
    file.seek(0)
    for line in file:
        yield at, line
        at += len(line)


def _without(line: bytes, wanted: frozenset[str]) -> tuple[bytes, int]:
    """The line without the records, as long as before; a line that cannot be read goes as a whole."""
    try:
        document = msgspec.json.decode(line)
        count = 0
        kept = 0
        for resource in document["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                records = scope["logRecords"]
                scope["logRecords"] = [record for record in records if not _about(record, wanted)]
                count += len(records) - len(scope["logRecords"])
                kept += len(scope["logRecords"])
    except (ValueError, msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return _blank(line), 1
    left = msgspec.json.encode(document) if kept else b""
    return (left.ljust(len(line) - 1) + b"\n", count) if count else (line, 0)


def _about(record: dict[str, Any], wanted: frozenset[str]) -> bool:
    pairs = ((pair["key"], pair["value"].get("stringValue")) for pair in record["attributes"])
    return any(key in _NAMES and value in wanted for key, value in pairs)


def _blank(line: bytes) -> bytes:
    return b" " * (len(line) - 1) + b"\n"


def _overwrite(file: BinaryIO, changes: list[tuple[int, bytes]]) -> None:
    if not changes:
        return
    for at, left in changes:
        file.seek(at)
        file.write(left)
    file.flush()
    os.fsync(file.fileno())
