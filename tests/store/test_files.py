from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import duckdb
import pytest

from openai_safety_otel.operations.investigation.erase_events import erase_files
from openai_safety_otel.operations.store.files import (
    NoEventFilesError,
    compact_files,
    find_stores,
    open_files,
)
from support.events import ANN, NOON, call, lines, write

COUNT = "SELECT count(*) AS n FROM events"


def test_finds_rotated_packed_and_nested_files(tmp_path: Path) -> None:
    """Files of any rotation scheme in a folder and below are read, anything else is not."""
    names = ("a.jsonl", "a.jsonl.1", "sub/b.json", "sub/deep/c-2026-01-01T00-00-00.jsonl", "a.jsonl-20261121")
    for number, name in enumerate(names):
        write((tmp_path / name).parent, [call(ANN, NOON + number)], Path(name).name)
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(lines([call(ANN, NOON + 9)])))
    (tmp_path / "e.jsonl-20261120.gz").write_bytes(gzip.compress(lines([call(ANN, NOON + 11)])))
    (tmp_path / "notes.txt").write_bytes(lines([call(ANN, NOON + 10)]))
    with open_files([tmp_path], compact=False) as events:
        assert events.rows(COUNT) == [{"n": 7}]
        assert events.origin == "7 files"


@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.jsonl-20261120.xz", "a.json.1.bz2"])
def test_a_file_packed_in_another_way_is_counted(tmp_path: Path, name: str) -> None:
    """It cannot be read, which is said, not passed over; it is not taken for read either."""
    (tmp_path / name).write_bytes(b"\x28\xb5\x2f\xfd")
    write(tmp_path, [call(ANN, NOON)])
    compact_files([tmp_path])
    with open_files([tmp_path], compact=False) as events:
        assert (events.rows(COUNT), events.skipped.unreadable_files) == ([{"n": 1}], 1)


def linked(tmp_path: Path) -> Path:
    """A folder as volumes are mounted: links to folders beside it, one of them twice, and two that lead back."""
    folder = tmp_path / "events"
    write(folder / "..data", [call(ANN, NOON)], "a.jsonl")
    (folder / "a.jsonl").symlink_to("..data/a.jsonl")
    write(tmp_path / "volume" / "deep", [call(ANN, NOON + 1)], "b.jsonl")
    (folder / "pod-1").symlink_to(tmp_path / "volume")
    (folder / "pod-2").symlink_to(tmp_path / "volume" / "deep")
    (folder / "round").symlink_to(folder)
    (tmp_path / "volume" / "back").symlink_to(folder)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    return folder


def test_links_to_folders_are_followed_and_nothing_counts_twice(tmp_path: Path) -> None:
    """What a mount put there is read once, whichever way leads to it, before and after it is in columns."""
    folder = linked(tmp_path)
    for compact in (False, True, False):
        with open_files([folder, tmp_path / "volume"], compact=False) as events:
            assert (events.rows(COUNT), events.skipped.duplicates) == ([{"n": 2}], 0)
            assert events.origin == "2 files"
        if compact:
            compact_files([folder])
            assert len(find_stores([folder, tmp_path / "volume"])) == 2


def test_what_is_read_behind_a_link_is_erased_there(tmp_path: Path) -> None:
    """Files and columns of a linked folder are the ones that questions see."""
    folder = linked(tmp_path)
    compact_files([folder])
    erased = erase_files([folder], [ANN])
    assert (erased.records, erased.stored, erased.unreached) == (2, 2, [])
    with open_files([folder], compact=False) as events:
        assert events.rows(COUNT) == [{"n": 0}]


def test_a_question_starts_one_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads the lines answers too: to start a second one takes as long as to read a few events."""
    write(tmp_path, [call(ANN, NOON)])
    started = []
    start = duckdb.connect

    def connect() -> duckdb.DuckDBPyConnection:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(duckdb, "connect", connect)
    with open_files([tmp_path], compact=False) as events:
        assert (events.rows(COUNT), len(started)) == ([{"n": 1}], 1)
    with pytest.raises(duckdb.ConnectionException):  # and is gone with the answers
        started[0].execute("SELECT 1")


def test_other_json_beside_the_events_is_left_alone(tmp_path: Path) -> None:
    """A suspension list in the same folder is no event file, and nothing of it is counted as broken."""
    write(tmp_path, [call(ANN, NOON)], "events.json")
    (tmp_path / "suspensions.json").write_text('{\n "version": 3,\n "entries": {}\n}\n')
    with open_files([tmp_path], compact=False) as events:
        assert (events.rows(COUNT), events.skipped.problems) == ([{"n": 1}], 0)


def test_a_path_that_is_not_there_is_said() -> None:
    """A wrong path is an error that names it."""
    with pytest.raises(NoEventFilesError, match="/nowhere: no such file"):
        open_files([Path("/nowhere")])


def test_a_packed_file_cut_short_is_counted(tmp_path: Path) -> None:
    """A truncated gzip file gives what could be read and one unreadable file."""
    packed = gzip.compress(lines(call(ANN, NOON + number) for number in range(200)))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[:-20])
    with open_files([tmp_path], compact=False) as events:
        assert events.skipped.unreadable_files == 1
        assert events.rows(COUNT)[0]["n"] > 0


def test_nothing_is_left_in_the_scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading removes its scratch folder at the end."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = write(tmp_path / "events", [call(ANN, NOON)])
    with open_files([path]) as events:
        assert events.rows(COUNT) == [{"n": 1}]
    assert list(scratch.iterdir()) == []
