"""Files of OTLP JSON lines to Parquet files of rows, unsorted: what is read before it is stored or answered."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import duckdb

from openai_safety_otel.operations.store.oddities import Skipped, put_right, readable
from openai_safety_otel.operations.store.otlp import LONGEST_LINE, rows_of
from openai_safety_otel.operations.store.room import no_room, room_aside
from openai_safety_otel.operations.store.schema import quoted

_SLICE_BYTES = 512 * 1024 * 1024  # read by one query
_BLOCK = 64 * 1024  # bytes in which the end of the last whole line is looked for

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file from a byte on; ``size`` is the byte after the last whole line.

    ``key`` tells the file from every other of its folder: a renamed one keeps it, a new one of the same name does not.
    It is made of the whole first line: files of one process may begin with the same kilobytes, and a file system gives
    the number of a file that was removed to the next.
    """

    path: Path
    key: str
    start: int
    size: int

    @property
    def bytes(self) -> int:
        """How many there are to read."""
        return self.size - self.start


def lines_left(path: Path, read: Mapping[str, int]) -> Lines | None:
    """What is in a file beside what was read of it; None where there is nothing.

    Args:
        path: the file.
        read: bytes read, by the file's key.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as source:
        state = os.fstat(source.fileno())
        first = source.readline(LONGEST_LINE)
        key = f"{state.st_ino}-{hashlib.sha256(first).hexdigest()[:16]}"
        before, size = read.get(key, 0), state.st_size
        if before == size:
            return None
        if path.suffix == ".gz" or before > size:  # packed or written anew
            before = 0
        end = size if path.suffix == ".gz" else _end_of_last_line(source, before, size)
        return Lines(path, key, before, end)


def _end_of_last_line(source: BinaryIO, start: int, size: int) -> int:
    for end in range(size, start, -_BLOCK):
        begin = max(start, end - _BLOCK)
        source.seek(begin)
        newline = source.read(end - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
    return start


def read_lines(
    database: duckdb.DuckDBPyConnection,
    files: Iterable[Lines],
    scratch: Path,
    skipped: Skipped,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the rows of these files into Parquet files in ``scratch``; count what is none.

    Args:
        database: does the work.
        files: what is read.
        scratch: where the Parquet files go.
        skipped: added to.
        progress: told (bytes read, bytes in all) after each slice.

    Raises:
        StoreError: there is no room in ``scratch``.
    """
    given = list(files)
    total, done = sum(file.bytes for file in given), 0
    parts: list[Path] = []
    for number, group in enumerate(groups_of(given, _SLICE_BYTES)):
        with room_aside():
            parts += _read_slice(database, group, scratch / f"rows-{number:04d}.parquet", skipped)
        done += sum(file.bytes for file in group)
        if progress:
            progress(done, total)
    return parts


def groups_of(files: Iterable[Lines], most: int) -> Iterator[list[Lines]]:
    """The files in groups of about so many bytes."""
    group: list[Lines] = []
    for file in files:
        group.append(file)
        if sum(one.bytes for one in group) >= most:
            yield group
            group = []
    if group:
        yield group


def _read_slice(
    database: duckdb.DuckDBPyConnection, group: list[Lines], target: Path, skipped: Skipped
) -> list[Path]:
    plain = [_from_start(file, target.with_suffix(f".{at}.rest")) for at, file in enumerate(group)]
    try:
        database.execute(_copy(plain, target))
    except duckdb.Error as error:
        if no_room(error):
            raise
        # A file that is no text, is cut short or has a line of many megabytes: take the lines that can be read.
        whole = [target.with_suffix(f".{at}.readable") for at in range(len(plain))]
        for path, copy in zip(plain, whole, strict=True):
            readable(path, copy, skipped)
        database.execute(_copy(whole, target))
    odd = _count_others(database, target, skipped)
    if not odd:
        return [target]
    mended = target.with_suffix(".mended")
    with mended.open("wb") as out:
        out.writelines(put_right(odd, [found for file in group if (found := _unfinished(file))], skipped))
    again = target.with_suffix(".mended.parquet")
    database.execute(_copy([mended], again))
    skipped.broken_lines += len(_count_others(database, again, skipped))
    return [target, again]


def _count_others(database: duckdb.DuckDBPyConnection, part: Path, skipped: Skipped) -> list[str]:
    """Count the rows that are no events of ours; the lines that could not be read."""
    rows = f"read_parquet({quoted(str(part))})"
    counted = database.execute(
        "SELECT count(*) FILTER (event IS NULL AND odd_line IS NULL), "  # noqa: S608 - our own names
        f"count(*) FILTER (event IS NOT NULL AND NOT coalesce(time_ns > 0, false)) FROM {rows}"
    ).fetchall()[0]
    skipped.other_records += counted[0]
    skipped.broken_records += counted[1]
    odd = database.execute(f"SELECT odd_line FROM {rows} WHERE odd_line IS NOT NULL")  # noqa: S608
    return [line for (line,) in odd.fetchall()]


def _from_start(file: Lines, rest: Path) -> Path:
    """The file, or a copy of what came after its start."""
    if not file.start:
        return file.path
    with file.path.open("rb") as source, rest.open("wb") as out:
        source.seek(file.start)
        shutil.copyfileobj(source, out)
    return rest


def _unfinished(file: Lines) -> str:
    """The line that is being written, as far as it is there by now."""
    if file.path.suffix == ".gz":
        return ""
    with file.path.open("rb") as source:
        source.seek(file.size)
        return source.readline(LONGEST_LINE).decode("utf-8", "replace")


def _copy(paths: list[Path], target: Path) -> str:
    # Few rows stand together, so that who reads a day passes over the others.
    options = "FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE 8_192"
    return f"COPY ({rows_of(paths)}) TO {quoted(str(target))} ({options})"
