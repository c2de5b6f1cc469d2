"""Data sources, and a query of each as a panel's target."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

from grafana_foundation_sdk.builders import loki, prometheus
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
LOKI: Final = DataSourceRef(type_val="loki", uid="${loki_datasource}")

Target = prometheus.Dataquery | loki.Dataquery


def metric(
    expr: str, legend: str = "", *, instant: bool = False, as_table: bool = False, as_heatmap: bool = False
) -> Target:
    """A query for Prometheus."""
    target = prometheus.Dataquery().datasource(PROMETHEUS).expr(expr)
    if legend:
        target.legend_format(legend)
    if as_table:
        target.format(PromQueryFormat.TABLE)
    if as_heatmap:
        target.format(PromQueryFormat.HEATMAP)
    return target.instant() if instant or as_table else target.range()


def events(expr: str, legend: str = "", *, instant: bool = False, max_lines: int | None = None) -> Target:
    """A query for Loki: numbers over time, one number (``instant``), or lines."""
    target = loki.Dataquery().datasource(LOKI).expr(expr).query_type("instant" if instant else "range")
    if legend:
        target.legend_format(legend)
    if max_lines:
        target.max_lines(max_lines)
    return target


def explore(datasource: str, query: dict[str, str]) -> str:
    """A link into Explore; ``${…}`` stays open for Grafana to fill in."""
    pane = {
        "datasource": datasource,
        "queries": [{"refId": "A", **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    panes = quote(json.dumps({"safety": pane}, separators=(",", ":")), safe="${}:._|=")
    return f"/explore?schemaVersion=1&panes={panes}"
