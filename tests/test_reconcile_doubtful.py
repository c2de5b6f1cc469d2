"""`reconcile` where the provider's books are not the whole story: background and batch runs, and sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.testing.provider import Provider
from support.services import AGO, DOUBTFUL, HOUR, compares, run_services, set_back

pytest.importorskip("openai.types.admin", reason="older SDKs lack some of these APIs")
pytest.importorskip("websockets")

LINES = ("gpt-5-lines", "text-embedding-3-lines")
# What the provider counts of each, for one service.
COUNTED = ("gpt-5-later", "gpt-realtime", "gpt-5-socket", *LINES)
SUMS = ("provider", "ours", "dark", "share")
Rows = set[tuple[str, str, str, int, int]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Provider, Path]]:
    """A service with the hook, and one without."""
    folder = tmp_path_factory.mktemp("served")
    with Provider() as provider:
        run_services(provider, folder, {"web": DOUBTFUL, "jobs": DOUBTFUL})
        yield provider, folder


@pytest.fixture(autouse=True)
def place(served: tuple[Provider, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of whoever compares."""
    return compares(served, tmp_path, monkeypatch, "web")


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert 0 == done.exit_code, done.output
    return done.stdout


def compared(*words: str) -> Any:
    audited = ("--keys", "keys.txt", "--json", "--by", "ann", "--why", "is everything seen?")
    return json.loads(run("reconcile", *audited, *words))


def rows(*words: str) -> Rows:
    """Verdict, key, model, the provider's count and ours."""
    found = compared(*words)
    return {
        (one["verdict"], one["key"], one["model"], one["provider"], one["ours"]) for one in found["sources"]
    }


def test_what_one_service_did_with_the_hook_and_the_other_without() -> None:
    """Of the one nothing is dark, of the other all is; a socket's responses are calls like any other's."""
    hooked = {
        ("cannot_tell", "web", "gpt-5-later", 10, 10),
        ("cannot_tell", "web", "gpt-realtime", 10, 10),
        ("matched", "web", "gpt-5-socket", 10, 10),
        *(("cannot_tell", "web", model, 10, 0) for model in LINES),
    }
    assert hooked | {("dark", "jobs", model, 10, 0) for model in COUNTED} == rows()


def read_results(place: Path, seconds_ago: int) -> None:
    """Record what the service's batches came to, so long ago."""
    before = set(place.glob("*.jsonl"))
    for model in LINES:
        run("batch", "results", str(place / f"{model}.out"), "--input", str(place / f"{model}.in"))
    for written in set(place.glob("*.jsonl")) - before:
        set_back(written, seconds_ago)


def test_results_that_were_read_stand_beside_what_was_run(place: Path) -> None:
    """They name no key: all that ran is compared with all that was read; a ledger that mixes them tells nothing."""
    read_results(place, AGO)
    assert {
        ("cannot_tell", "jobs or web", "gpt-5-lines", 20, 10),
        *(("cannot_tell", key, "text-embedding-3-lines", 10, 0) for key in ("jobs", "web")),
    } == {row for row in rows() if row[2] in LINES}


def test_results_that_are_read_on_another_day_are_not_another_organisations(place: Path) -> None:
    """Ours alone on the day of the reading, and still not dark on the day of the run."""
    read_results(place, AGO + 26 * HOUR)
    assert {("cannot_tell", "recorded as (no key)", "gpt-5-lines", 0, 10)} == rows(
        "--since", "30h", "--until", "24h"
    )
    assert {
        ("dark", "jobs", "gpt-5-lines", 10, 0),
        ("cannot_tell", "web", "gpt-5-lines", 10, 0),
    } == {row for row in rows() if row[2] == "gpt-5-lines"}


def test_the_report_has_every_source_that_does_not_match(place: Path) -> None:
    """What the comparison found is stored with its counts, verdict and why, and read again."""
    found = compared()
    stored = json.loads(run("report", "--json"))["reconciliation"]
    unmatched = [one for one in found["sources"] if one["verdict"] != "matched"]
    assert len(COUNTED) + len(COUNTED) - 1 == len(unmatched)
    assert unmatched == stored["sources"]
    assert [stored[name] for name in SUMS] == [found[name] for name in SUMS]
