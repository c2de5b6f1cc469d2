"""Commands where the disk takes no more: what stands there is read, nothing is half done, and one line says why."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openai_safety_otel.ledger.suspensions import open_suspensions
from openai_safety_otel.operations.store.columns import ColumnStore
from openai_safety_otel.operations.store.files import compact_files
from openai_safety_otel.operations.store.room import StoreError
from support import loki
from support.events import ANN, BOB, call, lines

NOW = 1_795_000_000.0
_FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))\n"
_MAIN = "from openai_safety_otel.operations.cli import main; main()"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """Event files, a suspension list and a journal, in which Ann is suspended."""
    (tmp_path / "events").mkdir()
    content = lines([call(who, NOW - n) for who in (ANN, BOB) for n in range(50)])
    (tmp_path / "events" / "app.jsonl").write_bytes(content)
    os.utime(tmp_path / "events" / "app.jsonl", (1, 1))
    open_suspensions(str(tmp_path / "list.json")).create({})
    done = _run(tmp_path, "decide", ANN, "--action", "suspend", "--by", "kim", "--why", "fraud", "--force")
    assert done.returncode == 0, done.stderr
    return tmp_path


def _run(folder: Path, *arguments: str, room: int | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a process whose files may grow to so many bytes."""
    return _python(folder, ("" if room is None else _FULL.format(room)) + _MAIN, *arguments)


def _python(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {"STORE": "store.db", "SUSPENSIONS": "list.json"}
    environment = {**os.environ, "TMPDIR": str(folder), "COLUMNS": "200"}
    environment |= {f"OPENAI_SAFETY_{name}": str(folder / file) for name, file in settings.items()}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=environment, cwd=folder,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command", [["decisions"], ["decisions", "--verify"], ["decisions", ANN], ["notice", "list"]]
)
def test_the_journal_is_read_where_nothing_can_be_written(folder: Path, command: list[str]) -> None:
    """As with room: whoever must know on that day who is suspended, and why, is told."""
    (with_room, without) = (_run(folder, *command), _run(folder, *command, room=0))
    assert (without.returncode, without.stdout) == (0, with_room.stdout)
    assert without.stdout


def test_a_decision_that_cannot_be_recorded_is_not_made(folder: Path) -> None:
    """Bob is not suspended by a list that nobody can explain, and Ann stays suspended."""
    before = (folder / "list.json").read_bytes()
    for who, action in ((BOB, "suspend"), (ANN, "clear")):
        done = _run(folder, "decide", who, "--action", action, "--by", "kim", "--why", "x", "--force", room=0)
        assert (done.returncode, done.stdout) == (1, "")
        assert "nothing was done" in done.stderr.splitlines()[-1]
    assert (folder / "list.json").read_bytes() == before


def test_a_page_that_does_not_fit_leaves_the_one_before(folder: Path) -> None:
    """A page is replaced by a whole one: whoever looks meanwhile, or after a full disk, sees yesterday's."""
    command = ["report", "--files", "events", "--out", "page.html"]
    assert _run(folder, *command).returncode == 0
    before = (folder / "page.html").read_bytes()
    done = _run(folder, *command, room=len(before) // 2)
    assert (done.returncode, done.stdout) == (1, "")
    assert (folder / "page.html").read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        ["report", "--no-compact"], ["report"], ["queue"], ["compact"], ["investigate", ANN],
        ["erase", ANN, "--by", "kim", "--why", "asked", "--yes", "--force"],
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("room", [0, 2_000])
def test_what_cannot_be_read_for_want_of_room_is_one_line(
    folder: Path, command: list[str], room: int
) -> None:
    """Never a page of fewer calls than there were, and never a traceback."""
    done = _run(folder, *command, "--files", "events", room=room)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    why = ("File too large; make room", "no folder takes a file; make room", "disk I/O error")
    assert any(said in done.stderr for said in why), done.stderr


def test_columns_that_cannot_be_written_cost_no_answer(folder: Path) -> None:
    """The event files are read themselves, and a note says that they were."""
    (folder / "events" / "openai-safety-columns").mkdir()
    (folder / "events" / "openai-safety-columns" / "stream=completed").write_text(
        "where the folder should be"
    )
    done = _run(folder, "report", "--files", "events", "--since", "2026-11-01")
    assert (done.returncode, "100 calls, 2 identifiers" in done.stdout) == (0, True), done
    assert "note: the columns could not be written, the event files are read themselves: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("word", ["write", "verify", "rename", "write the manifest", "rename the manifest"])
def test_columns_on_a_full_disk_keep_what_they_have(folder: Path, word: str) -> None:
    """An erasure that cannot be written says so, wherever the disk gives out, and every event is still there."""

    def full(step: str) -> None:
        if step == word:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    events = folder / "events"
    compact_files([events])
    whole = ColumnStore(events).count("true")
    with pytest.raises(StoreError, match="openai-safety-columns: No space left on device"):
        ColumnStore(events, full).erase(f"user_hash = '{ANN}'")
    assert ColumnStore(events).count("true") == whole


def test_an_answer_that_does_not_fit_is_one_line(folder: Path) -> None:
    """What a question sorts goes to the disk when memory is used up: there is no room for it, and it is said."""
    code = _FULL.format(100_000) + (
        "from pathlib import Path; from openai_safety_otel.operations.store.files import open_files\n"
        "with open_files([Path('empty')]) as events:\n"
        "    events.bound_memory(20)\n"
        "    events.rows('SELECT random() AS a, random() AS b FROM range(2_000_000) ORDER BY a')"
    )
    (folder / "empty").mkdir()
    done = _python(folder, code)
    last = done.stderr.splitlines()[-1]
    assert last.endswith(
        f"StoreError: {folder}: File too large; make room there, or let TMPDIR name another folder"
    )


@pytest.mark.parametrize("room", [0, 2_000, 40_000])
def test_what_loki_answers_and_does_not_fit_is_one_line(folder: Path, room: int) -> None:
    """As with event files: what was read so far is no answer."""
    events = [call(who, time.time() - 60 - n) for who in (ANN, BOB) for n in range(50)]
    with loki.serving(events) as store:
        done = _run(folder, "report", "--loki-url", store.url, room=room)
    assert (done.returncode, done.stdout) == (1, "")
    why = ("File too large; make room", "no folder takes a file; make room")
    assert any(said in done.stderr.splitlines()[-1] for said in why), done.stderr
