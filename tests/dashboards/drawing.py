"""The page that draws: packages by `npm ci`, bundled by esbuild, shown in Chromium."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dashboards.answers import Answers
from support.browser import Browser
from support.panels import BOARDS, ROOT

HERE = Path(__file__).parent
CACHE = ROOT / ".cache" / "dashboards"
ROW, AROUND = 38, 190  # pixels of a grid row, and of title and variables


def _digest(*paths: Path) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()


def _once(stamp: Path, digest: str, *commands: list[str]) -> None:
    """Run commands unless the stamp says that they have run for this content."""
    if stamp.exists() and stamp.read_text() == digest:
        return
    for command in commands:
        subprocess.run(command, cwd=CACHE, check=True)
    stamp.write_text(digest)


def bundled() -> Path:
    """The page, made anew only where its source or its packages changed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, CACHE / name)
    packages = _digest(HERE / "package-lock.json")
    _once(
        CACHE / "packages.stamp",
        packages,
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    )
    sources = _digest(
        *sorted((HERE / "page").iterdir()), HERE.parent / "support" / "readable.js", HERE / "bundle.mjs"
    )
    target = CACHE / "bundle"
    _once(
        CACHE / "bundle.stamp",
        packages + sources,
        ["node", str(HERE / "bundle.mjs"), str(CACHE), str(target)],
    )
    shutil.copyfile(HERE / "page" / "page.html", target / "page.html")
    icons = target / "public" / "build" / "img"
    if not icons.exists():
        shutil.copytree(CACHE / "node_modules" / "@grafana" / "ui" / "dist" / "public" / "img", icons)
    return target


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback: a page of a file may not fetch its icons."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/page.html"
        finally:
            server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def _meant(panel: dict[str, Any]) -> dict[str, Any]:
    """What the dashboard says of a panel, that its picture does not."""
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    return {
        "type": panel["type"],
        "unit": defaults.get("unit"),
        "bars": defaults.get("custom", {}).get("drawStyle") == "bars",
    }


class Drawing:
    """One browser with the page: draws a dashboard and tells what is on it."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        browser.open(url, ready="!!window.draw")

    def interval(self, start: float, end: float, points: int, lowest: str) -> float:
        """The interval (s) that Grafana would choose."""
        return float(self.browser.run(f"intervalOf({start}, {end}, {points}, {lowest!r})"))

    def draw(
        self, name: str, answers: Answers, *, width: int = 1600, theme: str = "dark"
    ) -> list[dict[str, Any]]:
        """Draw one dashboard from its answers; the facts of its panels."""
        board = BOARDS[name]
        rows = max(panel["gridPos"].get("y", 0) + panel["gridPos"]["h"] for panel in board["panels"])
        self.browser.size(width, rows * ROW + AROUND)
        given = {"board": board, "theme": theme, **answers.as_given()}
        self.browser.run(f"draw({json.dumps(given)})")
        found: list[dict[str, Any]] = self.browser.run("facts()")
        made = {panel["id"]: panel for panel in board["panels"]}
        return [panel | _meant(made[panel["id"]]) for panel in found]

    def picture(self, target: Path) -> None:
        """Write what is on the page."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self.browser.picture(target, whole=False)
