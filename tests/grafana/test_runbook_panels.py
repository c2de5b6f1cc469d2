"""The runbook sends people to panels that are there, and shows pictures that are there."""

from __future__ import annotations

import re

from support.panels import BOARDS, ROOT, panels

TEXT = (ROOT / "grafana" / "runbook.md").read_text()
TITLES = {board["title"]: {panel["title"] for panel in panels(board)} for board in BOARDS.values()}
MOST = 2_000_000


def test_every_panel_that_is_named_is_there() -> None:
    """`*Panel* on *Dashboard*` names a panel of that dashboard."""
    named = re.findall(r"\*([^*\n]+)\*(?: and \*([^*\n]+)\*)? on \*([^*\n]+)\*", TEXT)
    assert len(named) > 10
    wrong = [
        (panel, board) for *found, board in named for panel in found if panel and panel not in TITLES[board]
    ]
    assert wrong == []


def test_every_picture_is_there_and_small() -> None:
    """Pages show pictures that exist; all of them together stay small."""
    pages = {ROOT / "grafana" / "runbook.md", ROOT / "grafana" / "README.md", ROOT / "README.md"}
    shown = {
        (page.parent / name).resolve()
        for page in pages
        for name in re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", page.read_text())
    }
    assert {path for path in shown if not path.exists()} == set()
    assert sum(path.stat().st_size for path in (ROOT / "grafana" / "pictures").glob("*.png")) < MOST
