from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.signals import otlp_json
from openai_safety_otel.instrumentation.signals.sink import EventSink
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.investigation.erase_events import erase_files
from openai_safety_otel.operations.store.checkpoint import CheckpointError, read_until
from openai_safety_otel.operations.store.columns import ColumnStore
from openai_safety_otel.operations.store.files import compact_files
from store.test_columns import read
from support.events import ANN, BOB, NOON, blocked, call, decision, lines

EVENTS = [call(ANN, NOON), blocked(ANN, NOON + 1, "cyber_policy"), decision(BOB, "watch", NOON)]
# What collector 0.158 wrote when it had read three files to their ends: 11,216, 9,760 and 8,304 bytes.
CHECKPOINT = Path(__file__).with_name("checkpoint.bolt.gz")
READ = {
    f"openai-safety-unknown_service-20261122T023703-19268-{name}.0001.jsonl": size
    for name, size in (("201423", 11_216), ("48441e", 9_760), ("d7309a", 8_304))
}
KEPT = [part for stream in ("completed", "notable", "decision") for part in ("--keep", f"{stream}=99999")]


def closed(folder: Path, events: list[SafetyEvent]) -> Path:
    """An event file as an app leaves it, an hour old."""
    before = set(folder.glob("*.jsonl"))
    sink = EventSink.from_settings(Settings(file_dir=str(folder), file_keep=100))
    for event in events:
        sink.emit(event)
    sink.close()
    (path,) = set(folder.glob("*.jsonl")) - before
    return aged(path)


def aged(path: Path) -> Path:
    os.utime(path, (NOON, NOON))
    return path


def remove(folder: Path, *more: str, checkpoint: str = "none") -> Result:
    asked = ["compact", "--files", str(folder), *KEPT, "--remove-files", "1h", "--checkpoint", checkpoint]
    return CliRunner().invoke(app, [*asked, *more])


def test_a_file_is_removed_when_all_of_it_is_stored(tmp_path: Path) -> None:
    """Told by name; every event is still there, and a second run removes nothing."""
    path = closed(tmp_path, EVENTS)
    rows = read(tmp_path)
    done = remove(tmp_path)
    assert f"{path}: removed, its events are stored\n" in done.output
    assert list(tmp_path.glob("*.jsonl")) == []
    assert read(tmp_path) == rows
    assert "removed, its" not in remove(tmp_path).output


def test_nothing_is_removed_unasked(tmp_path: Path) -> None:
    """Neither without the option, nor without a word on who else reads the files."""
    path = closed(tmp_path, EVENTS)
    assert CliRunner().invoke(app, ["compact", "--files", str(tmp_path)]).exit_code == 0
    asked = ["compact", "--files", str(tmp_path), "--remove-files", "1h"]
    done = CliRunner().invoke(app, asked)
    assert (done.exit_code, path.exists()) == (2, True)
    assert "say how far a collector has read: --checkpoint DIR, or --checkpoint none" in done.stderr


def _lost(path: Path) -> None:
    compact_files([path.parent])
    ColumnStore(path.parent).erase(f"user_hash = '{BOB}'")


def _added(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)
    aged(path)


def _emptied(path: Path) -> None:
    compact_files([path.parent])
    path.write_bytes(b"")
    aged(path)


REPORTED = SafetyEvent(c.USER_REPORT_EVENT, int(NOON * 1e9), {c.REPORT_TEXT: "secret"})
NEEDED: dict[str, Callable[[Path], object]] = {
    "young": lambda path: path.touch(),
    "empty": _emptied,
    "with a line that is no event": lambda path: _added(path, b'{"traces": 1\n'),
    "with half a line": lambda path: _added(path, lines(EVENTS)[:-9]),
    "with content": lambda path: _added(path, lines([REPORTED])),
    "not an app's": lambda path: path.rename(path.with_name("events.jsonl")),
    "not stored": _lost,
}


@pytest.mark.parametrize("what", NEEDED)
def test_a_file_that_is_needed_stays(tmp_path: Path, what: str) -> None:
    """What is young, holds something that has no column or may be written by others, or is not stored."""
    NEEDED[what](closed(tmp_path, EVENTS))
    before = sorted(tmp_path.glob("*.jsonl"))
    assert remove(tmp_path).exit_code == 0
    assert sorted(tmp_path.glob("*.jsonl")) == before


def test_a_file_that_its_app_holds_stays(tmp_path: Path) -> None:
    """However long nothing was written to it."""
    sink = EventSink.from_settings(Settings(file_dir=str(tmp_path)))
    sink.emit(EVENTS[0])
    sink.flush()
    (path,) = map(aged, tmp_path.glob("*.jsonl"))
    assert remove(tmp_path).exit_code == 0
    assert path.exists()
    sink.close()
    aged(path)
    assert remove(tmp_path).exit_code == 0
    assert not path.exists()


def test_events_that_are_too_old_to_be_kept_do_not_keep_their_file(tmp_path: Path) -> None:
    """What the store let go by its days is no reason to keep the file."""
    path = closed(tmp_path, EVENTS)
    assert remove(tmp_path, "--keep", "completed=1").exit_code == 0
    assert not path.exists()
    assert [row["stream"] for row in read(tmp_path)] == ["decision", "notable"]


def test_a_file_whose_person_was_erased_is_removed(tmp_path: Path) -> None:
    """Blanks where a record was are no reason either."""
    path = closed(tmp_path, EVENTS)
    compact_files([tmp_path])
    assert erase_files([tmp_path], [ANN]).records == 2
    aged(path)
    assert remove(tmp_path).exit_code == 0
    assert not path.exists()
    assert [row["user_hash"] for row in read(tmp_path)] == [BOB]


def test_a_file_that_the_collector_has_not_passed_stays(tmp_path: Path) -> None:
    """Its checkpoint, as a real collector wrote it, knows the first; the second has grown since, the third is new."""
    storage = tmp_path / "storage"
    storage.mkdir()
    (storage / "receiver_otlpjsonfile_").write_bytes(gzip.decompress(CHECKPOINT.read_bytes()))
    assert {json.loads(first)["file"]: size for first, size in read_until(storage).items()} == READ
    folder = tmp_path / "events"
    folder.mkdir()
    passed, longer, unknown = (
        folder / name for name in (*list(READ)[:2], list(READ)[2].replace("d73", "aaa"))
    )
    for path, number in ((passed, 1), (longer, 20), (unknown, 1)):
        path.write_bytes(otlp_json.header(path.name) + lines(call(ANN, NOON + at) for at in range(number)))
        aged(path)
    done = remove(folder, checkpoint=str(storage))
    assert done.exit_code == 0, done.output
    assert sorted(folder.glob("*.jsonl")) == sorted([longer, unknown])


@pytest.mark.parametrize("content", [b"", b"\0" * 9000, None])
def test_a_checkpoint_that_cannot_be_read_removes_nothing(tmp_path: Path, content: bytes | None) -> None:
    """A folder without one, and what is none, end in one line."""
    path = closed(tmp_path, EVENTS)
    storage = tmp_path / "storage"
    storage.mkdir()
    if content is not None:
        (storage / "receiver_otlpjsonfile_").write_bytes(content)
    with pytest.raises(CheckpointError):
        read_until(storage)
    done = remove(tmp_path, checkpoint=str(storage))
    assert (done.exit_code, path.exists()) == (1, True)


KILLED = """
import os, sys
from pathlib import Path
unlink = Path.unlink
def once(path, missing_ok=False):
    if path.suffix == ".jsonl":
        (unlink(path) if sys.argv[1] == "after" else None, os._exit(9))
    unlink(path, missing_ok=missing_ok)
Path.unlink = once
from openai_safety_otel.operations.cli.group import app
app(sys.argv[2:])
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_removal_that_is_killed_loses_nothing(tmp_path: Path, when: str) -> None:
    """Killed before or after a file goes: each event is there once, and the next run goes on."""
    closed(tmp_path, EVENTS)
    closed(tmp_path, [call(BOB, NOON + 9)])
    rows = read(tmp_path)
    asked = ["compact", "--files", str(tmp_path), *KEPT, "--remove-files", "1h", "--checkpoint", "none"]
    done = subprocess.run([sys.executable, "-c", KILLED, when, *asked], check=False)
    assert (done.returncode, len(list(tmp_path.glob("*.jsonl")))) == (9, 2 if when == "before" else 1)
    assert read(tmp_path) == rows
    assert remove(tmp_path).exit_code == 0
    assert (list(tmp_path.glob("*.jsonl")), read(tmp_path)) == ([], rows)
