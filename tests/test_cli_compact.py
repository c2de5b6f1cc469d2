from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.operations.store.locks import locked
from support.events import ANN, DAY, call, decision, write

NOW = time.time()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compact", *arguments])


def test_compact_takes_files_in_and_lets_old_days_go(tmp_path: Path) -> None:
    """Every folder gets its store; a stream is kept as long as said, else as long as the collector keeps it."""
    write(
        tmp_path / "a",
        [call(ANN, NOW - 9), call(ANN, NOW - 50 * DAY), decision(ANN, "watch", NOW - 50 * DAY)],
    )
    write(tmp_path / "b", [call(ANN, NOW - 8)])
    kept = run("--files", str(tmp_path), "--keep", "completed=60")
    assert kept.exit_code == 0
    assert kept.stdout.splitlines() == [
        f"{tmp_path}/a/openai-safety-columns: 3 events in 3 files; 0 too old, removed",
        f"{tmp_path}/b/openai-safety-columns: 1 event in 1 file; 0 too old, removed",
    ]
    assert "2 events in 2 files; 1 too old, removed" in run("--files", str(tmp_path)).stdout
    with open_files([tmp_path]) as events:
        assert events.rows("SELECT count(*) AS n FROM events") == [{"n": 3}]


@pytest.mark.parametrize("keep", ["everything=3", "completed=soon", "completed"])
def test_a_wrong_keep_says_what_may_stand_there(tmp_path: Path, keep: str) -> None:
    """Which streams there are is said with an example."""
    found = run("--files", str(tmp_path), "--keep", keep)
    assert (found.exit_code, "completed, notable, decision, evidence" in found.stderr) == (2, True)


def test_without_a_folder_it_says_where_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an option nor a setting: one line that names both."""
    monkeypatch.delenv("OPENAI_SAFETY_FILE_DIR", raising=False)
    found = run()
    assert (found.exit_code, "--files DIR, or OPENAI_SAFETY_FILE_DIR" in found.stderr) == (2, True)


@pytest.mark.parametrize("why", ["another command writes", "no folder can be made"])
def test_what_is_not_taken_in_is_said(tmp_path: Path, why: str) -> None:
    """Nobody takes silence for success: the folder is named, and the next run takes the events in."""
    write(tmp_path, [call(ANN, NOW - 9)])
    store = tmp_path / "openai-safety-columns"
    with ExitStack() as stack:
        if why == "another command writes":
            store.mkdir()
            stack.enter_context(locked(store / "writer.lock"))
        else:
            store.write_text("a file where the folder should be")
            stack.callback(store.unlink)
        assert f"note: {tmp_path}: nothing taken in: " in run("--files", str(tmp_path)).stderr
    assert run("--files", str(tmp_path)).stderr == ""
    assert "1 event" in run("--files", str(tmp_path)).stdout
