"""The house rules: imports point one way and make no circle, and some things are only in some files."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
PACKAGE = "openai_safety_otel"

# From the ground up: a module imports its own room and the rooms below. What runs inside the app never imports
# what people run.
ROOMS = (
    "contract",
    "who",
    "ledger",
    "instrumentation",
    "litellm",
    "logs",
    "middleware",
    "operations",
    "testing",
    "demo",
)
# Doors for packages that an app may have: nothing of ours imports them.
OPTIONAL = ("litellm",)
IN_THE_APP = ROOMS[: ROOMS.index("operations")]

# What only some modules may use; a name ends with a dot where it stands for everything below it.
ONLY_IN = {
    "os.environ": ("contract.settings",),
    ".fromisoformat(": ("contract.moments",),
    ".strftime(": ("contract.moments", "instrumentation.signals."),
    "atexit.register": ("contract.process",),
    "os.register_at_fork": ("contract.process",),
    "wrapt": ("instrumentation.instrumentor", "instrumentation.sockets."),
    "print(": ("operations.cli.", "testing.provider", "demo."),
    "FROM events": (
        "operations.store.",
        "demo.",
    ),  # every question stands where all of them are asked of each engine
    "FROM mine": ("operations.store.",),
    "sys.exit": ("operations.cli.", "demo."),
}
ONLY_IMPORTED_BY = {
    "litellm": ("litellm",),
    "openai": ("instrumentation.suspended", "litellm", "operations.", "testing.", "demo."),
    "wrapt": ("instrumentation.instrumentor", "instrumentation.sockets."),
    "opentelemetry": ("who.resolver", "instrumentation.", "logs", "operations.", "demo."),
}


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; a package by its own."""
    found = {}
    for path in sorted((SRC / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    """The modules that a module imports: at its top, in functions, for type checkers; ours by their whole name."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & set(modules())) or {node.module}
    return frozenset(found)


def short(module: str) -> str:
    """A module's name without the package's."""
    return module.removeprefix(PACKAGE).removeprefix(".")


def ours(module: str) -> set[str]:
    """The modules of ours that a module imports."""
    return {name for name in imports_of(module) if name in modules()}


@pytest.mark.parametrize("module", modules(), ids=short)
def test_imports_point_one_way(module: str) -> None:
    """A module imports only its own room and the rooms below, and every module is in a room."""
    if module == PACKAGE:
        return
    room = short(module).partition(".")[0]
    assert room in ROOMS
    above = ROOMS[ROOMS.index(room) + 1 :]
    assert set() == {name for name in ours(module) if short(name).partition(".")[0] in above}


def test_no_circle() -> None:
    """No module reaches itself through imports, inside a room neither."""
    circles = set()
    for start in modules():
        seen: set[str] = set()
        waiting = sorted(ours(start))
        while waiting:
            name = waiting.pop()
            if name == start:
                circles.add(start)
                break
            if name not in seen:
                seen.add(name)
                waiting += ours(name)
    assert set() == circles


def test_the_app_loads_nothing_of_what_people_run() -> None:
    """In a fresh interpreter, importing all of the app's half loads no module of the other."""
    own = set(IN_THE_APP) - set(OPTIONAL)
    names = [name for name in modules() if short(name).partition(".")[0] in own]
    code = f"import sys\nfor name in {names}: __import__(name)\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = tuple(f"{PACKAGE}.{room}" for room in ROOMS if room not in IN_THE_APP)
    assert [] == [name for name in done.stdout.split() if name.startswith(others)]


def test_the_hook_loads_nothing_that_is_optional() -> None:
    """In a fresh interpreter, with the hook on a client: no door, no gateway, no counting, no command."""
    code = (
        f"import sys\nfrom {PACKAGE} import SafetyInstrumentor\nSafetyInstrumentor().instrument(hmac_key='k' * 40)\n"
        "import openai\nopenai.OpenAI(api_key='k')\nprint(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optional = {f"{PACKAGE}.{name}" for name in (*OPTIONAL, "operations", "testing", "demo")}
    optional |= {f"{PACKAGE}.instrumentation.{name}" for name in ("gateway", "unseen", "guard", "public")}
    optional |= {"litellm", "requests", "duckdb", "click", "rich", "jinja2", "redis", "uvicorn"}
    loaded = {part for name in done.stdout.split() for part in (name, name.rpartition(".")[0])}
    assert set() == optional & loaded


@pytest.mark.parametrize("room", OPTIONAL)
def test_what_is_optional_is_never_imported(room: str) -> None:
    """Only the app itself, or the other package's configuration, loads it."""
    assert set() == {module for module in modules() if f"{PACKAGE}.{room}" in ours(module)}


def allowed(module: str, places: tuple[str, ...]) -> bool:
    name = short(module)
    return any(name == place or f"{name}.".startswith(place) for place in places)


@pytest.mark.parametrize("needle", ONLY_IN)
def test_some_things_are_only_in_some_files(needle: str) -> None:
    """The environment, the reading and writing of times, wrapt, print and exit stay in the modules named for them."""
    where = {
        module
        for module, path in modules().items()
        for line in path.read_text(encoding="utf-8").splitlines()
        if needle in line.split("#")[0].split('"')[0]
    }
    assert set() == {module for module in where if not allowed(module, ONLY_IN[needle])}


@pytest.mark.parametrize("package", ONLY_IMPORTED_BY)
def test_some_packages_are_only_imported_in_some_rooms(package: str) -> None:
    """The plain rooms know neither the SDK nor OpenTelemetry."""
    where = {
        module
        for module in modules()
        if any(name.partition(".")[0] == package for name in imports_of(module))
    }
    assert set() == {module for module in where if not allowed(module, ONLY_IMPORTED_BY[package])}


def test_rooms_at_the_top() -> None:
    """At most ten rooms, all of them known."""
    top = {short(module).partition(".")[0] for module in modules() if module != PACKAGE}
    assert set(ROOMS) == top
    assert len(ROOMS) <= 10


_TYPE = re.compile("_?[A-Z][a-z][A-Za-z]*")


def meanings() -> dict[str, set[str]]:
    """What each class and each named type stands for: a class by its place, a named type by its definition."""
    found: dict[str, set[str]] = {}
    for module, path in modules().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).add(module)
            elif isinstance(node, ast.Assign) and _TYPE.fullmatch(name := ast.unparse(node.targets[0])):
                found.setdefault(name, set()).add(ast.unparse(node.value))
    return found


def test_a_word_has_one_meaning() -> None:
    """No two classes or types have the same name."""
    assert {} == {name: places for name, places in meanings().items() if len(places) > 1}


def test_files_stay_small() -> None:
    """No file grows past 350 lines without being cut by idea."""
    long = {
        module: lines
        for module, path in modules().items()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 350
    }
    assert {} == long


def test_nothing_named_utils() -> None:
    """Every file is named for its idea."""
    assert [] == [path for path in modules().values() if path.stem in {"utils", "helpers", "misc"}]
