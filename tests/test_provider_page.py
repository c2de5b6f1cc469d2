"""docs/provider.md: its test passes as printed, and it names every scenario."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.testing.scenarios import SCENARIOS

PAGE = (Path(__file__).parents[1] / "docs" / "provider.md").read_text(encoding="utf-8")


def test_its_test_passes_as_printed(tmp_path: Path) -> None:
    """An app's test of a blocked end user runs on nothing but the fixture."""
    found = re.search(r"<!-- test -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / "test_app.py").write_text(found[1])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env=environment_of_child(("OPENAI_",)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_every_scenario_is_named() -> None:
    """What the provider can play is what the page lists, in its order."""
    listed = PAGE.partition("## What it can play")[2]
    names = [name for name in re.findall(r"`([a-z0-9-]+)`", listed) if name in SCENARIOS]
    assert list(SCENARIOS) == names
