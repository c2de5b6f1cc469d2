"""The house rules: imports point one way, and some things are only in some files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "openai_safety_otel"
PACKAGE = "openai_safety_otel"

# Lower rooms never import higher ones. A package counts as one room.
LEVELS = (
    {"conventions", "harmless", "orphans", "passing", "detectors", "replacing", "addresses"},
    {"record", "settings", "masking", "callables"},
    {"identifier", "place", "extract", "streams", "suspended"},
    {"keys", "resolver", "journal", "blocks", "outcome"},
    {"signals", "suspensions", "decisions"},
    {"deliver", "store", "evidence", "filtering", "guard", "peers", "silence"},
    {"gate", "report"},
    {"call"},
    {"observer", "arrival"},
    {"hook", "sockets", "arguments"},
    {"instrumentor", "webhooks"},
    {"public", "logs", "middleware", "testing", "page", "investigation", "batch", "doctor"},
    {"demo"},
    {"cli"},
)
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}

ONLY_IN = {
    "os.environ": {"settings"},
    "wrapt": {"instrumentor", "sockets"},
    "print(": {"cli", "demo"},
    "sys.exit": {"cli", "demo"},
}


def rooms() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        if parts != ("__init__",):
            found.append((parts[0], path))
    return found


def imports_of(path: Path) -> set[str]:
    """Our own rooms that a file imports at its top level or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            rest = node.module.split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize(("room", "path"), rooms(), ids=lambda value: str(value)[-40:])
def test_imports_point_one_way(room: str, path: Path) -> None:
    """A file imports only rooms at or below its own level, and every room has a level."""
    unknown = {name for name in imports_of(path) | {room} if name not in LEVEL_OF and (SRC / name).exists()}
    upward = {
        name for name in imports_of(path) if name != room and LEVEL_OF.get(name, -1) > LEVEL_OF.get(room, 99)
    }
    assert (set(), set()) == (unknown, upward)


@pytest.mark.parametrize("needle", ONLY_IN)
def test_some_things_are_only_in_some_files(needle: str) -> None:
    """The environment, wrapt, print and exit stay in the rooms named for them."""
    where = {
        room
        for room, path in rooms()
        for line in path.read_text(encoding="utf-8").splitlines()
        if needle in line.split("#")[0].split('"')[0]
    }
    assert where <= ONLY_IN[needle]


def test_files_stay_small() -> None:
    """No file grows past 350 lines without being cut by idea (the contract's table apart)."""
    long = {
        str(path.relative_to(SRC)): lines
        for _, path in rooms()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 350 and path.name != "conventions.py"
    }
    assert {} == long


def test_nothing_named_utils() -> None:
    """Every file is named for its idea."""
    assert [] == [path for _, path in rooms() if path.stem in {"utils", "helpers", "misc"}]
