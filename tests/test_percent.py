from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from openai_safety_otel.operations.cli.reconcile import summary
from openai_safety_otel.operations.page import content
from openai_safety_otel.operations.percent import percent
from openai_safety_otel.operations.reconcile.compare import Comparison, Source
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.store.files import open_files
from support.events import NOON, write


@pytest.mark.parametrize(
    ("share", "places", "shown"),
    [
        (1.0, 1, "100.0%"),
        (0.99996, 1, "99.9%"),
        (0.999996, 2, "99.99%"),
        (0.996, 0, "99%"),
        (2 / 3, 1, "66.7%"),
        (0.0004, 1, "0.1%"),
        (0.0, 1, "0.0%"),
    ],
)
def test_what_is_not_all_is_not_100_percent(share: float, places: int, shown: str) -> None:
    """Nor is what is not nothing 0 %."""
    assert percent(share, places) == shown


def test_some_dark_requests_of_a_million_are_not_100_percent_seen(tmp_path: Path) -> None:
    """Neither in the summary nor in the page."""
    sources = (
        Source("completions", "Shop", "web", "gpt-5", 10**6, 10**6, "matched"),
        Source("completions", "Shop", "jobs", "gpt-5", 400, 0, "dark", dark=400),
        Source("embeddings", "Shop", "web", "ada", 1000, 997, "cannot_tell"),
    )
    first, *_ = summary(Comparison(0, 7200, sources))
    assert "; 99.9% of the provider's have one of ours beside them" in first
    write(tmp_path, [])
    with open_files([tmp_path], compact=False) as events:
        report = build_report(events, Window(NOON - 1, NOON))
    rows = [
        {
            "ledger": one.ledger,
            "project": one.project,
            "key": one.key,
            "model": one.model,
            "batch": False,
            "why": "",
        }
        | {"provider": one.provider, "ours": one.ours, "dark": one.dark, "verdict": one.verdict}
        for one in sources
    ]
    shown = content.dark(
        replace(report, comparison={"share": 0.9996, "since": 0, "until": 1, "sources": rows})
    )
    assert shown is not None
    assert (shown["share"], [one[4] for one in shown["sources"]]) == ("99.9%", ["100%", "0%", "99%"])
