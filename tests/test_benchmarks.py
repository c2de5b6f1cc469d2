"""The benchmarks' page says what their JSON says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("benchmarks_readme", BENCHMARKS / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_results_say(readme: Any) -> None:
    """The committed page is exactly what the committed JSON renders to: nothing was edited by hand."""
    assert (BENCHMARKS / "README.md").read_text() == readme.render(readme.results())
