"""Tables: short identifiers that lead on, values always in view, the line one click away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from grafana.colours import NAMED
from grafana.panels import prepare, source
from grafana.targets import LOKI, Target

VALUE: Final = "Value"
# The form that people read and every command takes: the first 12 characters.
SHORT: Final = (r"^(\S{12})\S{4,}$", "$1…")
ID_WIDTH: Final = 136
MIN_WIDTH: Final = 60  # of columns that share what is left


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name on screen, its unit, and where a click on it leads.

    ``short`` shows the first 12 characters; the whole value is in links, in the cell's own view and when copied.
    ``words`` says values of ours in words, ``missing`` what a cell without a value says.
    ``hidden`` is there for links only.
    """

    title: str
    unit: str = ""
    links: tuple[tuple[str, str], ...] = ()
    width: int = 0
    short: bool = False
    words: bool = False
    decimals: int | None = None
    missing: str = "-"
    hidden: bool = False


def _named(columns: Mapping[str, Column], target: str) -> dict[str, Column]:
    """Columns by every name a store may give them: Prometheus says `Value`, Loki `Value #A`."""
    found: dict[str, Column] = {}
    for name, column in columns.items():
        found[name] = column
        if name == VALUE:
            found[f"{VALUE} #{target}"] = column
    return found


def listing(
    title: str,
    description: str,
    *targets: Target,
    columns: Mapping[str, Column],
    no_value: str = "none in this range",
) -> Any:
    """A table of labels and values, worst first; columns in the order given, others left out.

    With several targets their values are `Value #A`, `Value #B` and stand in one row by their labels.
    """
    panel = prepare(table.Panel(), title, description, "none", targets).no_value(no_value)
    if source(targets) is LOKI:
        panel.with_transformation(DataTransformerConfig("labelsToFields", options={"mode": "columns"}))
    panel.with_transformation(DataTransformerConfig("merge", options={}))
    _columns(panel, _named(columns, "A"))
    order = next((column.title for name, column in columns.items() if name.startswith(VALUE)), None)
    if order:
        by = {"sort": [{"field": order, "desc": True}]}
        panel.with_transformation(DataTransformerConfig("sortBy", options=by))
    return panel


def log_table(
    title: str, description: str, target: Target, columns: Mapping[str, Column], *, no_value: str
) -> Any:
    """A table of log lines with chosen fields, newest first."""
    panel = prepare(table.Panel(), title, description, "none", (target,)).no_value(no_value)
    panel.with_transformation(DataTransformerConfig("extractFields", options={"source": "labels"}))
    _columns(panel, columns)
    return panel


def _columns(panel: Any, named: Mapping[str, Column]) -> None:
    panel.show_header(True)
    options = {
        "includeByName": dict.fromkeys(named, True),
        "indexByName": {name: at for at, name in enumerate(named)},
        "renameByName": {name: column.title for name, column in named.items()},
    }
    panel.with_transformation(DataTransformerConfig("organize", options=options))
    for column in dict.fromkeys(named.values()):
        if properties := _properties(column):
            panel.override_by_name(column.title, properties)


def _properties(column: Column) -> list[DynamicConfigValue]:
    mappings: list[dict[str, Any]] = []
    if column.short:
        pattern, shown = SHORT
        mappings.append({"type": "regex", "options": {"pattern": pattern, "result": {"text": shown}}})
    if column.words:
        said = {key: {"text": words, "index": at} for at, (key, (words, _)) in enumerate(NAMED.items())}
        mappings.append({"type": "value", "options": said})
    width = column.width or (ID_WIDTH if column.short else None)
    found = {
        "unit": column.unit or None,
        "decimals": column.decimals,
        "custom.width": width,
        "custom.minWidth": None if width else MIN_WIDTH,
        "custom.inspect": column.short or None,
        "mappings": mappings or None,
        "noValue": column.missing,
        "custom.hideFrom.viz": column.hidden or None,
        "custom.hidden": column.hidden or None,  # its name before Grafana 12.1
        "links": [{"title": name, "url": url} for name, url in column.links] or None,
    }
    return [DynamicConfigValue(name, value) for name, value in found.items() if value is not None]
