"""What the real stores answer to each query of a dashboard, asked as Grafana's data sources ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dashboards.stores import Stores
from dashboards.week import WORST
from support.fed import VARIABLES
from support.interpolate import interpolate, windows
from support.panels import BOARDS, Query, panels
from support.scenario import hashed

CHOSEN = VARIABLES | {
    "identifier": hashed(WORST),
    "prometheus_datasource": "Safety metrics",
    "loki_datasource": "Safety events",
    "tempo_datasource": "Safety traces",
}
SCRAPE = 60  # seconds: the provisioned data source's interval
POINTS = 1000  # what a panel asks for that does not say how many
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Interval = Callable[[float, float, int, str], float]


@dataclass
class Answers:
    """By panel and target: the store's result, and the grid of its times."""

    start: float
    end: float
    found: dict[str, dict[str, Any]]

    def as_given(self) -> dict[str, Any]:
        """What the page draws from."""
        return {"answers": self.found, "values": CHOSEN, "from": self.start, "to": self.end}


def seconds(text: str) -> float:
    """A span such as `24h`."""
    return float(text[:-1]) * UNITS[text[-1]]


def _as_is(expr: str) -> str:
    return expr


def ask(
    stores: Stores, name: str, span: str, interval: Interval, change: Callable[[str], str] = _as_is
) -> Answers:
    """Every target of a dashboard, for the time up to now; ``change`` alters what Prometheus is asked."""
    end = float(int(stores.now))
    whole = Answers(end - seconds(span), end, {})
    for panel in panels(BOARDS[name]):
        start = end - seconds(panel.get("timeFrom") or span)
        step = interval(start, end, panel.get("maxDataPoints") or POINTS, panel.get("interval") or "15s")
        for target in panel.get("targets", ()):
            query = Query(name, panel["title"], target)
            whole.found[f"{panel['id']} {target['refId']}"] = _one(stores, query, change, start, end, step)
    return whole


def _one(
    stores: Stores, query: Query, change: Callable[[str], str], start: float, end: float, step: float
) -> dict[str, Any]:
    store = stores.loki if query.kind == "loki" else stores.prometheus
    rate = max(step + SCRAPE, 4 * SCRAPE)
    spans = windows(instant=query.instant, span=f"{end - start:.0f}s", step=f"{step:.0f}s")
    expr = interpolate(query.target["expr"], CHOSEN | spans | {"__rate_interval": f"{rate:.0f}s"})
    if query.kind == "prometheus":
        expr = change(expr)
    if query.instant:
        return {"store": query.kind, "result": store.instant(expr, end), "grid": []}
    # Both begin at the multiple of the step before the range; Loki also ends at the one after it.
    first, last = start // step * step, end // step * step
    if query.kind == "loki" and last < end:
        last += step
    grid = [first + n * step for n in range(round((last - first) / step) + 1)]
    return {"store": query.kind, "result": store.over(expr, first, min(last, end), step), "grid": grid}
