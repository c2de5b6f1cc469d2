from __future__ import annotations

import gzip
import os
import stat
import tempfile
import time
from pathlib import Path

import pytest

from openai_safety_otel.operations.store import files as reading
from openai_safety_otel.operations.store.files import COPIES, NoEventFilesError, open_files
from openai_safety_otel.operations.store.pieces import Piece, compact
from support.events import ANN, BOB, NOON, call, lines, write

COUNT = "SELECT count(*) AS n FROM events"


def quiet(path: Path) -> None:
    """Let a file look untouched for an hour."""
    past = time.time() - 3600
    os.utime(path, (past, past))


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / COPIES).glob("*"))


def test_finds_rotated_packed_and_nested_files(tmp_path: Path) -> None:
    """Files of any rotation scheme in a folder and below are read, anything else is not."""
    names = ("a.jsonl", "a.jsonl.1", "sub/b.json", "sub/deep/c-2026-01-01T00-00-00.jsonl")
    for number, name in enumerate(names):
        write((tmp_path / name).parent, [call(ANN, NOON + number)], Path(name).name)
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(lines([call(ANN, NOON + 9)])))
    (tmp_path / "notes.txt").write_bytes(lines([call(ANN, NOON + 10)]))
    with open_files([tmp_path], keep_copies=False) as events:
        assert events.rows(COUNT) == [{"n": 5}]
        assert events.origin == "5 files"


def test_other_json_beside_the_events_is_left_alone(tmp_path: Path) -> None:
    """A suspension list in the same folder is no event file, and nothing of it is counted as broken."""
    write(tmp_path, [call(ANN, NOON)], "events.json")
    (tmp_path / "suspensions.json").write_text('{\n "version": 3,\n "entries": {}\n}\n')
    with open_files([tmp_path], keep_copies=False) as events:
        assert (events.rows(COUNT), events.skipped.problems) == ([{"n": 1}], 0)


def test_a_path_that_is_not_there_is_said() -> None:
    """A wrong path is an error that names it."""
    with pytest.raises(NoEventFilesError, match="/nowhere: no such file"):
        open_files([Path("/nowhere")])


def test_a_packed_file_cut_short_is_counted(tmp_path: Path) -> None:
    """A truncated gzip file gives what could be read and one unreadable file."""
    packed = gzip.compress(lines(call(ANN, NOON + number) for number in range(200)))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[:-20])
    with open_files([tmp_path], keep_copies=False) as events:
        assert events.skipped.unreadable_files == 1
        assert events.rows(COUNT)[0]["n"] > 0


def test_pieces_of_a_file_are_the_file(tmp_path: Path) -> None:
    """Wherever a file is cut into pieces, each line is read exactly once."""
    path = write(tmp_path, [call(ANN, NOON + number) for number in range(7)])
    size = path.stat().st_size
    for cut in range(1, size, max(1, size // 5)):
        halves = [
            Piece(path, 0, cut, cut, tmp_path / "x.parquet"),
            Piece(path, cut, size, size - cut, tmp_path / "y.parquet"),
        ]
        assert sum(compact(half).rows for half in halves) == 7


def test_many_pieces_in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes give the same rows, and progress ends at the whole."""
    write(tmp_path, [call(ANN, NOON + number) for number in range(300)])
    monkeypatch.setattr(reading, "_PIECE_BYTES", 100_000)
    monkeypatch.setattr(reading, "_ALONE_BYTES", 0)
    seen: list[tuple[int, int]] = []
    with open_files([tmp_path], keep_copies=False, progress=lambda *at: seen.append(at)) as events:
        assert events.rows(COUNT) == [{"n": 300}]
    assert len(seen) > 2
    assert seen[-1][0] == seen[-1][1]


def test_a_quiet_file_is_copied_once_and_read_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reading of a quiet file parses nothing, counts included; the copy is the owner's alone."""
    path = write(tmp_path, [call(ANN, NOON), call(BOB, NOON + 1)])
    path.write_bytes(path.read_bytes() + b"broken\n")
    quiet(path)
    with open_files([tmp_path]) as events:
        first = events.rows("SELECT * FROM events ORDER BY time_ns"), events.skipped
    assert len(copies(tmp_path)) == 1
    assert stat.S_IMODE((tmp_path / COPIES).stat().st_mode) == 0o700
    monkeypatch.setattr(reading, "compact", lambda piece: pytest.fail(f"parsed {piece}"))
    with open_files([tmp_path]) as events:
        assert (events.rows("SELECT * FROM events ORDER BY time_ns"), events.skipped) == first


def test_a_live_file_is_not_copied(tmp_path: Path) -> None:
    """A file written a moment ago leaves no copy behind."""
    write(tmp_path, [call(ANN, NOON)])
    with open_files([tmp_path]) as events:
        assert events.rows(COUNT) == [{"n": 1}]
    assert copies(tmp_path) == []


def test_copies_never_outlive_their_file(tmp_path: Path) -> None:
    """The copy of a changed file is made anew, that of a removed one goes."""
    path = write(tmp_path, [call(ANN, NOON)])
    other = write(tmp_path, [call(BOB, NOON)], "other.jsonl")
    quiet(path)
    quiet(other)
    open_files([tmp_path]).__exit__(None, None, None)
    before = copies(tmp_path)
    path.write_bytes(lines([call(ANN, NOON), call(ANN, NOON + 5)]))
    quiet(path)
    other.unlink()
    with open_files([tmp_path]) as events:
        assert events.rows(COUNT) == [{"n": 2}]
    after = copies(tmp_path)
    assert (len(before), len(after)) == (2, 1)
    assert not set(before) & set(after)


def test_a_damaged_copy_is_made_anew(tmp_path: Path) -> None:
    """A copy without its summary is not trusted."""
    path = write(tmp_path, [call(ANN, NOON)])
    quiet(path)
    open_files([tmp_path]).__exit__(None, None, None)
    next((tmp_path / COPIES).glob("*/summary.json")).write_text("{")
    with open_files([tmp_path]) as events:
        assert events.rows(COUNT) == [{"n": 1}]


def test_nothing_is_left_in_the_scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading removes its scratch folder at the end."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = write(tmp_path / "events", [call(ANN, NOON)])
    with open_files([path]) as events:
        assert events.rows(COUNT) == [{"n": 1}]
    assert list(scratch.iterdir()) == []
