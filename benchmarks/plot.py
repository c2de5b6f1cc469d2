"""The plot of the docs: CPU time added to a call, per contender, from results/cost_per_call.json."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
from matplotlib import pyplot as plt  # noqa: E402 - after the choice of the backend

HERE = Path(__file__).parent
TARGET = HERE.parent / "docs" / "benchmarks.svg"
_COLOURS = {"floor": "#9aa5b1", "in place": "#6b7785", "ours": "#1f6feb"}
_OTHERS = ("#b8860b", "#8b5a9e", "#4c8c6b", "#b5534a")


def write() -> None:
    """One group of bars for each case of the sync client; whiskers are quartiles."""
    found = json.loads((HERE / "results" / "cost_per_call.json").read_text())
    rows = [row for row in found["rows"] if row["mode"] == "sync"]
    figure, parts = plt.subplots(1, 2, figsize=(11, 3.8), width_ratios=(2, 1))
    for part, stream in zip(parts, (False, True), strict=True):
        _bars(part, [row for row in rows if row["stream"] is stream])
    parts[0].set_ylabel("CPU µs added to a call")
    parts[0].set_title("whole answers")
    parts[1].set_title(f"streams of {found['chunks']} chunks")
    handles, labels = parts[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(TARGET, metadata={"Date": None})
    plt.close(figure)


def _bars(part: plt.Axes, rows: list[dict]) -> None:  # type: ignore[type-arg]
    names = list(rows[0]["added_us"])
    others = iter(_OTHERS)
    width = 0.8 / len(names)
    for at, name in enumerate(names):
        spreads = [row["added_us"][name] for row in rows]
        middle = [one["median"] for one in spreads]
        below = [max(0.0, one["median"] - one["low"]) for one in spreads]
        above = [max(0.0, one["high"] - one["median"]) for one in spreads]
        part.bar(
            [place + at * width for place in range(len(rows))],
            middle,
            width,
            yerr=[below, above],
            label=name,
            color=_COLOURS.get(name) or next(others),
            error_kw={"elinewidth": 0.8},
        )
    part.set_xticks(
        [place + width * (len(names) - 1) / 2 for place in range(len(rows))], [row["case"] for row in rows]
    )
    part.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    write()
