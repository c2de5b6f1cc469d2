"""What commands print arrives: in any encoding, on a narrow terminal, and where the disk is full."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from openai_safety_otel.contract.settings import environment_of_child
from support.events import ANN, blocked, flagged, write
from support.terminal import on_terminal

FULL = Path("/dev/full")
NOW = float(int(time.time()))
COMMAND = [sys.executable, "-c", "from openai_safety_otel.operations.cli import main; main()"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One person who was blocked and one with a name of the product's own."""
    events = [blocked(ANN, NOW - 60, "identifier_blocked"), flagged("jörg-日本", NOW - 50, "hate", 0.9)]
    write(tmp_path / "events", events)
    set_here = {"FILE_DIR": tmp_path / "events", "STORE": tmp_path / "store.db"}
    return {
        **environment_of_child(("OPENAI_SAFETY_",)),
        **{f"OPENAI_SAFETY_{k}": str(v) for k, v in set_here.items()},
    }


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize(
    "words", [("report",), ("queue",), ("investigate", ANN), ("report", "--format", "csv")]
)
def test_an_encoding_that_lacks_a_sign_gets_another(
    environment: dict[str, str], encoding: str, words: tuple[str, ...]
) -> None:
    """No traceback: the command says the same as in UTF-8, signs in ASCII and other letters escaped."""
    done = subprocess.run(
        [*COMMAND, *words],
        env={**environment, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    said = done.stdout.decode(encoding)
    assert f"{ANN[:12]}" in said
    if words != ("investigate", ANN):
        assert r"\u65e5\u672c" in said
    if words in (("queue",), ("report",)):
        assert f"{ANN[:12]}{'…' if encoding == 'cp1252' else '...'}" in said


@pytest.mark.parametrize("words", [("queue",), ("queue", "--json"), ("report", "--format", "json")])
@pytest.mark.skipif(not FULL.exists(), reason="Linux")
def test_a_full_disk_is_one_line(environment: dict[str, str], words: tuple[str, ...]) -> None:
    """Nobody takes what was cut off for the whole."""
    with FULL.open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *words], env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Error: standard output: No space left on device"
    assert "Traceback" not in done.stderr


def test_no_date_is_cut_on_a_narrow_terminal(environment: dict[str, str]) -> None:
    """At 80 columns the day is there in one piece, and no word is cut."""
    shown = on_terminal([*COMMAND, "queue"], {**environment, "COLUMNS": "80", "TERM": "dumb"})
    assert time.strftime("%Y-%m-%d", time.gmtime(NOW - 60)) in shown
    names = "identifier provider enforced filter flagged score last seen decided"
    assert names in [" ".join(line.split()) for line in shown.splitlines()]
    assert shown.replace(f"{ANN[:12]}…", "").count("…") == 0
