from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import openai_safety_otel
from support.events import ANN, BOB, DAY, NOON, blocked, call, flagged, write

PAGE = Path(__file__).parents[1] / "docs" / "notebook.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ann is flagged more and more until they are blocked; Bob is fine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    mine = [flagged(ANN, NOON - n * DAY, "hate", 0.9 - n / 10, OUTCOME="refused") for n in range(1, 6)]
    write(tmp_path / "events", [*mine, blocked(ANN, NOON, "cyber_policy"), call(BOB, NOON - 1)])
    return tmp_path


def test_the_pages_code_answers_its_questions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of docs/notebook.md runs as printed and finds who was over a threshold, when, and before what."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(block, found)
    assert dict(zip(found["tried"]["threshold"].round(1), found["tried"]["people"], strict=True))[0.8] == 1
    assert found["whom"].fetchall() == [(ANN, 3, 0.8)]
    assert found["moved"]["days"].tolist() == [-3, -2, -1, 0, 1, 2]
    assert found["before"]["score"].round(1).tolist() == [0.8, 0.7, 0.6, 0.5, 0.4]


def test_events_are_a_relation_a_frame_and_an_arrow_table(folder: Path) -> None:
    """The same rows in each form; the folder may come from the settings."""
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    events = openai_safety_otel.events("events").filter("user_hash IS NOT NULL")
    assert len(events.df()) == events.arrow().read_all().num_rows == len(events.fetchall()) == 7


def test_the_folder_of_the_settings_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path, OPENAI_SAFETY_FILE_DIR says where the events are; without both, an error says so."""
    monkeypatch.delenv("OPENAI_SAFETY_FILE_DIR", raising=False)
    with pytest.raises(ValueError, match=r"events\('folder'\), or OPENAI_SAFETY_FILE_DIR"):
        openai_safety_otel.events()
    monkeypatch.setenv("OPENAI_SAFETY_FILE_DIR", str(folder / "events"))
    assert openai_safety_otel.events().aggregate("count(*)").fetchall() == [(7,)]


def test_importing_the_package_loads_no_database() -> None:
    """DuckDB is loaded when events are asked for, and not before."""
    code = (
        "import sys, openai_safety_otel; print('duckdb' in sys.modules, 'events' in dir(openai_safety_otel))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
