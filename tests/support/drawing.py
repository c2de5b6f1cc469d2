"""Draws a dashboard with the data its panels got, so that a person can look at it without Grafana."""

from __future__ import annotations

import math
import re
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Panel = dict[str, Any]
Result = list[dict[str, Any]]  # series, or streams of lines, of one target
Data = list[tuple[dict[str, Any], Result]]

_CELL = (0.62, 0.34)  # inches of one cell of Grafana's grid
_ROWS = 7
_INK, _PAPER, _EDGE = "#d8d9da", "#181b1f", "#34373d"


def draw(board: dict[str, Any], data: dict[str, Data], path: Path) -> None:
    """One picture of a whole dashboard; ``data`` is by panel title."""
    height = max(p["gridPos"].get("y", 0) + p["gridPos"]["h"] for p in board["panels"])
    size = (24 * _CELL[0], height * _CELL[1])
    figure = plt.figure(figsize=size, facecolor="#111217")
    for panel in board["panels"]:
        at = panel["gridPos"]
        x, y, w, h = at.get("x", 0), at.get("y", 0), at["w"], at["h"]
        if panel["type"] == "row":
            figure.text(0.005, 1 - (y + 0.7) / height, panel["title"], color=_INK, size=11, weight="bold")
            continue
        place = (
            (x + 0.15) / 24,
            1 - (y + h - 0.15) / height,
            (w - 0.3) / 24,
            (h - 0.3) / height,
        )
        frame = figure.add_axes(place, facecolor=_PAPER)
        frame.set_xticks([])
        frame.set_yticks([])
        for side in frame.spines.values():
            side.set_color(_EDGE)
        frame.text(
            0.01, 1 - 0.25 / h, panel["title"], transform=frame.transAxes, color=_INK, size=8, va="top"
        )
        inner = frame.inset_axes((0.07, 0.9 / h, 0.9, 1 - 2.4 / h), facecolor=_PAPER)
        _KINDS.get(panel["type"], _nothing)(inner, panel, data.get(panel["title"], []))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, facecolor=figure.get_facecolor())
    plt.close(figure)


def _bare(axes: Axes) -> None:
    axes.axis("off")


def _nothing(axes: Axes, panel: Panel, data: Data) -> None:
    _bare(axes)
    axes.text(0, 0.5, f"({panel['type']})", color="#8e8e8e", size=8)


def _unit(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value * 100:.2f} %"
    if unit == "dateTimeFromNow":
        return f"{(time.time() - value / 1000) / 60:.0f} min ago"
    if unit == "dtdurations":
        return f"{value / 3600:.1f} h"
    return f"{value:.3g}" if value != int(value) else f"{value:.0f}"


def _name(target: dict[str, Any], labels: dict[str, str]) -> str:
    legend = target.get("legendFormat") or "{{" + "}} {{".join(sorted(labels)) + "}}"
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found.group(1), ""), legend).strip() or "value"


def _stat(axes: Axes, panel: Panel, data: Data) -> None:
    _bare(axes)
    defaults = panel["fieldConfig"]["defaults"]
    words = [_unit(float(one["value"][1]), defaults["unit"]) for _, result in data for one in result]
    axes.text(
        0.5, 0.5, "\n".join(words) or defaults["noValue"], color="#73bf69", size=15, ha="center", va="center"
    )


def _graph(axes: Axes, panel: Panel, data: Data) -> None:
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    stacked: dict[float, float] = {}
    for target, result in data:
        for one in result:
            points = [(float(t), float(v)) for t, v in one["values"]]
            times, values = [(t - time.time()) / 60 for t, _ in points], [v for _, v in points]
            name = _name(target, one["metric"])
            if custom.get("drawStyle") == "bars":
                below = [stacked.get(t, 0.0) for t, _ in points]
                axes.bar(times, values, width=0.9, bottom=below, label=name)
                for (t, v), base in zip(points, below, strict=True):
                    stacked[t] = base + v
            else:
                axes.plot(times, values, label=name, linewidth=1.2, marker=".", markersize=2)
    axes.set_xlim(-60, 0)
    axes.tick_params(colors="#8e8e8e", labelsize=6)
    axes.text(
        1,
        1.02,
        panel["fieldConfig"]["defaults"]["unit"],
        transform=axes.transAxes,
        color="#8e8e8e",
        size=6,
        ha="right",
    )
    for side in axes.spines.values():
        side.set_color(_EDGE)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            fontsize=5.5, loc="upper left", ncols=2, facecolor=_PAPER, labelcolor=_INK, edgecolor=_EDGE
        )


def _bars(axes: Axes, panel: Panel, data: Data) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    found = [(_name(t, one["metric"]), float(one["value"][1])) for t, result in data for one in result]
    places = list(range(len(found)))
    axes.barh(places, [0 if math.isnan(value) else value for _, value in found], color="#5794f2")
    for at, (_, value) in enumerate(found):
        said = "not seen from here" if math.isnan(value) else _unit(value, unit)
        axes.text(0, at, f" {said}", color=_INK, size=6, va="center")
    axes.set_yticks(places, [name for name, _ in found], size=5, color=_INK)
    axes.set_xticks([])


def _renamed(panel: Panel) -> dict[str, str]:
    for one in panel.get("transformations", []):
        if one["id"] == "organize":
            shown: dict[str, str] = one["options"]["renameByName"]
            return {name: title for title, name in {title: name for name, title in shown.items()}.items()}
    return {}


def _cell(labels: dict[str, str], value: str, name: str) -> str:
    if name.startswith("Value"):
        return f"{float(value):.4g}"
    text = labels.get(name, "")
    return text[:10] + "…" if len(text) > 24 else text


def _table(axes: Axes, panel: Panel, data: Data) -> None:
    _bare(axes)
    columns = _renamed(panel)
    rows: list[list[str]] = []
    for _, result in data:
        for one in result:
            if "value" in one:
                rows.append([_cell(one["metric"], one["value"][1], name) for name in columns])
            elif "stream" in one:
                for stamp, _line in one["values"]:
                    clock = time.strftime("%H:%M:%S", time.gmtime(int(stamp) / 1e9))
                    rows.append(
                        [clock if name == "Time" else _cell(one["stream"], "0", name) for name in columns]
                    )
    rows = rows[:_ROWS] or [[panel["fieldConfig"]["defaults"]["noValue"]] + [""] * (len(columns) - 1)]
    made = axes.table(
        rows, colLabels=list(columns.values()), loc="upper left", cellLoc="left", edges="horizontal"
    )
    made.auto_set_font_size(False)
    made.set_fontsize(6)
    for cell in made.get_celld().values():
        cell.set_edgecolor(_EDGE)
        cell.get_text().set_color(_INK)


def _lines(axes: Axes, panel: Panel, data: Data) -> None:
    _bare(axes)
    lines = sorted(
        (value for _, result in data for one in result for value in one.get("values", [])), reverse=True
    )
    shown = [f"{time.strftime('%H:%M:%S', time.gmtime(int(t) / 1e9))}  {line}" for t, line in lines[:_ROWS]]
    axes.text(
        0, 1, "\n".join(shown) or "no lines", color=_INK, size=6, va="top", family="monospace", clip_on=True
    )


def _heat(axes: Axes, panel: Panel, data: Data) -> None:
    result = sorted((one for _, r in data for one in r), key=lambda one: float(one["metric"]["le"]))
    stamps = sorted({float(t) for one in result for t, _ in one["values"]})
    grid, before = [], dict.fromkeys(stamps, 0.0)
    for one in result:  # Grafana takes cumulative buckets apart in the same way
        now = {float(t): float(v) for t, v in one["values"]}
        grid.append([max(0.0, now.get(t, 0.0) - before[t]) for t in stamps])
        before = {t: now.get(t, 0.0) for t in stamps}
    if grid:
        axes.imshow(grid, aspect="auto", origin="lower", cmap="Oranges")
        axes.set_yticks(range(len(result)), [one["metric"]["le"] for one in result], size=5, color="#8e8e8e")
    axes.set_xticks([])


def _text(axes: Axes, panel: Panel, data: Data) -> None:
    _bare(axes)
    content = re.sub(r"\]\([^)]*\)", "]", panel["options"]["content"])
    words = content.replace("$", r"\$").splitlines()
    wrapped = [part for line in words for part in (textwrap.wrap(line, 78) or [""])]
    axes.text(0, 1, "\n".join(wrapped), color=_INK, size=5.5, va="top", clip_on=True)


_KINDS: dict[str, Callable[[Axes, Panel, Data], None]] = {
    "stat": _stat,
    "timeseries": _graph,
    "bargauge": _bars,
    "table": _table,
    "logs": _lines,
    "heatmap": _heat,
    "text": _text,
}
