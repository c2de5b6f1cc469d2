"""Panels with the defaults of this project: titled, described, with a unit, reading a chosen data source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    logs,
    loki,
    stat,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    ScaleDistribution,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DashboardSpecialValueMapOptions,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.text import TextMode

from grafana.targets import LOKI, PROMETHEUS, Target

UNSEEN: Final = "not seen from here"
GREEN, ORANGE, RED, GREY = "green", "orange", "red", "text"
Steps = tuple[tuple[float | None, str], ...]
PLAIN: Final[Steps] = ((None, GREY),)
BAD_FROM_ONE: Final[Steps] = ((None, GREEN), (1, RED))


def _source(targets: tuple[Target, ...]) -> DataSourceRef:
    # One data source a panel: what is asked of Loki and of Prometheus is never mixed in one picture.
    return LOKI if isinstance(targets[0], loki.Dataquery) else PROMETHEUS


def _prepare(panel: Any, title: str, description: str, unit: str, targets: tuple[Target, ...]) -> Any:
    for at, target in enumerate(targets):
        panel.with_target(target.ref_id(chr(ord("A") + at)))
    return panel.title(title).description(description).datasource(_source(targets)).unit(unit)


def _steps(steps: Steps) -> dashboard.ThresholdsConfig:
    built = [Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(built)


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).url(url).type(DashboardLinkType.LINK)


def number(
    title: str,
    description: str,
    *targets: Target,
    unit: str = "short",
    steps: Steps = PLAIN,
    no_value: str = UNSEEN,
    link: tuple[str, str] | None = None,
    decimals: float | None = None,
) -> Any:
    """One number; ``no_value`` is said where there is no data, because no data is not 0."""
    panel = (
        _prepare(stat.Panel(), title, description, unit, targets)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps(steps))
        .no_value(no_value)
    )
    if decimals is not None:
        panel.decimals(decimals)
    if link:
        panel.data_links([_link(*link)])
    return panel


def graph(
    title: str,
    description: str,
    *targets: Target,
    unit: str = "short",
    bars: bool = False,
    most: float | None = None,
    link: tuple[str, str] | None = None,
) -> Any:
    """Values over time: lines, or stacked bars for counts of rare events."""
    panel = (
        _prepare(timeseries.Panel(), title, description, unit, targets)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .fill_opacity(80 if bars else 10)
        .line_width(0 if bars else 2)
        .draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
    )
    if bars:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if most is not None:
        panel.max(most)
    if link:
        panel.data_links([_link(*link)])
    return panel


def bars(title: str, description: str, *targets: Target, unit: str = "short", no_value: str = UNSEEN) -> Any:
    """Named values side by side; a missing one says so."""
    mapping = SpecialValueMap(
        DashboardSpecialValueMapOptions(SpecialValueMatch.NULL_AND_NAN, ValueMappingResult(text=UNSEEN))
    )
    return (
        _prepare(bargauge.Panel(), title, description, unit, targets)
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["last"]))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.CONTINUOUS_BLUES))
        .mappings([mapping])
        .min(0)
        .no_value(no_value)
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name on screen, its unit, and where a click on it leads."""

    title: str
    unit: str = ""
    links: tuple[tuple[str, str], ...] = ()
    width: int = 0


VALUE: Final = "Value"
_SAME: Final = {
    VALUE: (VALUE, "Value #A")
}  # Prometheus calls the column by the first name, Loki by the second


def listing(
    title: str,
    description: str,
    target: Target,
    columns: Mapping[str, Column],
    *,
    unit: str = "none",
    no_value: str = "none",
) -> Any:
    """A table of labels and one value, worst first; columns in the order given, others left out."""
    panel = _prepare(table.Panel(), title, description, unit, (target,)).no_value(no_value)
    if _source((target,)) is LOKI:
        panel.with_transformation(DataTransformerConfig("labelsToFields", options={"mode": "columns"}))
    panel.with_transformation(DataTransformerConfig("merge", options={}))
    _columns(panel, columns)
    if VALUE in columns:
        order = {"sort": [{"field": columns[VALUE].title, "desc": True}]}
        panel.with_transformation(DataTransformerConfig("sortBy", options=order))
    return panel


def log_table(
    title: str, description: str, target: Target, columns: Mapping[str, Column], *, no_value: str = "none"
) -> Any:
    """A table of log lines with chosen fields, newest first."""
    panel = _prepare(table.Panel(), title, description, "none", (target,)).no_value(no_value)
    panel.with_transformation(DataTransformerConfig("extractFields", options={"source": "labels"}))
    _columns(panel, columns)
    return panel


def _columns(panel: Any, columns: Mapping[str, Column]) -> None:
    panel.show_header(True)
    named = {name: column for key, column in columns.items() for name in _SAME.get(key, (key,))}
    options = {
        "includeByName": dict.fromkeys(named, True),
        "indexByName": {name: at for at, name in enumerate(named)},
        "renameByName": {name: column.title for name, column in named.items()},
    }
    panel.with_transformation(DataTransformerConfig("organize", options=options))
    for column in columns.values():
        properties = []
        if column.unit:
            properties.append(DynamicConfigValue("unit", column.unit))
        if column.width:
            properties.append(DynamicConfigValue("custom.width", column.width))
        if column.links:
            links = [{"title": name, "url": url} for name, url in column.links]
            properties.append(DynamicConfigValue("links", links))
        if properties:
            panel.override_by_name(column.title, properties)


def lines(title: str, description: str, target: Target) -> Any:
    """Log lines; open one for its fields and the link to its trace."""
    return (
        _prepare(logs.Panel(), title, description, "none", (target,))
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(LogsSortOrder.DESCENDING)
    )


def density(title: str, description: str, target: Target) -> Any:
    """A heatmap of a histogram's buckets over time."""
    linear = common.ScaleDistributionConfig().type(ScaleDistribution.LINEAR)
    return (
        _prepare(heatmap.Panel(), title, description, "short", (target,))
        .scale_distribution(linear)
        .show_tooltip()
        .calculate(False)
        .cell_gap(1)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(32))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.AUTO))
        .y_axis(heatmap.YAxisConfig().unit("none").scale_distribution(linear))
    )


def note(title: str, description: str, markdown: str) -> Any:
    """Words on a dashboard."""
    return text.Panel().title(title).description(description).mode(TextMode.MARKDOWN).content(markdown)


def alert_list(title: str, description: str) -> Any:
    """What fires now, of the rules shipped here."""
    options = {
        "alertInstanceLabelFilter": '{notify=~"page|ticket"}',
        "alertName": "",
        "dashboardAlerts": False,
        "groupBy": [],
        "groupMode": "default",
        "maxItems": 30,
        "sortOrder": 3,
        "stateFilter": {"error": True, "firing": True, "noData": False, "normal": False, "pending": True},
        "viewMode": "list",
    }
    return dashboard.Panel().type("alertlist").title(title).description(description).options(options)
