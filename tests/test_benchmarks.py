"""The benchmarks' page says what their JSON says."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("benchmarks_readme", BENCHMARKS / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def _moved(value: Any) -> Any:
    """The same results with every number changed."""
    if isinstance(value, dict):
        return {name: _moved(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_moved(one) for one in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return value * 7 + 1_234_567


def test_page_is_what_the_results_say(readme: Any) -> None:
    """The committed page is exactly what the committed JSON renders to: nothing was edited by hand."""
    assert (BENCHMARKS / "README.md").read_text() == readme.render(readme.results())


def test_every_measured_number_follows_the_results(readme: Any) -> None:
    """With other results no measured number of the page stays: none is written into the template."""
    found = readme.results()
    moved = {name: _moved(copy.deepcopy(one)) for name, one in found.items()}
    texts = set(_NUMBER.findall(json.dumps(found["machine"]))) | {
        str(target) for target in readme.TARGETS.values()
    }
    texts |= {f"{readme.MILLION:,}", "99"}  # the length that is extrapolated to, the percentile's name
    before, after = (_NUMBER.findall(_prose(readme.render(one))) for one in (found, moved))
    assert len(before) == len(after)
    same = {old for old, new in zip(before, after, strict=True) if old == new}
    assert same <= texts


def _prose(page: str) -> str:
    """Without the names of files, tests and functions, which may hold digits."""
    return re.sub(r"`[^`\n]*`", "", page)
