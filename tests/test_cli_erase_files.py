"""`erase` in files of every form: packed, linked, in columns, and what a killed run left of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.operations.store import files
from openai_safety_otel.operations.store.columns import STORE, ColumnStore
from openai_safety_otel.operations.store.files import compact_files, open_files
from support.events import ANN, BOB, call, lines, write
from test_cli_erase import NOW, here, run

__all__ = ["here"]


def test_packed_files_and_columns_are_reached(here: Path) -> None:
    """A gzip file is written anew, and the columns hold them no more; what stood only there counts as well."""
    packed = here / "events" / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(lines([call(ANN, NOW - 9), call(BOB, NOW - 8)])))
    gone = write(here / "events", [call(ANN, NOW - 7)], "a.jsonl")
    compact_files([here / "events"])
    gone.unlink()
    found = run(ANN, "--files", "events", "--yes", "--json")
    assert (found.exit_code, json.loads(found.stdout)["records"]) == (0, 2)
    assert ANN.encode() not in gzip.decompress(packed.read_bytes())
    assert not any(ANN.encode() in path.read_bytes() for path in (here / "events" / STORE).rglob("*.parquet"))
    with open_files([here / "events"]) as events:
        assert events.rows("SELECT user_hash AS who FROM events") == [{"who": BOB}]


@pytest.mark.parametrize(
    ("odd", "code"),
    [({"attributes": 5}, 2), ({"attributes": {"a": 1}}, 2), ({"attributes": [{"key": []}, 7]}, 0), (7, 2)],
)
def test_a_record_that_is_none_stops_nothing(here: Path, odd: Any, code: int) -> None:
    """Whoever wrote it: the person's own records go, and what cannot be read and names them is said."""
    document = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [odd]}], "note": ANN}]})
    path = here / "events" / "a.jsonl"
    path.write_bytes(f"{document}\n".encode() + lines([call(ANN, NOW - 9)]))
    found = run(ANN, "--files", "events", "--yes")
    assert found.exit_code == code, found.output
    assert ("NOT reached: events/a.jsonl: the line at byte 0 cannot be read" in found.stderr) is (code == 2)
    assert "1 record in 1 file erased" in found.stdout


def in_parquet(here: Path, who: str) -> int:
    """How often a person is in any Parquet file of the store, whether it counts or not."""
    with duckdb.connect() as database:
        return sum(
            database.execute(
                f"SELECT count(*) FROM read_parquet('{path}', hive_partitioning = false) WHERE user_hash = '{who}'"
            ).fetchall()[0][0]
            for path in (here / "events" / STORE).rglob("*.parquet")
        )


@pytest.mark.parametrize("before", [[], [call(BOB, NOW - 99)]])
def test_what_a_killed_run_left_in_the_columns_goes(
    here: Path, monkeypatch: pytest.MonkeyPatch, before: list[SafetyEvent]
) -> None:
    """A Parquet file that does not count yet holds them too; also where it is all that is left of them."""
    write(here / "events", before, "a.jsonl")
    compact_files([here / "events"] if before else [])
    path = write(here / "events", [call(ANN, NOW - 9), call(BOB, NOW - 8)], "b.jsonl")

    def killed(word: str) -> None:
        if word == "write the manifest":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(files, "ColumnStore", lambda folder: ColumnStore(folder, killed))
        compact_files([here / "events"])
    path.unlink()
    assert in_parquet(here, ANN) == 1
    assert run(ANN, "--files", "events", "--force", "--yes").exit_code == 0
    assert in_parquet(here, ANN) == 0
    assert run(ANN, "--files", "events", "--force", "--yes").exit_code == 1


def test_a_link_to_a_packed_file_is_followed(here: Path) -> None:
    """What it leads to is written anew, not put beside it."""
    there = here / "there.jsonl.gz"
    there.write_bytes(gzip.compress(lines([call(ANN, NOW - 9), call(BOB, NOW - 8)])))
    (here / "events" / "a.jsonl.gz").symlink_to(there)
    assert run(ANN, "--files", "events", "--yes").exit_code == 0
    assert [who.encode() in gzip.decompress(there.read_bytes()) for who in (ANN, BOB)] == [False, True]
    assert (here / "events" / "a.jsonl.gz").is_symlink()


def test_a_file_packed_in_another_way_is_said(here: Path) -> None:
    """Whether they are in it is not known."""
    write(here / "events", [call(ANN, NOW - 9)], "a.jsonl")
    (here / "events" / "a.jsonl-20261120.xz").write_bytes(b"\xfd7zXZ")
    found = run(ANN, "--files", "events", "--yes")
    assert found.exit_code == 2
    assert "NOT reached: events/a.jsonl-20261120.xz: packed otherwise than by gzip: unpack it" in found.stderr
