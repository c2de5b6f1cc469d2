"""What an installation of the distribution with its extras brings, as this environment has it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NAME = "openai-safety-otel"
EXTRAS = ("", "otlp", "cli", "redis", "webhooks", "report", "demo")


def pinned() -> list[str]:
    """``name==version`` of every distribution needed, directly or not, without our own."""
    found: dict[str, str] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = [(NAME, EXTRAS)]
    while waiting:
        name, extras = waiting.pop()
        for text in requires(name) or ():
            needed = Requirement(text)
            if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            key = canonicalize_name(needed.name)
            if key in found or key == NAME:
                continue
            try:
                found[key] = version(key)
            except PackageNotFoundError:
                continue
            waiting.append((str(key), ("", *needed.extras)))
    return [f"{name}=={number}" for name, number in sorted(found.items())]
