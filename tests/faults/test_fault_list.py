"""The fault list and the threat model name tests: each of them exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGES = {TESTS / "faults" / "README.md": TESTS / "faults", TESTS.parent / "docs" / "threat-model.md": TESTS}
NAMED = re.compile(r"`([\w./]+\.py)(?:::(test_\w+))?`")


@cache
def names_in(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(one.name for one in nodes if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_tests_exist(page: Path) -> None:
    """Every test that the page names is there, under that name."""
    named = [(PAGES[page] / found[1], found[2]) for found in NAMED.finditer(page.read_text())]
    named = [(path, test) for path, test in named if test or "/" in str(path.relative_to(PAGES[page]))]
    missing = [
        f"{path}::{test}" for path, test in named if not path.is_file() or test not in {None, *names_in(path)}
    ]
    assert ([], True) == (missing, len(named) > 20)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_has_a_test(page: Path) -> None:
    """No line of the tables goes without one."""
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ") and " | " in line]
    bare = [row for row in rows if not NAMED.search(row) and not row.startswith(("| fault |", "| threat |"))]
    assert [] == bare
