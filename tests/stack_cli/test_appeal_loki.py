"""The appeal from a real Loki: as whole as from files."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.reconcile.compare import Comparison, Source
from openai_safety_otel.operations.reconcile.tell import comparison_events
from stack.programs import Running
from support.events import ANN, BOB, DAY, blocked, call, decision, flagged, notice, write
from support.stores import send

NOW = float(int(time.time())) - 600
HOUR = 3600
FOUND = Comparison(
    NOW - DAY, NOW - HOUR, (Source("completions", "Shop", "jobs", "gpt-5", 90, 60, "dark", dark=30),)
)


@pytest.fixture(scope="module")
def places(loki: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, ...]]:
    """The same events in a folder of files and in Loki: Ann's, everybody's, and comparisons of two days."""
    folder = tmp_path_factory.mktemp("both")
    events = [
        *(call(BOB, NOW - 2 * HOUR + at) for at in range(40)),
        *(call(None, NOW - HOUR + at) for at in range(5)),
        call(BOB, NOW - 50, IDENTIFIER_SOURCE="system"),
        call(BOB, NOW - 49, IDENTIFIER_SOURCE="library"),
        call(BOB, NOW - 48, IDENTIFIER_DELIVERY="not_accepted", API="embeddings"),
        call(None, NOW - 47, ENDPOINT="responses.retrieve"),
        call(None, NOW - 46, OUTCOME="failed", IDENTIFIER_DELIVERY="withheld"),
        call(None, NOW - 45, TRAFFIC="redteam"),
        flagged(ANN, NOW - 400, "hate", 0.9),
        blocked(ANN, NOW - 300, "cyber_policy", BLOCK_CERTAINTY="code", BLOCK_CATEGORIES=("cyber",)),
        notice("warning", NOW - 260, "C-17", USER_HASH=ANN, NOTICE_CATEGORY="cyber"),
        decision(ANN, "suspend", NOW - 240),
        *(one for ago in (DAY + HOUR, DAY, 10, 5) for one in comparison_events(FOUND, NOW - ago)),
    ]
    send(loki.url, write(folder, events))
    return {"files": ("--files", str(folder)), "loki": ("--loki-url", loki.url)}


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def case_of(place: tuple[str, ...], *words: str) -> Any:
    done = CliRunner().invoke(app, ["investigate", ANN, *place, *words])
    assert 0 == done.exit_code, done.output
    return json.loads(done.stdout) if "--json" in words else None


def test_loki_and_files_give_the_same_appeal(places: dict[str, tuple[str, ...]]) -> None:
    """Reasons of each decision, coverage of everybody's calls, the chain, and the last comparison of each day."""
    parts = ("statements", "chain", "coverage", "reconciliation", "request_ids", "blocks_and_flags", "sums")
    found = {name: case_of(place, "--json", "--redress", "Write to us") for name, place in places.items()}
    for one in found.values():
        del one["coverage"]["since"], one["coverage"]["until"]  # they were asked at different moments
    assert {name: found["files"][name] for name in parts} == {name: found["loki"][name] for name in parts}
    coverage = found["loki"]["coverage"]
    assert (53, 49, 42) == tuple(coverage[name] for name in ("calls", "needed_an_identifier", "sent"))
    days = {time.strftime("%Y-%m-%d", time.gmtime(NOW - ago)) for ago in (DAY + HOUR, DAY, 10, 5)}
    assert [(90, 60, 30, 60 / 90)] * len(days) == [
        (one["provider"], one["ours"], one["dark"], one["share"]) for one in found["loki"]["reconciliation"]
    ]


def test_the_page_from_loki_has_every_part(places: dict[str, tuple[str, ...]]) -> None:
    """What an auditor asks for stands in the page of the zip, too."""
    case_of(places["loki"], "--out", "case.zip", "--redress", "Write to us")
    with zipfile.ZipFile("case.zip") as archive:
        page = archive.read("case.html").decode()
    for words in (
        "42 of 49 calls of everybody that needed an identifier carried one",
        "90 requests there, 60 here, 30 dark",
        "blocked cyber_policy, known by code",
        "60 seconds",
        "Write to us",
        f"req_{NOW - 300:.3f}",
    ):
        assert words in page, words
