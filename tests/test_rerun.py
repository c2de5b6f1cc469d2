"""What CI does with a test that fails: once more, never silently, never more than three."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RERUN = Path(__file__).parent / "support" / "rerun.py"
ACCIDENT = """
import pathlib
def test_accident():
    seen = pathlib.Path(__file__).with_name("seen")
    before = seen.exists()
    seen.write_text("")
    assert before
"""
SECOND = "\ndef test_fine(): ...\n"
LASTING = "\ndef test_lasting_{}(): assert False\n"
NAMED = "test_it.py::test_accident\n"


OF_ITS_PROCESS = """
import os, pytest
@pytest.mark.parametrize("name", [os.getpid()])
def test_named_by_process(name): ...
"""


@pytest.mark.parametrize(
    ("content", "reruns", "expected"),
    [
        (ACCIDENT + SECOND, True, (0, NAMED)),
        (ACCIDENT + SECOND, False, (1, "")),
        (SECOND, True, (0, "")),
        (ACCIDENT + LASTING.format(1), True, (1, "")),
        (ACCIDENT + "".join(map(LASTING.format, range(3))), True, (1, "")),
    ],
    ids=[
        "an accident",
        "an accident of a developer's",
        "nothing failed",
        "a true failure beside",
        "four failed",
    ],
)
def test_failed_tests_run_once_more_in_ci_only(
    tmp_path: Path, content: str, reruns: bool, expected: tuple[int, str]
) -> None:
    """A test that passes the second time is named; a lasting failure, or more than three, fail the run."""
    assert expected == _run(tmp_path, content, reruns=reruns)


def test_processes_that_see_other_tests_are_no_failed_test(tmp_path: Path) -> None:
    """Where a name depends on the time or the process, nothing is run again: the run has failed."""
    assert (1, "") == _run(tmp_path, OF_ITS_PROCESS, "-n", "2", reruns=True)


def _run(tmp_path: Path, content: str, *more: str, reruns: bool) -> tuple[int, str]:
    """The exit code, and what is said to have passed the second time."""
    (tmp_path / "test_it.py").write_text(content)
    report = tmp_path / "report"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RERUN_"))
    }
    environment |= {"RERUN_FAILED": str(report)} if reruns else {}
    command = [sys.executable, str(RERUN), "-q", *more, "test_it.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=False, capture_output=True, timeout=120
    )
    return done.returncode, report.read_text() if report.exists() else ""
