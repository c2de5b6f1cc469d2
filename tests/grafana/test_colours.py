"""One colour means one thing, and can be told from the others by everybody."""

from __future__ import annotations

import itertools
import math

import pytest

from grafana.colours import OPEN
from openai_safety_otel.operations.page.kinds import KINDS
from support.colours import APART, EYES, lab


@pytest.mark.parametrize("ground", ["dark", "light"])
@pytest.mark.parametrize("eyes", sorted(EYES))
def test_kinds_can_be_told_apart(eyes: str, ground: str) -> None:
    """No two kinds of calls look alike, to nobody's eyes, on neither ground."""
    seen = {key: lab(getattr(kind, ground), eyes) for key, kind in KINDS.items()}
    alike = {
        (a, b): round(sum((x - y) ** 2 for x, y in zip(seen[a], seen[b], strict=True)) ** 0.5)
        for a, b in itertools.combinations(seen, 2)
    }
    assert {pair: far for pair, far in alike.items() if far < APART} == {}


def test_open_names_have_colours_apart() -> None:
    """From each other, and from every kind of calls: a service is neither good nor bad."""
    others = [(colour, kind.dark) for colour in OPEN for kind in KINDS.values()]
    pairs = [*itertools.combinations(OPEN, 2), *others]
    assert [pair for pair in pairs if math.dist(*map(lab, pair)) < APART] == []
