"""What the page embeds, and the content security policy that allows exactly that."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.operations.page.kinds import KINDS
from openai_safety_otel.operations.percent import percent

# SHA-256 of the vendored files as their packages ship them (see vendor/README.md).
VENDORED: Final = {
    "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
    "plot.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}
# The hash of the style element that this version of Plot puts into each drawing of class "plot".
PLOT_STYLE: Final = "'sha256-+TfQir1nvDucAdvE6XUQBt4ayUjpAWkbw2kCdSfekHM='"


@cache
def text(name: str) -> str:
    """An asset's text."""
    return files(__package__).joinpath("assets", *name.split("/")).read_text(encoding="utf-8")


@cache
def template(name: str) -> Template:
    """An asset that is filled in: every value in it is escaped, and a missing one is an error."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"percent": percent, "counted": counted}
    return environment.from_string(text(name))


@cache
def style() -> Markup:
    """The page's own style, with the colours that mean the same everywhere."""
    light, dark = (
        " ".join(f"--{key}: {getattr(kind, ground)};" for key, kind in KINDS.items())
        for ground in ("light", "dark")
    )
    kinds = f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    return Markup(kinds + text("page.css"))  # noqa: S704 - files of this package


def scripts() -> list[Markup]:
    """The scripts in the order they run: the chart library, then the page's own."""
    names = (*(f"vendor/{name}" for name in VENDORED), "page.js")
    return [Markup(text(name)) for name in names]  # noqa: S704 - files of this package


def policy(*, with_scripts: bool = True) -> str:
    """A content security policy: nothing from anywhere, but these scripts and these styles."""
    allowed = f"script-src {' '.join(_hash(script) for script in scripts())}; " if with_scripts else ""
    return (
        f"default-src 'none'; {allowed}style-src {_hash(style())} {PLOT_STYLE}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
