"""Every name of the contract is set by some code: none is documented, allow-listed and never sent."""

from __future__ import annotations

import ast
from pathlib import Path

from openai_safety_otel.contract import conventions as c

SRC = Path(c.__file__).parents[1]
# Read, allow-listed or shown there, never set.
_READERS = {"conventions.py", "store", "report", "investigation", "page", "cli", "doctor", "demo", "testing"}


def _constants() -> dict[str, str]:
    """The constant of each attribute; those made in tables go by the table's name."""
    found = {
        value: name for name, value in vars(c).items() if isinstance(value, str) and value in c.ATTRIBUTES
    }
    for name, table in vars(c).items():
        if isinstance(table, dict) and name.isupper() and set(table) == set(c.DIRECTIONS):
            for value in table.values():
                found.update(dict.fromkeys(value.values() if isinstance(value, dict) else [value], name))
    return found


def _used() -> set[str]:
    used = set()
    for path in SRC.rglob("*.py"):
        if _READERS & set(path.relative_to(SRC).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.Name):
                used.add(node.id)
    return used


def test_every_attribute_is_set_somewhere() -> None:
    """A name that no code outside the reading rooms mentions is a promise that nobody keeps."""
    constants, used = _constants(), _used()
    labels = {label for metric in c.METRICS.values() for label in metric.labels}
    assert set(constants) == set(c.ATTRIBUTES)
    assert {name for name in set(c.ATTRIBUTES) - labels if constants[name] not in used} == set()


def test_every_metric_is_recorded_somewhere() -> None:
    """The one that the collector derives from events apart."""
    names = {metric.name: name for name, metric in vars(c).items() if isinstance(metric, c.Metric)}
    used = _used()
    assert {metric for metric, name in names.items() if name not in used} <= {c.MODERATION_SCORE.name}
