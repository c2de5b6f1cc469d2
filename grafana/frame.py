"""What all dashboards share: variables, links, annotations, the grid, and the rule that nobody edits them by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana import log_queries, pipeline_queries
from grafana.colours import NEUTRAL, NOW, TODAY
from grafana.names import ENVIRONMENT, SERVICE, STREAM
from grafana.rules import ALERTS, RUNBOOK, anchor
from grafana.scope import DASHBOARD
from grafana.targets import LOKI, PROMETHEUS
from openai_safety_otel.contract import conventions as c

OVERVIEW, IDENTIFIER, MODERATION, PIPELINE = (
    f"openai-safety-{name}" for name in ("overview", "identifier", "moderation", "pipeline")
)
TAG: Final = "openai-safety"
WIDTH: Final = 24
_ALL = VariableOption(selected=True, text=["All"], value=["$__all"])


@dataclass(frozen=True, slots=True)
class Placed:
    """A panel with the id that links to it name, and its width."""

    id: int
    panel: Any
    width: int


@dataclass(frozen=True, slots=True)
class Row:
    """One question: its panels stand side by side."""

    id: int
    title: str
    height: int
    panels: tuple[Placed, ...]


def panel(number: int, built: Any, *, width: int) -> Placed:
    """A panel in a row; its id never changes and is never used again."""
    return Placed(number, built, width)


def row(number: int, title: str, height: int, *panels: Placed) -> Row:
    """A row of panels.

    Raises:
        ValueError: they are wider than the page.
    """
    if (wide := sum(one.width for one in panels)) > WIDTH:
        raise ValueError(f"{title}: {wide} of {WIDTH} columns")
    return Row(number, title, height, panels)


def drill_down(uid: str, **variables: str) -> str:
    """A link to another dashboard that keeps time, service and environment."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return f"/d/{uid}?${{__url_time_range}}&${{service:queryparam}}&${{environment:queryparam}}{chosen}"


TO_IDENTIFIER: Final = ("Open this identifier", drill_down(IDENTIFIER, identifier="${__value.raw}"))


# A notice is a person's, or everybody's: the row says which page shows more.
PAGE_FIELD: Final = "Page"
TO_WHOSE: Final = (
    "Open their page",
    drill_down(f"${{__data.fields.{PAGE_FIELD}}}", identifier="${__value.raw}"),
)


def runbook(alert: str) -> tuple[str, str]:
    """A link to an alert's section of the runbook.

    Raises:
        KeyError: there is no such alert.
    """
    return "Runbook", f"{RUNBOOK}#{anchor(ALERTS[alert])}"


def source(kind: str) -> dashboard.DatasourceVariable:
    """A data source the reader can choose."""
    name = f"{kind}_datasource"
    about = f"Which {kind.title()} the panels read"
    return (
        dashboard.DatasourceVariable(name).label(f"{kind.title()} data source").type(kind).description(about)
    )


def _query(name: str, label: str, query: str, where: DataSourceRef, all_value: str) -> Any:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(f"{label} of the processes shown")
        .datasource(where)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .current(_ALL)
    )


def process_variables() -> list[Any]:
    """Job, instance, service and environment, from Prometheus; each narrows the next."""
    ours = '__name__=~"openai_safety_.+|otelcol_process_uptime.+"'
    chain = 'job=~"$job", instance=~"$instance"'
    return [
        _query("job", "Job", f"label_values({{{ours}}}, job)", PROMETHEUS, ".+"),
        _query("instance", "Instance", f'label_values({{{ours}, job=~"$job"}}, instance)', PROMETHEUS, ".+"),
        _query("service", "Service", f"label_values({{{ours}, {chain}}}, {SERVICE})", PROMETHEUS, ".+"),
        # Not every service says its environment: the choice of all must match those too.
        _query(
            "environment",
            "Environment",
            f'label_values({{{ours}, {chain}, {SERVICE}=~"$service"}}, {ENVIRONMENT})',
            PROMETHEUS,
            ".*",
        ),
    ]


def event_variables() -> list[Any]:
    """Service and environment, from Loki, for dashboards that read events only."""
    streams = f'{STREAM}=~".+"'
    return [
        _query("service", "Service", f"label_values({{{streams}}}, {SERVICE})", LOKI, ".+"),
        _query(
            "environment",
            "Environment",
            f'label_values({{{streams}, {SERVICE}=~"$service"}}, {ENVIRONMENT})',
            LOKI,
            ".*",
        ),
    ]


def choice(name: str, label: str, values: tuple[str, ...], about: str, chosen: str = "") -> Any:
    """A fixed list to choose from; all of it unless ``chosen`` names one."""
    current = VariableOption(selected=True, text=[chosen], value=[chosen]) if chosen else _ALL
    return (
        dashboard.CustomVariable(name)
        .label(label)
        .description(about)
        .values(",".join(values))
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(current)
    )


def traffic() -> Any:
    """Production unless the reader asks for tests and drills."""
    return choice(
        "traffic",
        "Traffic",
        c.ATTRIBUTES[c.TRAFFIC].values,
        "Production, red-team tests or drills",
        "production",
    )


def board(
    uid: str, title: str, description: str, variables: list[Any], rows: tuple[Row, ...], since: str
) -> Any:
    """A dashboard of rows.

    Raises:
        ValueError: two panels have one id.
    """
    numbers = Counter(number for one in rows for number in (one.id, *(placed.id for placed in one.panels)))
    if twice := [number for number, times in numbers.items() if times > 1]:
        raise ValueError(f"{title}: ids used twice: {twice}")
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .refresh("1m")
        .time(since, "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables(variables)
        .links(_links(uid))
        .annotations(_annotations(with_metrics=uid != IDENTIFIER))
    )
    for one in rows:
        made.with_row(dashboard.Row(one.title).id(one.id))
        for placed in one.panels:
            made.with_panel(placed.panel.id(placed.id).span(placed.width).height(one.height))
    return made


def _annotations(*, with_metrics: bool) -> list[Any]:
    """What happened beside the numbers: notices, decisions, and releases of ours."""
    found = [
        ("Notices", LOKI, log_queries.notices(DASHBOARD), NOW),
        ("Decisions", LOKI, log_queries.decisions(DASHBOARD), TODAY),
    ]
    if with_metrics:
        found.append(("Releases", PROMETHEUS, pipeline_queries.released(DASHBOARD), NEUTRAL))
    return [
        dashboard.AnnotationQuery().name(name).datasource(where).enable(True).icon_color(colour).expr(query)
        for name, where, query, colour in found
    ]


def _links(uid: str) -> list[Any]:
    links = [
        dashboard.DashboardLink("Safety dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True),
        dashboard.DashboardLink("Runbook").type(DashboardLinkType.LINK).url(RUNBOOK).target_blank(True),
    ]
    if uid != OVERVIEW:
        back = dashboard.DashboardLink("Safety overview").type(DashboardLinkType.LINK)
        links.insert(0, back.url(f"/d/{OVERVIEW}").keep_time(True).include_vars(True))
    return links
