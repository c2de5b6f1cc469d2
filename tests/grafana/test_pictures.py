"""Pictures of the dashboards with the data their panels got: for eyes, in an ignored folder."""

from __future__ import annotations

import pytest

from support.drawing import draw
from support.fed import VARIABLES, Fed
from support.panels import BOARDS, ROOT, Query, panels, run

pytestmark = pytest.mark.stack
FOLDER = ROOT / ".build" / "dashboards"


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_picture_of_each_dashboard_is_drawn(fed: Fed, name: str) -> None:
    """Every panel's answer has the form its kind of picture needs."""
    data = {}
    for panel in panels(BOARDS[name]):
        answers = []
        for target in panel.get("targets", ()):
            query = Query(name, panel["title"], target)
            store = fed.loki if query.kind == "loki" else fed.prometheus
            answers.append((target, run(query, store, fed.at, VARIABLES)))
        data[panel["title"]] = answers
    picture = FOLDER / f"{name}.png"
    draw(BOARDS[name], data, picture)
    assert picture.stat().st_size > 10_000
