"""Draw the pictures that the pages show: ``python -m dashboards.pictures``, or ``make pictures``."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from dashboards.answers import ask
from dashboards.drawing import Drawing, bundled, served
from dashboards.stores import Stores, lived
from support.browser import Browser
from support.panels import BOARDS, ROOT

TARGET = ROOT / "grafana" / "pictures"
SPAN = "24h"
# A picture of some panels: what the first look at an alert means.
DETAILS = {
    "minute": ("overview", ("Are we in danger?", "What to do")),
    "worse": ("overview", ("Enforcement", "Flagged")),
    "trust": ("overview", ("Coverage", "Webhook receivers")),
    "who": ("overview", ("Most enforcement blocks", "API keys")),
    "collectors": ("pipeline", ("Queues", "Memory")),
}
# The top of the overview, for the project's own page.
FRONT = ("overview", ("Are we in danger?", "Calls that were not simply completed", "Alerts"))
AROUND = 6  # pixels
COLOURS = 256


def _save(picture: Image.Image, name: str) -> None:
    TARGET.mkdir(exist_ok=True)
    few = picture.convert("RGB").quantize(
        COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    few.save(TARGET / f"{name}.png", optimize=True)


def _cropped(picture: Image.Image, panels: list[dict[str, Any]], titles: tuple[str, ...]) -> Image.Image:
    boxes = [panel["box"] for panel in panels if panel["title"] in titles]
    left, top = (min(box[at] for box in boxes) - AROUND for at in (0, 1))
    right, bottom = (max(box[at] for box in boxes) + AROUND for at in (2, 3))
    return picture.crop((int(left), int(top), int(right), int(bottom)))


def draw(stores: Stores, drawing: Drawing) -> None:
    """Every dashboard, and the details."""
    for name in sorted(BOARDS):
        panels = drawing.draw(name, ask(stores, name, SPAN, drawing.interval))
        with tempfile.TemporaryDirectory() as folder:
            drawing.picture(Path(folder) / "whole.png")
            whole = Image.open(io.BytesIO((Path(folder) / "whole.png").read_bytes()))
        _save(whole, name)
        for detail, (board, titles) in DETAILS.items():
            if board == name:
                _save(_cropped(whole, panels, titles), detail)
        if FRONT[0] == name:
            _save(_cropped(whole, panels, FRONT[1]), "front")


def main() -> None:
    """Feed the stores and draw."""
    with (
        tempfile.TemporaryDirectory() as folder,
        lived(Path(folder)) as stores,
        served(bundled()) as url,
        Browser() as browser,
    ):
        draw(stores, Drawing(browser, url))


if __name__ == "__main__":
    main()
