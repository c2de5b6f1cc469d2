"""The rules by Prometheus' own tool: valid, firing, silent, and firing from no series at all."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stack.programs import binary
from support.panels import ROOT

pytestmark = pytest.mark.stack

ALERTS = ROOT / "grafana" / "alerts"
RULES = ALERTS / "openai-safety.rules.yaml"
TESTS = sorted((ALERTS / "tests").glob("*.yaml"))


def _promtool(*arguments: str | Path, cwd: Path = ALERTS) -> subprocess.CompletedProcess[str]:
    command = [str(binary("promtool")), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)


def test_rules_are_valid() -> None:
    """Prometheus accepts the file, and finds no rule twice."""
    done = _promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent(path: Path) -> None:
    """All cases of the committed test files hold."""
    done = _promtool("test", "rules", path.name, cwd=path.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cases_notice_a_lost_first_occurrence(tmp_path: Path) -> None:
    """Without the arm for series that appear at 1, the cases that begin with no series fail."""
    text = RULES.read_text()
    lamed = re.sub(r"\n +or \(\S.* unless .* offset 10m\)", "", text)
    assert lamed.count("increase(") == text.count("increase(")
    assert "offset 10m" in text
    assert "offset 10m" not in lamed
    (tmp_path / RULES.name).write_text(lamed)
    (tmp_path / "tests").mkdir()
    shutil.copy(ALERTS / "tests" / "pages.yaml", tmp_path / "tests")
    done = _promtool("test", "rules", "pages.yaml", cwd=tmp_path / "tests")
    failed = set(re.findall(r"name: (.*?),?\n", done.stdout + done.stderr))
    assert "identifier blocked: fires from no series on the very first event, then falls silent" in failed
    assert "identifier blocked: fires when a series that was 0 grows" not in failed
