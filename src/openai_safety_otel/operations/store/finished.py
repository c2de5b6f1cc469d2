"""Event files that nobody needs any more: each is read again, and removed where all of it stands in the store."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from openai_safety_otel.contract import moments
from openai_safety_otel.instrumentation.signals.pruning import EVENT_FILE, in_use
from openai_safety_otel.operations.store.columns import ColumnStore
from openai_safety_otel.operations.store.events import fresh_table, stored_table
from openai_safety_otel.operations.store.lines import lines_left, read_lines
from openai_safety_otel.operations.store.oddities import Skipped
from openai_safety_otel.operations.store.schema import CONTENT, SAME, days_of, quoted
from openai_safety_otel.operations.store.writing import workplace

_LONGEST_FIRST: Final = 1000


def passed_by(read: Mapping[bytes, int]) -> Callable[[Path], bool]:
    """Whether a collector has read a file to its end, as its checkpoint says."""

    def passed(file: Path) -> bool:
        with file.open("rb") as source:
            first = source.read(_LONGEST_FIRST)
        offsets = [offset for known, offset in read.items() if known and first.startswith(known)]
        return bool(offsets) and min(offsets) >= file.stat().st_size

    return passed


def remove_finished(
    store: ColumnStore, before: float, days: Mapping[str, float], now: float, passed: Callable[[Path], bool]
) -> Iterator[Path]:
    """Remove the event files of a store's folder that are finished; yields each when it is gone.

    That is a file that an app of ours has written and has closed, untouched since ``before``, that every reader has
    passed, without content that has no column, and of which every event is in the store or older than its stream is
    kept.

    Args:
        store: the store of the folder.
        before: Unix seconds.
        days: how many days each stream is kept.
        now: Unix seconds.
        passed: whether others who read a file have read all of it.
    """
    for file in sorted(store.folder.iterdir()):
        try:
            finished = (
                EVENT_FILE.fullmatch(file.name)
                and file.stat().st_mtime < before
                and not in_use(file)
                and passed(file)
                and file.stat().st_size
                and not _holds_content(file)
                and _is_stored(store, file, days, now)
            )
        except FileNotFoundError:  # rotated away meanwhile
            continue
        if finished:
            file.unlink(missing_ok=True)
            yield file


def _holds_content(file: Path) -> bool:
    with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(name.encode()) >= 0 for name in CONTENT)


def _is_stored(store: ColumnStore, file: Path, days: Mapping[str, float], now: float) -> bool:
    """Whether every line of a file is an event that the store has, or need not keep."""
    lines, skipped = lines_left(file, {}), Skipped()
    if lines is None or lines.size != file.stat().st_size:
        return False
    with store.reading() as manifest, workplace() as (database, scratch):
        if manifest.sources.get(lines.key) != lines.size:
            return False
        parts = read_lines(database, [lines], scratch, skipped)
        if skipped.problems or skipped.other_records or skipped.other_lines:
            return False
        database.execute(f"CREATE VIEW fresh AS {fresh_table(parts)}")
        first, last = database.execute("SELECT min(day), max(day) FROM fresh").fetchall()[0]
        near = [
            name
            for name in manifest.files
            if first and days_of(name)[0] <= last and days_of(name)[1] >= first
        ]
        stored = stored_table(store.root / name for name in near)
        kept = " ".join(
            f"WHEN {quoted(stream)} THEN {quoted(moments.day(now - number * moments.DAY))}"
            for stream, number in days.items()
        )
        missing = database.execute(
            f"SELECT count(*) FROM (SELECT *, hash({SAME}) AS same FROM fresh) "  # noqa: S608 - our own names
            f"ANTI JOIN (SELECT hash({SAME}) AS same FROM ({stored}) SEMI JOIN fresh USING (time_ns)) AS known "
            f"USING (same) WHERE day >= CASE stream {kept} ELSE '' END"
        ).fetchall()[0][0]
    return not missing
