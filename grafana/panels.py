"""Panels with the defaults of this project: titled, described, with a unit, reading a chosen data source."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    loki,
    stat,
    text,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BarGaugeValueMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
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
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.text import TextMode

from grafana.colours import CALM, INK, NEUTRAL, PLAIN, Steps, by_kind, by_last_letter, by_name
from grafana.targets import LOKI, PROMETHEUS, Target

UNSEEN: Final = "not seen from here"
COUNT: Final = "locale"  # 1,200: `short` says 1 K of 800 and of 1,200 alike where there are no decimals
# About so many intervals in any range: bars that can be seen at 1 h, 24 h and 30 d.
POINTS: Final = 60
COURSE: Final = 48  # of the line behind a number
# The first point of a count over time counts what was before the range.
_IN_RANGE: Final = {
    "type": "include",
    "match": "all",
    "filters": [{"fieldName": "Time", "config": {"id": "greater", "options": {"value": "${__from}"}}}],
}
# The shortest interval of a picture: of events, and of metrics, which processes export once a minute.
EVENTS_EVERY, METRICS_EVERY = "1m", "5m"


def source(targets: tuple[Target, ...]) -> DataSourceRef:
    """The one data source of a panel: what is asked of Loki and of Prometheus is never mixed in one picture."""
    return LOKI if isinstance(targets[0], loki.Dataquery) else PROMETHEUS


def prepare(panel: Any, title: str, description: str, unit: str, targets: tuple[Target, ...]) -> Any:
    """Title, description, unit, data source and targets, numbered from A."""
    for at, target in enumerate(targets):
        panel.with_target(target.ref_id(chr(ord("A") + at)))
    return panel.title(title).description(description).datasource(source(targets)).unit(unit)


def paced(panel: Any, targets: tuple[Target, ...]) -> Any:
    """Ask for as many points as can be seen, and never for shorter intervals than there is anything new."""
    every = EVENTS_EVERY if source(targets) is LOKI else METRICS_EVERY
    return panel.interval(every).max_data_points(POINTS)


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Steps of colour, the lowest first."""
    built = [Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(built)


def link(title: str, url: str) -> dashboard.DashboardLink:
    """A link of a value or of a panel."""
    return dashboard.DashboardLink(title).url(url).type(DashboardLinkType.LINK)


def number(
    title: str,
    description: str,
    *targets: Target,
    unit: str = "short",
    steps: Steps = PLAIN,
    no_value: str = UNSEEN,
    link_to: tuple[str, str] | None = None,
    decimals: float | None = None,
    named: tuple[str, ...] = (),
    words: dict[str, tuple[str, str]] | None = None,
    compared: bool = True,
    filled: bool = True,
    calm_without: bool = False,
) -> Any:
    """One number, or a few that are compared: ``named`` says what each target's is.

    ``no_value`` is said where there is no data, because no data is not 0. ``words`` are said in the place of
    values, each in its colour. Of numbers that are ``compared`` only the first has a colour. Tiles are ``filled``
    where they can be a task; elsewhere the line behind a number would be white on white. ``calm_without`` is for what
    need not be there: without it nothing is to do.
    """
    calm = CALM if filled else INK
    panel = (
        prepare(stat.Panel(), title, description, unit, targets)
        .color_mode(BigValueColorMode.BACKGROUND_SOLID if filled else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(thresholds(steps if filled else ((None, calm),)))
        .no_value(no_value)
    )
    if decimals is not None:
        panel.decimals(decimals)
    if words:
        texts = {
            value: ValueMappingResult(text=said, color=colour) for value, (said, colour) in words.items()
        }
        panel.mappings([ValueMap(options=texts)])
    if calm_without:
        nothing = ValueMappingResult(text=no_value, color=CALM)
        panel.mappings([_special(SpecialValueMatch.NULL, nothing)])
    if named:
        panel.text_mode(BigValueTextMode.VALUE_AND_NAME)
    if named and compared:
        panel.text(common.VizTextDisplayOptions().title_size(13).value_size(30))
    for at, name in enumerate(named):
        shown = [DynamicConfigValue("displayName", name)]
        if at and compared:
            plain = {"mode": "absolute", "steps": [{"value": None, "color": calm}]}
            shown.append(DynamicConfigValue("thresholds", plain))
        panel.override_by_query(chr(ord("A") + at), shown)
    return _linked(panel, link_to)


def _special(match: SpecialValueMatch, result: ValueMappingResult) -> SpecialValueMap:
    return SpecialValueMap(options=DashboardSpecialValueMapOptions(match, result))


def trend(
    title: str,
    description: str,
    *targets: Target,
    named: tuple[str, ...],
    steps: Steps = PLAIN,
    no_value: str,
    link_to: tuple[str, str] | None = None,
) -> Any:
    """A count of the range with its course behind it, and what it was before: the first target is over time."""
    panel = number(
        title,
        description,
        *targets,
        named=named,
        steps=steps,
        no_value=no_value,
        link_to=link_to,
        decimals=0,
        filled=steps is not PLAIN,
    )
    summed = common.ReduceDataOptions().calcs(["sum"])
    return (
        panel.graph_mode(BigValueGraphMode.AREA)
        .reduce_options(summed)
        .min(0)
        .interval(EVENTS_EVERY)
        .max_data_points(COURSE)
        .with_transformation(DataTransformerConfig("filterByValue", options=_IN_RANGE))
    )


def graph(
    title: str,
    description: str,
    *targets: Target,
    unit: str = COUNT,
    bars: bool = False,
    kinds: bool = False,
    known: tuple[str, ...] = (),
    most: float | None = None,
    at_least: float | None = None,
    no_value: str = "none in this range",
    link_to: tuple[str, str] | None = None,
) -> Any:
    """Values over time: lines, or stacked bars for counts of rare events.

    ``kinds`` paints series that are named after a kind of call, ``known`` those of a closed set that means neither
    good nor bad; all others have a colour by their last letter. ``most`` is where the axis ends, ``at_least`` how far
    it reaches even if the values are smaller.
    """
    panel = (
        prepare(timeseries.Panel(), title, description, unit, targets)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .fill_opacity(90 if bars else 0)
        .line_width(0 if bars else 2)
        .draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
        .show_points(VisibilityMode.NEVER if bars else VisibilityMode.ALWAYS)
        .point_size(4)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.SHADES).fixed_color(NEUTRAL))
        .no_value(no_value)
    )
    if bars:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).bar_width_factor(0.9)
    if unit == COUNT:
        panel.decimals(0).axis_soft_max(4)
    if most is not None:
        panel.max(most)
    if at_least is not None:
        panel.axis_soft_max(at_least)
    if kinds:
        by_kind(panel)
    elif not known:
        by_last_letter(panel)
    by_name(panel, known)
    return _linked(paced(panel, targets), link_to)


def bars(
    title: str,
    description: str,
    *targets: Target,
    unit: str = "short",
    decimals: float | None = None,
    rows: bool = False,
    no_value: str = UNSEEN,
    link_to: tuple[str, str] | None = None,
) -> Any:
    """Named values side by side; a missing one says so. ``rows`` where the answer is a table, as Loki's is."""
    mapping = _special(SpecialValueMatch.NULL_AND_NAN, ValueMappingResult(text=UNSEEN))
    panel = (
        prepare(bargauge.Panel(), title, description, unit, targets)
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .value_mode(BarGaugeValueMode.TEXT)
        .text(common.VizTextDisplayOptions().title_size(12).value_size(14))
        .reduce_options(common.ReduceDataOptions().calcs(["last"]).values(rows))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(NEUTRAL))
        .mappings([mapping])
        .min(0)
        .no_value(no_value)
    )
    if decimals is not None:
        panel.decimals(decimals)
    return _linked(panel, link_to)


def density(title: str, description: str, target: Target) -> Any:
    """A heatmap of a histogram's buckets over time."""
    linear = common.ScaleDistributionConfig().type(ScaleDistribution.LINEAR)
    panel = (
        prepare(heatmap.Panel(), title, description, "short", (target,))
        .scale_distribution(linear)
        .show_tooltip()
        .calculate(False)
        .cell_gap(1)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(32))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.AUTO))
        .y_axis(heatmap.YAxisConfig().unit("none").scale_distribution(linear))
    )
    return paced(panel, (target,))


def note(title: str, description: str, markdown: str) -> Any:
    """Words on a dashboard."""
    return text.Panel().title(title).description(description).mode(TextMode.MARKDOWN).content(markdown)


def alert_list(title: str, description: str) -> Any:
    """What fires now, of the rules shipped here; each row leads to its rule and from there to the runbook."""
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


def _linked(panel: Any, link_to: tuple[str, str] | None) -> Any:
    # From a value, and from the panel's own corner where nothing has a value yet.
    if link_to:
        panel.data_links([link(*link_to)])
        panel.links([link(*link_to).target_blank(True)])
    return panel
