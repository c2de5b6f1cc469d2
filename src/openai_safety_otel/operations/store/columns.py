"""The column store of a folder of event files: Parquet by stream and day, sorted by identifier and time.

``openai-safety-columns/stream=notable/day=2026-09-29/….parquet`` beside the event files; the days of a month that is
over for long are one, ``stream=notable/month=2026-07/….parquet``, in parts by end user. ``manifest.json`` says which
Parquet files count and which event files are in them; it is written aside and renamed, after the Parquet files it
names. So a run that is killed leaves the last state, and files that nobody names, which the next run removes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from openai_safety_otel.contract import moments
from openai_safety_otel.operations.store.events import fresh_table, stored_table
from openai_safety_otel.operations.store.lines import Lines, Progress, groups_of, read_lines
from openai_safety_otel.operations.store.locks import locked
from openai_safety_otel.operations.store.oddities import Skipped
from openai_safety_otel.operations.store.room import StoreError, no_room
from openai_safety_otel.operations.store.schema import (
    SAME,
    SUFFIX,
    days_of,
    is_month,
    quoted,
    stream_of,
)
from openai_safety_otel.operations.store.writing import in_columns, parts_of, workplace

STORE: Final = "openai-safety-columns"
MANIFEST: Final = "manifest.json"
_WRITER: Final = "writer.lock"
_READERS: Final = "readers.lock"
_COMMIT_BYTES: Final = 4 * 1024**3  # of event files: what a killed run has to do again at most
# A Parquet file is not written again for more of its day if it is so many times larger, or has so many rows.
_TIMES_LARGER: Final = 4
_FULL_ROWS: Final = 2_000_000
_DAY: Final = 86_400.0
_MERGED_AFTER: Final = 35 * _DAY  # when a month is over for so long, hardly an event of it comes any more


@dataclass(slots=True)
class Manifest:
    """What counts: Parquet files by name with their rows, event files by key with the bytes that are in them."""

    files: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=Skipped)


class ColumnStore:
    """The column store of one folder of event files.

    Args:
        folder: where the event files are.
        step: called with a word before each step that changes the disk; tests stop there.
    """

    def __init__(self, folder: Path, step: Callable[[str], None] = lambda word: None) -> None:
        self.folder = folder
        self.root = folder / STORE
        self._step = step

    def manifest(self) -> Manifest:
        """What counts now; nothing where there is no store."""
        try:
            found = json.loads((self.root / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return Manifest()
        return Manifest(found["files"], found["sources"], Skipped(**found["skipped"]))

    @contextmanager
    def reading(self) -> Iterator[Manifest]:
        """What counts, kept on the disk meanwhile."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # no store, or not ours to write in
                stack.enter_context(locked(self.root / _READERS, shared=True))
            yield self.manifest()

    def compact(self, files: Iterable[Lines], progress: Progress | None = None) -> bool:
        """Take event files in; False where another process is at it."""
        with self._writing() as ours:
            if not ours:
                return False
            for group in groups_of(files, _COMMIT_BYTES):
                with workplace() as (database, scratch):
                    self._take_in(database, group, scratch, progress)
        return True

    def expire(self, days: Mapping[str, float], now: float) -> int:
        """Remove the days that are older than their stream is kept (days by stream); returns the events removed."""
        with self._writing() as ours, workplace() as (database, _):
            if not ours:
                return 0
            manifest = self.manifest()
            before = manifest.files.copy()
            for name in before:
                kept = moments.day(now - days[stream_of(name)] * _DAY)
                first, last = days_of(name)
                if last < kept:
                    del manifest.files[name]
                elif first < kept:
                    self._write_without(database, manifest, name, f"day < '{kept}'")
            if manifest.files == before:
                self._tidy(manifest, at_once=False)  # of what a run that was killed let go
            else:
                self._commit(manifest)
            return sum(before.values()) - sum(manifest.files.values())

    def merge_months(self, now: float) -> int:
        """Make one of the days of each stream and month that is over for long; returns how many were made."""
        with self._writing() as ours:
            if not ours:
                return 0
            manifest, over = self.manifest(), moments.day(now - _MERGED_AFTER)[:7]
            months = defaultdict[str, dict[str, int]](dict)
            for name, rows in manifest.files.items():
                if (month := days_of(name)[0][:7]) < over:
                    months[f"stream={stream_of(name)}/month={month}/"][name] = rows
            made = 0
            for place, files in sorted(months.items()):
                added = sum(rows for name, rows in files.items() if not is_month(name))
                if len(files) > 1 and sum(files.values()) <= (_TIMES_LARGER + 1) * added:
                    with workplace() as (database, _):
                        self._merge_month(database, manifest, place, files)
                    made += 1
            return made

    def _merge_month(
        self, database: duckdb.DuckDBPyConnection, manifest: Manifest, place: str, files: Mapping[str, int]
    ) -> None:
        # Of the machine's; a part takes up to three gigabytes, and four times as long where it is sorted on the disk.
        database.execute("SET memory_limit = '30%'")
        table = stored_table(self.root / name for name in files)
        merged = {
            self._write(database, f"SELECT * FROM ({table}) WHERE {condition}", place, rows): rows  # noqa: S608
            for condition, rows in parts_of(database, table)
        }
        if sum(merged.values()) != sum(files.values()):
            raise StoreError(f"{place}: {sum(merged.values())} rows were written, not {sum(files.values())}")
        manifest.files = {name: rows for name, rows in manifest.files.items() if name not in files} | merged
        self._commit(manifest)

    def count(self, condition: str) -> Counter[str]:
        """How many events of each kind meet a condition; where none that counts does, of those a killed run left."""
        with self.reading() as manifest, workplace() as (database, _):
            kinds = self._concerned(database, manifest.files, condition)[1]
            return kinds or self._left_over_kinds(database, manifest, condition)

    def erase(self, condition: str) -> Counter[str]:
        """Write every Parquet file that holds such events without them; returns how many of each kind, as `count`.

        Raises:
            StoreError: it cannot be written, or what was written is not right.
        """
        with self._writing(wait=True) as ours, workplace() as (database, _):
            manifest = self.manifest()
            concerned, kinds = self._concerned(database, manifest.files, condition)
            if concerned and not ours:
                raise StoreError(f"{self.root}: not ours to write in")
            kinds = kinds or self._left_over_kinds(database, manifest, condition)
            for name in concerned:
                self._write_without(database, manifest, name, condition)
            if concerned:
                self._commit(manifest, at_once=True)
            else:
                self._tidy(manifest, at_once=True)
            return kinds

    def _take_in(
        self,
        database: duckdb.DuckDBPyConnection,
        group: list[Lines],
        scratch: Path,
        progress: Progress | None,
    ) -> None:
        manifest = self.manifest()
        found = Skipped()
        parts = read_lines(database, group, scratch, found, progress)
        found.unfinished_lines = 0  # these lines are read again when they are whole
        manifest.skipped.add(found)
        database.execute(f"CREATE VIEW fresh AS {fresh_table(parts)}")
        groups = database.execute(
            "SELECT stream, day, count(*) FROM fresh GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for stream, day, rows in groups:
            self._merge(database, manifest, stream, day, rows)
        for file in group:
            manifest.sources[file.key] = file.size
        self._commit(manifest)

    def _merge(
        self, database: duckdb.DuckDBPyConnection, manifest: Manifest, stream: str, day: str, rows: int
    ) -> None:
        """The rows of one stream and day, with those that are stored already where they are not too many."""
        place = f"stream={stream}/day={day}/"
        month = f"stream={stream}/month={day[:7]}/"
        stored = {name: count for name, count in manifest.files.items() if name.startswith((place, month))}
        most = min(_FULL_ROWS, _TIMES_LARGER * rows)
        again = [name for name, count in stored.items() if count <= most and not is_month(name)]
        both = [self.root / name for name in again]
        full = [self.root / name for name in stored if name not in again]
        new = f"SELECT * FROM fresh WHERE stream = '{stream}' AND day = '{day}'"  # noqa: S608
        known = f"SELECT hash({SAME}) AS same FROM ({stored_table(full)}) SEMI JOIN ({new}) USING (time_ns)"  # noqa: S608
        union = (
            f"(SELECT *, hash({SAME}) AS same FROM ({new} UNION ALL BY NAME {stored_table(both)})) AS mixed "  # noqa: S608
            f"{f'ANTI JOIN ({known}) AS known USING (same)' if full else ''}"
        )
        different = database.execute(f"SELECT count(DISTINCT same) FROM {union}").fetchall()[0][0]  # noqa: S608
        total = rows + sum(stored[name] for name in again)
        if different < total:
            union += " QUALIFY row_number() OVER (PARTITION BY same) = 1"
            manifest.skipped.duplicates += total - different
        if different > sum(stored[name] for name in again):
            for name in again:
                del manifest.files[name]
            name = self._write(database, f"SELECT * FROM {union}", place, different)  # noqa: S608
            manifest.files[name] = different

    def _write_without(
        self, database: duckdb.DuckDBPyConnection, manifest: Manifest, name: str, condition: str
    ) -> None:
        """Write a file anew without the rows that meet a condition, if it has any; no file where none is left."""
        table = f"({stored_table([self.root / name])})"
        rows = manifest.files[name]
        gone = database.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchall()[0][0]  # noqa: S608
        if gone:
            del manifest.files[name]
        if 0 < gone < rows:
            kept = f"SELECT * FROM {table} WHERE ({condition}) IS NOT TRUE"  # noqa: S608
            manifest.files[self._write(database, kept, name, rows - gone)] = rows - gone

    def _write(self, database: duckdb.DuckDBPyConnection, rows: str, place: str, count: int) -> str:
        """Write a Parquet file aside, read it back, and give it its name; returns that."""
        name = f"{place.rpartition('/')[0]}/{secrets.token_hex(8)}{SUFFIX}"
        target = self.root / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = target.with_suffix(".new")
        self._step("write")
        database.execute(in_columns(rows, str(aside)))
        self._step("verify")
        read = database.execute(
            f"SELECT count(*), count(time_ns), count(event) FROM read_parquet({quoted(str(aside))})"  # noqa: S608
        ).fetchall()[0]
        if read != (count, count, count):
            raise StoreError(f"{aside}: {read} rows were written, not {count}")
        _to_disk(aside)
        self._step("rename")
        aside.rename(target)
        return name

    def _concerned(
        self, database: duckdb.DuckDBPyConnection, files: Iterable[str], condition: str
    ) -> tuple[Counter[str], Counter[str]]:
        """The events of each file that meet a condition, and of each kind."""
        names, kinds = Counter[str](), Counter[str]()
        found = database.execute(
            f"SELECT name, event, count(*) FROM ({stored_table(self.root / name for name in files)}) "  # noqa: S608
            f"WHERE {condition} GROUP BY ALL"
        ).fetchall()
        for name, event, count in found:
            names[str(Path(name).relative_to(self.root))] += count
            kinds[event] += count
        return names, kinds

    def _left_over_kinds(
        self, database: duckdb.DuckDBPyConnection, manifest: Manifest, condition: str
    ) -> Counter[str]:
        names = [name for name in self._left_over(manifest) if name.endswith(".parquet")]
        with contextlib.suppress(duckdb.IOException):  # gone meanwhile
            return self._concerned(database, names, condition)[1]
        return Counter()

    def _left_over(self, manifest: Manifest) -> list[str]:
        """The files that do not count: another process may be about to name them, or was killed before it did."""
        found = (str(path.relative_to(self.root)) for path in self.root.glob("stream=*/*=*/*"))
        return [name for name in found if name not in manifest.files]

    def _commit(self, manifest: Manifest, *, at_once: bool = False) -> None:
        present = set(map(_number, os.scandir(self.folder)))
        manifest.sources = {
            key: size for key, size in manifest.sources.items() if key.partition("-")[0] in present
        }
        aside = self.root / f"{MANIFEST}.new"
        self._step("write the manifest")
        aside.write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
        _to_disk(aside)
        self._step("rename the manifest")
        aside.replace(self.root / MANIFEST)
        _to_disk(self.root)
        self._step("tidy")
        self._tidy(manifest, at_once=at_once)

    def _tidy(self, manifest: Manifest, *, at_once: bool) -> None:
        """Remove what does not count; not while somebody reads it, unless a person's events must go."""
        left = self._left_over(manifest)
        if not left:
            return
        with locked(self.root / _READERS) as alone:
            for path in (self.root / name for name in left) if alone or at_once else ():
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # others of its day are there
                    path.parent.rmdir()

    @contextmanager
    def _writing(self, *, wait: bool = False) -> Iterator[bool]:
        """The right to write; false where another process has it, or the folder is not ours to write in.

        Raises:
            StoreError: what was to be written could not be.
        """
        try:
            self.root.mkdir(mode=0o700, exist_ok=True)
            (self.root / _WRITER).touch()
        except OSError:
            yield False
            return
        with locked(self.root / _WRITER, wait=wait) as ours:
            try:
                yield ours
            except (OSError, duckdb.Error) as error:
                said = no_room(error) or str(error).partition("\n")[0]
                raise StoreError(f"{self.root}: {said}") from error


def _number(entry: os.DirEntry[str]) -> str:
    """The number of a file, or of what a link leads to."""
    try:
        return str(entry.stat().st_ino if entry.is_symlink() else entry.inode())
    except OSError:  # it leads to nothing
        return ""


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
