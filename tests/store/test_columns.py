from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.instrumentation.signals import otlp_json
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.store.columns import MANIFEST, STORE, ColumnStore
from openai_safety_otel.operations.store.files import compact_files, open_files
from openai_safety_otel.operations.store.locks import locked
from openai_safety_otel.operations.store.schema import RETENTION_DAYS
from support.events import ANN, BOB, DAY, EVE, NOON, RESOURCE, blocked, call, decision, flagged, lines, write

ROWS = "SELECT * EXCLUDE (name) FROM events ORDER BY time_ns, event, user_hash"
FEW = [
    call(ANN, NOON),
    blocked(ANN, NOON + 1, "cyber_policy"),
    call(BOB, NOON - DAY),
    decision(BOB, "watch", NOON),
]


def read(folder: Path, *, compact: bool = False) -> list[dict[str, Any]]:
    with open_files([folder], compact=compact) as events:
        return events.rows(ROWS)


def from_json(folder: Path, content: Iterable[SafetyEvent]) -> list[dict[str, Any]]:
    """What the same events read without a store."""
    write(folder, content)
    return read(folder)


def parquet(folder: Path) -> list[str]:
    root = folder / STORE
    return sorted(str(path.parent.relative_to(root)) for path in root.rglob("*.parquet"))


def add(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_columns_answer_as_the_files_they_were_made_from(tmp_path: Path) -> None:
    """Compacted events read as before, without their file too; they lie by stream and day, for their owner."""
    path = write(tmp_path, FEW)
    before = read(tmp_path)
    compact_files([tmp_path])
    assert parquet(tmp_path) == [
        "stream=completed/day=2026-09-28",
        "stream=completed/day=2026-09-29",
        "stream=decision/day=2026-09-29",
        "stream=notable/day=2026-09-29",
    ]
    assert stat.S_IMODE((tmp_path / STORE).stat().st_mode) == 0o700
    assert read(tmp_path) == before
    path.unlink()
    assert read(tmp_path) == before


def test_only_what_was_added_is_taken_in(tmp_path: Path) -> None:
    """A file that grows is taken in from where it ended; a line is taken in when it is whole."""
    path = write(tmp_path, FEW[:2])
    compact_files([tmp_path])
    rest = lines(FEW[2:])
    add(path, rest[:-40])
    compact_files([tmp_path])
    with open_files([tmp_path], compact=False) as events:
        assert (len(events.rows(ROWS)), events.skipped.unfinished_lines) == (3, 1)
    add(path, rest[-40:])
    compact_files([tmp_path])
    assert read(tmp_path) == from_json(tmp_path / "again", FEW)


def test_a_renamed_file_is_known_and_a_new_one_of_its_name_is_read(tmp_path: Path) -> None:
    """Rotation neither counts an event twice nor passes one over."""
    path = write(tmp_path, FEW[:2])
    compact_files([tmp_path])
    path.rename(tmp_path / "events-1.jsonl")
    write(tmp_path, [*FEW[2:], call(EVE, NOON + 5)])
    compact_files([tmp_path])
    with open_files([tmp_path], compact=False) as events:
        assert (len(events.rows(ROWS)), events.skipped.duplicates) == (5, 0)


def test_a_new_file_in_the_place_of_another_is_read_whole(tmp_path: Path) -> None:
    """It may have the number of a file that was removed, and begin as that: with the same long resource."""
    place = {**RESOURCE, "process.command_args": "x" * 1200}
    path = tmp_path / "events.json"
    path.write_bytes(otlp_json.line(FEW[0], place))
    compact_files([tmp_path])
    path.write_bytes(b"".join(otlp_json.line(one, place) for one in FEW[1:]))
    assert len(read(tmp_path)) == 4
    compact_files([tmp_path])
    assert len(read(tmp_path)) == 4


def test_a_link_to_a_file_is_taken_in_once(tmp_path: Path) -> None:
    """What a link leads to is known as read: its events are no duplicates of themselves."""
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "events.jsonl").symlink_to(write(tmp_path / "there", FEW))
    for _ in range(2):
        compact_files([tmp_path / "linked"])
    with open_files([tmp_path / "linked"], compact=False) as events:
        assert (len(events.rows(ROWS)), events.skipped.duplicates) == (4, 0)


def test_a_copied_folder_beside_the_first_counts_nothing_twice(tmp_path: Path) -> None:
    """A backup has the same files in columns, and its event files hold what they hold."""
    write(tmp_path / "a", FEW)
    compact_files([tmp_path])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for _ in range(2):
        assert len(read(tmp_path)) == 4
        compact_files([tmp_path])


def test_an_event_written_again_is_stored_once(tmp_path: Path) -> None:
    """What an exporter sent twice counts once: within a file, in a later one, and beside the store."""
    write(tmp_path, [*FEW, FEW[0]])
    compact_files([tmp_path])
    write(tmp_path, FEW[:2], "later.jsonl")
    with open_files([tmp_path], compact=False) as events:
        assert (len(events.rows(ROWS)), events.skipped.duplicates) == (4, 3)
    compact_files([tmp_path])
    with open_files([tmp_path], compact=False) as events:
        assert (len(events.rows(ROWS)), events.skipped.duplicates) == (4, 3)


def test_a_large_day_is_not_written_again_for_a_few_events(tmp_path: Path) -> None:
    """A few more events of a day get a file of their own, which grows with the next; none of them is stored twice."""
    many = [call(ANN, NOON + number) for number in range(50)]
    write(tmp_path, many)
    compact_files([tmp_path])
    (large,) = (tmp_path / STORE).rglob("*.parquet")
    for number in (1, 2):
        write(tmp_path, [call(BOB, NOON + number), many[number]], f"more-{number}.jsonl")
        compact_files([tmp_path])
        assert len(parquet(tmp_path)) == 2
    assert large.exists()
    with open_files([tmp_path], compact=False) as events:
        assert (len(events.rows(ROWS)), events.skipped.duplicates) == (52, 2)


def test_reading_takes_in_what_nobody_writes_any_more(tmp_path: Path) -> None:
    """A file untouched for ten minutes goes into the store when it is first read; a live one does not."""
    path = write(tmp_path, FEW)
    with open_files([tmp_path], now=path.stat().st_mtime + 599):
        assert parquet(tmp_path) == []
    with open_files([tmp_path], now=path.stat().st_mtime + 601) as events:
        assert len(parquet(tmp_path)) == 4
        assert len(events.rows(ROWS)) == 4


def test_damage_is_told_again_from_the_store(tmp_path: Path) -> None:
    """What could not be read stays counted when the file is in the store."""
    path = write(tmp_path, FEW)
    add(path, b"broken\n")
    compact_files([tmp_path])
    with open_files([tmp_path], compact=False) as events:
        assert events.skipped.broken_lines == 1


def test_a_folder_that_is_not_ours_to_write_in_is_read(tmp_path: Path) -> None:
    """Where no store can be made, the files answer."""
    write(tmp_path, FEW)
    (tmp_path / STORE).write_text("in the way")
    assert len(read(tmp_path, compact=True)) == 4


def test_who_reads_keeps_what_they_read(tmp_path: Path) -> None:
    """A compaction beside a reader leaves the reader's files; the next one removes them."""
    write(tmp_path, FEW)
    compact_files([tmp_path])
    with open_files([tmp_path], compact=False) as events:
        write(tmp_path, [call(EVE, NOON + 9)], "b.jsonl")
        compact_files([tmp_path])
        assert len(events.rows(ROWS)) == 4
    assert len(parquet(tmp_path)) == 5
    write(tmp_path, [call(EVE, NOON + 10)], "c.jsonl")
    compact_files([tmp_path])
    assert len(parquet(tmp_path)) == 4
    assert len(read(tmp_path)) == 6


def test_two_do_not_write_at_once(tmp_path: Path) -> None:
    """While one process compacts, another reads and leaves the store alone."""
    write(tmp_path, FEW)
    (tmp_path / STORE).mkdir()
    with locked(tmp_path / STORE / "writer.lock"):
        assert len(read(tmp_path, compact=True)) == 4
    assert parquet(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from openai_safety_otel.operations.store import files
from openai_safety_otel.operations.store.columns import ColumnStore
steps = iter(range(10**6))
def step(word):
    if next(steps) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
files.ColumnStore = lambda folder: ColumnStore(folder, step)
files.compact_files([Path(sys.argv[1])])
"""


@pytest.mark.timeout(400)
def test_a_killed_compaction_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    """Killed before any step that changes the disk: all events are there once, before the next run and after it."""
    first, second = tmp_path / "first", tmp_path / "second"
    write(first, FEW)
    compact_files([first])
    add(first / "events.jsonl", lines([call(EVE, NOON + 7), call(EVE, NOON - DAY)]))
    expected = read(first)
    for killed_at in range(100):
        shutil.rmtree(second, ignore_errors=True)
        second.mkdir()
        os.link(first / "events.jsonl", second / "events.jsonl")  # a copy would be another file
        shutil.copytree(first / STORE, second / STORE)
        done = subprocess.run([sys.executable, "-c", KILLED, str(second), str(killed_at)], check=False)
        assert read(second) == expected
        compact_files([second])
        assert read(second) == expected
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert killed_at == 9  # two Parquet files of three steps each, the manifest of two, and tidying


@pytest.mark.parametrize("name", ["old.000000000000.parquet", "old.parquet"])
def test_a_file_of_another_version_is_read(tmp_path: Path, name: str) -> None:
    """Yesterday's columns answer: one that is new is empty there, one that is gone is passed over."""
    write(tmp_path, FEW)
    compact_files([tmp_path])
    root, files = tmp_path / STORE, {}
    for path in list(root.rglob("*.parquet")):
        old = path.with_name(name)
        with duckdb.connect() as database:
            rows = f"SELECT * EXCLUDE (openai_safety_retries), 7 AS gone FROM read_parquet('{path}')"
            database.execute(f"COPY ({rows}) TO '{old}' (FORMAT parquet)")
        path.unlink()
        files[str(old.relative_to(root))] = 1
    manifest = json.loads((root / MANIFEST).read_text())
    (root / MANIFEST).write_text(json.dumps({**manifest, "files": files}))
    assert read(tmp_path) == from_json(tmp_path.parent / f"{tmp_path.name}-again", FEW)
    write(tmp_path, [call(EVE, NOON + 1, RETRIES=2)], "today.jsonl")
    compact_files([tmp_path])
    with open_files([tmp_path], compact=False) as events:
        assert events.rows(
            "SELECT openai_safety_retries AS n FROM events WHERE user_hash = $eve", eve=EVE
        ) == [{"n": 2}]
        assert len(events.rows(ROWS)) == 5


def test_a_day_that_nobody_asks_for_is_not_opened(tmp_path: Path) -> None:
    """A question about some days reads only their files: another day's may even be no Parquet."""
    write(tmp_path, [*FEW, call(ANN, NOON + 10 * DAY)])
    compact_files([tmp_path])
    for path in (tmp_path / STORE).glob("stream=*/day=2026-10-09/*.parquet"):
        path.write_bytes(b"unreadable")
    with open_files([tmp_path], compact=False) as events:
        assert build_report(events, Window(NOON - 3600, NOON + 3600)).totals.calls == 2
        assert events.rows("SELECT count(*) AS n FROM events WHERE day = '2026-09-29'") == [{"n": 3}]


def test_each_stream_is_kept_as_long_as_the_collector_says(tmp_path: Path) -> None:
    """Days that are over for longer than their stream is kept are gone; nothing else is, and it stays so."""
    old = [
        *(call(ANN, NOON - days * DAY) for days in (29, 32)),
        *(flagged(ANN, NOON - days * DAY, "hate", 0.9) for days in (179, 182)),
        *(decision(ANN, "watch", NOON - days * DAY) for days in (399, 402)),
    ]
    write(tmp_path, old)
    compact_files([tmp_path])
    assert ColumnStore(tmp_path).expire(RETENTION_DAYS, NOON) == 3
    assert read(tmp_path) == from_json(tmp_path / "again", old[::2])


def test_erasing_writes_only_the_files_that_hold_the_person(tmp_path: Path) -> None:
    """The erased events are in no file of the store any more, the others' files are untouched."""
    write(tmp_path, [*FEW, call(EVE, NOON + 9)])
    compact_files([tmp_path])
    root = tmp_path / STORE
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
    assert ColumnStore(tmp_path).erase(f"user_hash = '{ANN}'") == {c.CALL_EVENT: 2}
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
    assert len(after.items() & before.items()) == 2
    assert len(after) == 3
    assert all(ANN.encode() not in path.read_bytes() for path in after)
    assert (root / MANIFEST).exists()


def test_one_person_is_found_by_statistics(tmp_path: Path) -> None:
    """The rows of a Parquet file are sorted by identifier, and it has a Bloom filter for it."""
    write(tmp_path, [call(who * 64, NOON + at) for at, who in enumerate("dbac" * 50)])
    compact_files([tmp_path])
    file = next((tmp_path / STORE).rglob("*.parquet"))
    with duckdb.connect() as database:
        order = database.execute(f"SELECT user_hash, time_ns FROM read_parquet('{file}')").fetchall()
        bloom = database.execute(
            f"SELECT count(bloom_filter_offset) FROM parquet_metadata('{file}') WHERE path_in_schema = 'user_hash'"
        ).fetchall()
    assert order == sorted(order)
    assert bloom == [(1,)]
