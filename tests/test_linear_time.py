"""No regular expression of the package takes more than linear time, whatever it is given."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import openai_safety_otel
from openai_safety_otel.instrumentation.masking import mask
from openai_safety_otel.who.detectors import looks_raw, plainly

try:
    from re import _constants as words  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_constants as words  # type: ignore[no-redef,import-not-found,unused-ignore]
    import sre_parse as parser  # type: ignore[no-redef,import-not-found,unused-ignore]

REPEATS = (words.MAX_REPEAT, words.MIN_REPEAT)
OF_CLASS = {"DIGIT": "1", "SPACE": " ", "_WORD": "a", "None": "a"}
SHORT, LONG = 10_000, 100_000
# Linear is 10; a quadratic expression takes 100 times as long.
MOST = 30.0
# A quadratic expression takes longer than this on the short text, and no other takes as long as the second.
QUICK_SECONDS, HOPELESS_SECONDS = 0.003, 1.0
# Not to be imported here: one starts, one needs LiteLLM. They have no expression.
PROGRAMS = ("openai_safety_otel.demo.app", "openai_safety_otel.litellm")
UNITS = (
    *"a1 @.-_:+%&\\/'\"{[(<\n=,;",
    *(
        "a@",
        "@a",
        "a.",
        ".a",
        "1 ",
        "1-",
        "a1",
        "a-",
        "::",
        "a:",
        "1.",
        "1.1.1.",
        "://",
        "://a:",
        "\\u",
        "&#",
    ),
    *(
        "%4",
        "%40",
        "sk-",
        "eyJ",
        "eyJa.",
        "DE89",
        "DE89 ",
        "4111 ",
        "+1",
        "(5",
        "password",
        "password:",
        "tel:",
    ),
    *("-----BEGIN KEY-----", "-----BEGIN ", "-----END ", "token is ", "bearer ", 'data: {"a":', "data:\n"),
)


def modules() -> Iterator[ModuleType]:
    """Every module of the package."""
    yield openai_safety_otel
    for found in pkgutil.walk_packages(openai_safety_otel.__path__, "openai_safety_otel."):
        if found.name not in PROGRAMS:
            yield importlib.import_module(found.name)


def compiled(value: Any, depth: int = 4) -> Iterator[re.Pattern[Any]]:
    """The expressions in a value: itself, or in tables, classes and records of it."""
    if isinstance(value, re.Pattern):
        yield value
    elif depth:
        for part in _parts(value):
            yield from compiled(part, depth - 1)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (tuple, list, set, frozenset)):
        return list(value)
    if isinstance(value, type) and value.__module__.startswith("openai_safety_otel"):
        return list(vars(value).values())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, item.name, None) for item in dataclasses.fields(value)]
    return []


def every_expression() -> dict[str, re.Pattern[Any]]:
    """Of each module and name, in tables numbered."""
    return {
        f"{module.__name__.removeprefix('openai_safety_otel.')}:{name}{number or ''}": one
        for module in modules()
        for name, value in list(vars(module).items())
        if getattr(value, "__module__", module.__name__) == module.__name__ or isinstance(value, re.Pattern)
        for number, one in enumerate(compiled(value))
    }


EXPRESSIONS = every_expression()
SOURCE = Path(openai_safety_otel.__file__).parent
_USES = {
    (f"{'.'.join(path.relative_to(SOURCE).with_suffix('').parts)}:{name}", use)
    for path in SOURCE.rglob("*.py")
    for name, use in re.findall(r"\b(\w{1,60})\.(\w{1,20})\(", path.read_text("utf-8"))
}
SEARCHES = ("search", "finditer", "findall", "sub", "split")


def _inline(tree: ast.AST) -> Iterator[str]:
    """Calls of `re` inside functions: their expressions are in no module's table."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in ast.walk(node):
                text = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
                if text.startswith("re.") and text != "re.escape" and isinstance(call, ast.Call):
                    yield ast.unparse(call)


def _simple(call: str) -> bool:
    """One class of characters, perhaps at the end; or a name of our own with numbers."""
    return bool(re.match(r"re\.sub\('\[[^\]]+\][+$]?', ", call)) or "re.escape(prefix)" in call


def test_every_expression_is_in_a_table() -> None:
    """Expressions are compiled once, where this test finds them; one function makes finders of them."""
    found = {call for path in SOURCE.rglob("*.py") for call in _inline(ast.parse(path.read_text("utf-8")))}
    assert {"re.compile(pattern)"} == {call for call in found if not _simple(call)}
    assert len(EXPRESSIONS) > 50


class Pumps:
    """What makes each repetition of an expression run: a beginning that fits, and a piece to repeat."""

    def __init__(self, pattern: str) -> None:
        self.found: list[str] = []
        whole = self._sample(parser.parse(pattern))
        self.found.append(whole)

    def _sample(self, tokens: Any) -> str:
        text = ""
        for kind, value in tokens:
            text += self._repeated(value, text) if kind in REPEATS else self._piece(kind, value)
        return text

    def _repeated(self, value: Any, before: str) -> str:
        least, most, inner = value
        unit = self._sample(inner)
        if most > len("a few"):
            self.found.append(f"{before}\0{unit}")
        return unit * max(int(least), 1)

    def _piece(self, kind: Any, value: Any) -> str:
        if kind is words.LITERAL:
            return chr(value)
        if kind is words.IN:
            return self._piece(*value[0]) or "~"
        if kind is words.RANGE:
            return chr(value[0])
        if kind is words.BRANCH:
            return self._sample(value[1][0])
        return self._sample(value[-1]) if kind is words.SUBPATTERN else OF_CLASS.get(str(value)[-5:], "")


def seconds(work: Callable[[str], object], start: str, unit: str, size: int, tries: int = 1) -> float:
    """Processor time on ``size`` characters that end in what fits nothing; the best of some tries."""
    text = start + unit * (size // len(unit)) + "\x01"
    found = []
    for _ in range(tries):
        before = time.process_time()
        work(text)
        found.append(time.process_time() - before)
    return min(found)


def slow(work: Callable[[str], object], start: str, unit: str) -> bool:
    """Whether ten times the length takes far more than ten times the time."""
    short = seconds(work, start, unit, SHORT)
    if short < QUICK_SECONDS or short > HOPELESS_SECONDS:
        return short > HOPELESS_SECONDS
    if seconds(work, start, unit, LONG) < MOST * short:
        return False
    return seconds(work, start, unit, LONG, 2) > MOST * seconds(work, start, unit, SHORT, 5)


def too_slow(work: Callable[[str], object], texts: list[str]) -> list[str]:
    """The beginnings and repeated pieces, parted by a zero byte, on which the work is not linear."""
    found = []
    for text in texts:
        start, _, unit = text.rpartition("\0")
        if unit and slow(work, start, unit):
            found.append(text)
    return found


def _in_use(name: str) -> Callable[[str], object]:
    """As the module uses it: on the whole text or its beginning; anywhere in it, if the module does or hands it on."""
    one = EXPRESSIONS[name]
    anywhere = any((name, use) in _USES for use in SEARCHES) or not (
        (name, "match") in _USES or (name, "fullmatch") in _USES
    )

    def work(text: str) -> None:
        given: Any = text.encode() if isinstance(one.pattern, bytes) else text
        one.fullmatch(given)
        one.match(given)
        for _ in one.finditer(given) if anywhere else ():
            pass

    return work


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_ten_times_the_length_takes_ten_times_the_time(name: str) -> None:
    """On repeated characters of every kind, and on what makes this very expression run."""
    one = EXPRESSIONS[name]
    pattern = one.pattern.decode("latin-1") if isinstance(one.pattern, bytes) else one.pattern
    assert [] == too_slow(_in_use(name), [*UNITS, *Pumps(pattern).found])


@pytest.mark.parametrize("work", [looks_raw, plainly, mask], ids=lambda work: work.__name__)
def test_what_is_built_of_them_is_linear_too(work: Callable[[str], object]) -> None:
    """Looking at an identifier, undoing escapes, and masking a text."""
    assert [] == too_slow(work, [*UNITS, "\uff20", "\u0301\u0327", "\ufdfa", "%F0", "&#9999999;"])
