"""Which facts of a page are wrong, in words: one function a rule, each gives the complaints about one panel."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

from support.colours import APART, lab

Panel = dict[str, Any]
MOST_ENTRIES = 8
SEEN = 3  # pixels of a bar with its gap


def cut_text(panel: Panel) -> list[str]:
    """A title or a cell that ends in the middle."""
    return [f"cut: {text}" for text in panel["cut"]]


def outside(panel: Panel) -> list[str]:
    """Text or columns that lie outside their panel."""
    return list(panel["outside"])


def dim(panel: Panel) -> list[str]:
    """Text with less contrast to its background than 4.5 to 1."""
    return list(panel["dim"])


def one_name_twice(panel: Panel) -> list[str]:
    """Two series that a reader cannot tell apart."""
    legend: list[str] = panel["legend"]
    return [entry for entry, times in Counter(legend).items() if times > 1]


def too_many_entries(panel: Panel) -> list[str]:
    """More series than anybody tells apart by colour."""
    return [f"{len(panel['legend'])} entries"] if len(panel["legend"]) > MOST_ENTRIES else []


def alike(shades: list[list[str]]) -> list[str]:
    """Two series of almost one colour; each entry is a name and ``rgb(…)``."""
    seen = {
        name: lab("#{:02x}{:02x}{:02x}".format(*map(int, re.findall(r"\d+", rgb)[:3])))
        for name, rgb in shades
    }
    return [
        f"{one} and {other}"
        for one, other in combinations(seen, 2)
        if math.dist(seen[one], seen[other]) < APART
    ]


def lists_as_text(panel: Panel) -> list[str]:
    """A list of categories in the place of a name."""
    return [text for text in panel["text"] if text.startswith("[") or '","' in text]


def silently_empty(panel: Panel) -> list[str]:
    """A plot without a single value that does not say so."""
    plot = panel["plot"]
    return ["nothing plotted, nothing said"] if plot and not plot["points"] and not panel["said"] else []


def axis_beyond_data(panel: Panel) -> list[str]:
    """An axis that makes the data a line on the floor."""
    plot = panel["plot"]
    if not plot:
        return []
    floor = {"percentunit": 1.0, "s": 60.0, "bytes": 2**28}.get(plot["unit"], 5.0)
    allowed = max(2.5 * plot["highest"], floor)
    return [f"axis to {plot['top']:g} for {plot['highest']:g}"] if (plot["top"] or 0) > allowed else []


def fraction_of_a_count(panel: Panel) -> list[str]:
    """Half a call; a rate of something rare."""
    shown = [*(panel["plot"] or {"ticks": []})["ticks"], *panel["text"]]
    rates = [text for text in shown if re.search(r"\d c/s$", text)]
    if panel["unit"] in ("short", "locale") and panel["type"] != "heatmap":
        rates += [text for text in shown if re.fullmatch(r"[\d,]+\.\d*[1-9]\d*", text)]
    return rates


def one_tick_twice(panel: Panel) -> list[str]:
    """An axis on which two places say the same number."""
    ticks = [tick for tick in (panel["plot"] or {"ticks": []})["ticks"] if tick]
    return [tick for tick, times in Counter(ticks).items() if times > 1]


def bars_too_thin(panel: Panel) -> list[str]:
    """Bars that are a hair."""
    plot = panel["plot"]
    return [f"{plot['slot']:.1f} px a bar"] if plot and panel["bars"] and plot["slot"] < SEEN else []


RULES: tuple[Callable[[Panel], list[str]], ...] = (
    cut_text,
    outside,
    dim,
    one_name_twice,
    too_many_entries,
    lists_as_text,
    silently_empty,
    axis_beyond_data,
    fraction_of_a_count,
    one_tick_twice,
    bars_too_thin,
)


def complaints(panels: list[Panel], rule: Callable[[Panel], list[str]]) -> dict[str, list[str]]:
    """By panel title, what a rule finds."""
    return {panel["title"]: found for panel in panels if (found := rule(panel))}
