"""A number and what it counts: `1 call`, never `1 calls`, wherever people read it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import openai_safety_otel
from openai_safety_otel.contract.counted import counted

SOURCE = Path(openai_safety_otel.__file__).parent
# What is counted somewhere. A word more is a row here.
COUNTED = (
    "blocks|bytes|calls|candidates|characters|days|decisions|deletions|differences|entries|errors|events|files|flags|"
    "hours|identifiers|ids|items|keys|lines|messages|minutes|notices|objects|ones|others|people|processes|records|"
    "reports|requests|rows|samples|scores|seconds|sessions|streams|sums|times|turns|users|warnings|webhooks"
)
MANY = re.compile(rf"\s(?:[a-z]+ ){{0,2}}(?:{COUNTED})\b")
# In a template: `{{ n }} calls`.
IN_TEMPLATE = re.compile(rf"\}}\}}\s(?:[a-z]+ ){{0,2}}(?:{COUNTED})\b")


@pytest.mark.parametrize(
    ("number", "what", "more", "said"),
    [
        (0, "call", "", "0 calls"),
        (1, "call", "", "1 call"),
        (2, "call", "", "2 calls"),
        (1234, "entry", "entries", "1,234 entries"),
        (1, "entry", "entries", "1 entry"),
    ],
)
def test_one_is_one(number: int, what: str, more: str, said: str) -> None:
    """The plural is for every number but one."""
    assert counted(number, what, more) == said


def unsure(path: Path) -> Iterator[str]:
    """Texts in which a number that is not fixed stands before a plural."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for before, after in zip(node.values, node.values[1:], strict=False):
                text = after.value if isinstance(after, ast.Constant) else None
                if (
                    isinstance(before, ast.FormattedValue)
                    and not _fixed(before)
                    and isinstance(text, str)
                    and MANY.match(text)
                ):
                    yield f"{path.relative_to(SOURCE)}:{before.lineno} {ast.unparse(before)}{text}"


def _fixed(value: ast.FormattedValue) -> bool:
    """A constant, which is no one; or what is rounded, said from a certain size on, or no number."""
    name = value.value
    spec = ast.unparse(value.format_spec) if value.format_spec else ""
    constant = isinstance(name, ast.Name) and name.id.lstrip("_").isupper()
    return constant or spec.endswith("f'") or "counted(" in ast.unparse(name)


# A name or a word stands before the plural, no number; or the number is two at least.
NO_NUMBER = (
    "{row[column]} in the files",
    "{status} notices",
    "{settings.caller_identifier} renames users",
    "{len(ids)} keys are called",
    "rows were written, not",
)


def test_every_printed_count_says_one_of_one() -> None:
    """Each count in a text goes through `counted`, in templates too."""
    found = [text for path in sorted(SOURCE.rglob("*.py")) for text in unsure(path)]
    for path in sorted(SOURCE.rglob("*.j2")):
        lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        found += [
            f"{path.name}:{number} {hit[0]}" for number, line in lines for hit in IN_TEMPLATE.finditer(line)
        ]
    assert [text for text in found if not any(part in text for part in NO_NUMBER)] == []
