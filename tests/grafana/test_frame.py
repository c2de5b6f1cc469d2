"""Rows of panels: what is built wrong does not build."""

from __future__ import annotations

import json
import sys

import pytest

if sys.version_info < (3, 11):
    pytest.skip("grafana-foundation-sdk needs Python 3.11 or newer", allow_module_level=True)

from grafana import frame
from grafana import panels as p
from grafana.build import board_json

ROWS = frame.row(1, "Who?", 4, frame.panel(2, p.note("A", "A.", "a"), width=8))


def _board(*rows: frame.Row) -> str:
    return board_json(frame.board("x", "X", "X.", [], rows, "now-1h").build())


def test_a_row_wider_than_the_page_is_refused() -> None:
    """24 columns are all there are."""
    with pytest.raises(ValueError, match="Who\\?: 25 of 24 columns"):
        frame.row(1, "Who?", 4, *(frame.panel(n, p.note("A", "A.", "a"), width=5) for n in range(5)))


def test_an_id_is_used_once() -> None:
    """Two panels of one id would be one panel to every link."""
    with pytest.raises(ValueError, match=r"X: ids used twice: \[2\]"):
        _board(ROWS, frame.row(3, "Again?", 4, frame.panel(2, p.note("B", "B.", "b"), width=8)))


def test_a_runbook_link_needs_its_alert() -> None:
    """A link into the runbook is made from an alert's name."""
    assert frame.runbook("CoverageLow")[1].endswith("/runbook.md#coveragelow")
    with pytest.raises(KeyError, match="CoverageHigh"):
        frame.runbook("CoverageHigh")


def test_a_new_panel_changes_no_other() -> None:
    """A panel put before another leaves the other's id as it was."""
    before = json.loads(_board(ROWS))["panels"]
    first = frame.row(4, "New?", 4, frame.panel(5, p.note("B", "B.", "b"), width=8))
    after = json.loads(_board(first, ROWS))["panels"]
    assert [one["id"] for one in before] == [1, 2]
    assert [one["id"] for one in after] == [4, 5, 1, 2]
