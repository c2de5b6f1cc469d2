"""The committed dashboards as data: panels, targets, and their queries against real stores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.interpolate import interpolate, windows
from support.stores import Store

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "grafana" / "dashboards"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
SPAN, STEP = 3600, 60


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, rows' own included."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())


@dataclass(frozen=True)
class Query:
    """One target of one panel."""

    board: str
    panel: str
    target: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Of its data source."""
        return str(self.target["datasource"]["type"])

    @property
    def instant(self) -> bool:
        """One moment, or over time."""
        return bool(self.target.get("instant")) or self.target.get("queryType") == "instant"

    def __str__(self) -> str:
        return f"{self.board}: {self.panel} {self.target['refId']}"


def queries() -> list[Query]:
    """Every target of every panel of every dashboard, and every annotation's query."""
    marks = [
        Query(name, mark["name"], {"refId": "annotation", **mark})
        for name, board in BOARDS.items()
        for mark in board["annotations"]["list"]
    ]
    return marks + [
        Query(name, panel["title"], target)
        for name, board in BOARDS.items()
        for panel in panels(board)
        for target in panel.get("targets", ())
    ]


def run(query: Query, store: Store, at: float, variables: Mapping[str, str]) -> list[dict[str, Any]]:
    """A query's series or lines, as Grafana would ask for the hour before ``at``."""
    values = {**variables, **windows(instant=query.instant, span=f"{SPAN}s", step=f"{STEP}s")}
    expr = interpolate(query.target["expr"], values)
    if query.instant:
        return store.instant(expr, at)
    return store.over(expr, at - SPAN, at, STEP)
