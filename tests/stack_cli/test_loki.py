from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.store import loki as reading
from openai_safety_otel.operations.store.loki import Loki, LokiError
from stack.programs import Running
from support.events import ANN, BOB, EVE, blocked, call, decision, event, flagged, notice, write
from support.stores import send
from support.waiting import until

NOW = float(int(time.time())) - 600


def crowd() -> Iterable[SafetyEvent]:
    for number in range(60):
        who = f"{number % 9:064x}"
        yield call(
            who, NOW - 60 - number, API="chat", FINISH_REASONS=("stop", "length"), TIME_TO_FIRST_OUTPUT=0.25
        )
    for number in range(12):
        yield flagged(ANN, NOW - number / 1000, "self-harm/intent", 0.5 + number / 100, RETRIES=1)
    yield blocked(ANN, NOW - 5, "identifier_blocked", API="chat")
    yield call(EVE, NOW - 4, OUTCOME="refused", IDENTIFIER_LINKED="5" * 64)
    yield notice("warning", NOW - 3)
    yield decision(BOB, "watch", NOW - 2)


@pytest.fixture(scope="module")
def stored(loki: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same events in a folder of files and in Loki."""
    folder = tmp_path_factory.mktemp("both")
    send(loki.url, write(folder, crowd()))
    return folder


def run(*arguments: str) -> Any:
    found = CliRunner().invoke(app, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.mark.parametrize("by", ["identifier", "category", "api", "model", "key", "day"])
def test_loki_and_files_give_the_same_report(loki: Running, stored: Path, by: str) -> None:
    """Every number, score, ladder and time of a report is the same from both."""
    arguments = ("report", "--since", "2d", "--until", "2100-01-01", "--by", by)
    until_now = ("report", "--since", "2d", "--by", by)
    files = run(*until_now, "--files", str(stored))
    found = run(*until_now, "--source", "loki", "--loki-url", loki.url)
    for one in (files, found):
        del one["since"], one["until"], one["origin"]
    assert found == files
    assert len(files["rows"]) > 0
    assert arguments  # the window may also end in the future


def test_pages_of_any_size_lose_and_repeat_nothing(
    loki: Running, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that share a nanosecond across a page's end are read once each."""
    same = [call(f"{number:064x}", NOW - 30, TRAFFIC="redteam") for number in range(5)]
    send(loki.url, write(stored.parent / "same", same))
    monkeypatch.setattr(reading, "PAGE", 7)
    with Loki(loki.url) as source, source.events(NOW - 7200, NOW + 60) as events:
        query = "SELECT count(*) AS n, count(DISTINCT (time_ns, user_hash)) AS keys FROM fresh"
        assert events.rows(query) == [{"n": 81, "keys": 81}]
    monkeypatch.setattr(reading, "PAGE", 4)
    with Loki(loki.url) as source, pytest.raises(LokiError, match="more than 4 entries at one nanosecond"):
        source.events(NOW - 7200, NOW + 60)


def test_investigate_reads_loki_and_logql(loki: Running, stored: Path) -> None:
    """The story of one identifier is the same from Loki, and LogQL finds the lines that carry an id."""
    files = run("investigate", ANN, "--files", str(stored))
    found = run(
        "investigate", ANN, "--source", "loki", "--loki-url", loki.url, "--logs", '{service_name="chat"}'
    )
    assert [row["time"] for row in found["timeline"]] == [row["time"] for row in files["timeline"]]
    assert found["standing"] == files["standing"]
    assert found["reach"] == files["reach"]
    assert found["sources"][2]["state"] == "present"


def test_erase_deletes_from_loki_with_evidence(
    loki: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's events and evidence go from both tenants, with a session of their own; everybody else's stay.

    So does what says that they were erased: the command finds nothing more to do in it.
    """
    monkeypatch.chdir(tmp_path)
    gone, stays, session, shared = "9" * 64, "8" * 64, "7" * 64, "6" * 64
    evidence = [
        event(c.EVIDENCE_EVENT, NOW - 9, {c.USER_HASH: who, c.EVIDENCE_INPUT: "text"})
        for who in (gone, stays)
    ]
    calls = [
        call(gone, NOW - 8, IDENTIFIER_LINKED=session),
        call(gone, NOW - 7.5, IDENTIFIER_LINKED=shared),
        call(stays, NOW - 7, IDENTIFIER_LINKED=shared),
        call(session, NOW - 6),
        call(shared, NOW - 5),
    ]
    send(loki.url, write(tmp_path, [*calls, *evidence, decision(gone, "erase", NOW - 4)]))
    everybody = {gone, stays, session, shared}

    def whose(tenant: str) -> set[str]:
        with Loki(loki.url, tenant) as source:
            entries = list(source.entries(reading.EVERYTHING, int((NOW - 3600) * 1e9), int((NOW + 60) * 1e9)))
        told = [labels for _, _, labels in entries if labels["event_name"] != c.DECISION_EVENT]
        return {labels["user_hash"] for labels in told if "user_hash" in labels} & everybody

    tenants = ("safety", "safety-evidence")
    assert [whose(tenant) for tenant in tenants] == [everybody, {gone, stays}]
    arguments = ["erase", gone, "--loki-url", loki.url, "--by", "ann", "--why", "request 81", "--yes"]
    found = CliRunner().invoke(app, arguments)
    assert (found.exit_code, "8 deletions requested from Loki" in found.stdout) == (2, True), found.output
    assert f"NOT reached: session {shared}: others used it too" in found.stderr
    # Loki's queriers look at new requests every five minutes, and when they start.
    loki.stop()
    loki.start()
    assert until(lambda: [whose(tenant) for tenant in tenants] == [{stays, shared}, {stays}], 90)
    with Loki(loki.url) as source:
        assert [
            labels["openai_safety_decision_action"]
            for _, _, labels in source.entries(
                f'{reading.EVERYTHING} | user_hash="{gone}"', int((NOW - 3600) * 1e9), int((NOW + 60) * 1e9)
            )
        ] == ["erase"]
    again = CliRunner().invoke(app, arguments)
    assert (again.exit_code, "nothing is stored about" in again.stderr) == (1, True), again.output
