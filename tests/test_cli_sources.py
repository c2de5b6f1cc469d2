"""Where reading commands find the events: as typed, else as configured."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.operations.cli.group import app
from support import loki
from support.events import ANN, BOB, EVE, blocked, call, flagged, write

NOW = time.time() - 60
EVENTS = [
    blocked(ANN, NOW - 3, "cyber_policy"),
    blocked(ANN, NOW - 2, "identifier_blocked"),
    flagged(EVE, NOW - 1, "illicit", 0.9),
    *(call(BOB, NOW - 100 - number) for number in range(200)),
]
NOWHERE = "say where the events are: --files DIR or OPENAI_SAFETY_FILE_DIR, --loki-url URL or OPENAI_SAFETY_LOKI_URL"
NO_LOKI = "say where Loki is: --loki-url URL, or OPENAI_SAFETY_LOKI_URL"
COMMANDS = {"queue": ["queue"], "investigate": ["investigate", ANN], "report": ["report"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", "k" * 40)
    return tmp_path


def run(*arguments: str, **environ: str) -> Result:
    names = {f"OPENAI_SAFETY_{name.upper()}": value for name, value in environ.items()}
    return CliRunner().invoke(app, [*arguments, "--json"], env=names)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_where_only_loki_is_configured_loki_is_the_source(command: list[str]) -> None:
    """On a stack whose events are in Loki the commands work as the runbook prints them."""
    with loki.serving(EVENTS) as store:
        found = run(*command, loki_url=store.url)
        typed = run(*command, "--loki-url", store.url)
    assert (found.exit_code, typed.exit_code) == (0, 0), found.stderr + typed.stderr
    assert ANN in found.stdout
    assert ANN in typed.stdout


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_where_files_are_configured_too_files_are_the_source(here: Path, command: list[str]) -> None:
    """Files win over a Loki that is configured beside them, and what is typed wins over both."""
    write(here / "events", [blocked(ANN, NOW, "cyber_policy")])
    with loki.serving(EVENTS) as store:
        found = run(*command, loki_url=store.url, file_dir=str(here / "events"))
        assert (found.exit_code, store.queries) == (0, []), found.stderr
        run(*command, "--source", "loki", loki_url=store.url, file_dir=str(here / "events"))
        assert store.queries


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("options", "said"), [([], NOWHERE), (["--source", "loki"], NO_LOKI)])
def test_where_nothing_is_configured_both_ways_are_named(
    command: list[str], options: list[str], said: str
) -> None:
    """One line says what to give."""
    found = run(*command, *options)
    assert (found.exit_code, found.stderr.splitlines()[-1]) == (1, f"Error: {said}")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_page_to_sign_in_is_not_taken_for_no_events(command: list[str]) -> None:
    """A proxy answers for Loki with 200 and a page: an error in one line, and nothing that says "none"."""
    with loki.serving(EVENTS) as proxy:
        proxy.page = b"<html>Sign in"
        found = run(*command, loki_url=proxy.url)
    assert (found.exit_code, found.stdout) == (1, "")
    said = f"Error: {proxy.url} does not answer as Loki does: <html>Sign in"
    assert found.stderr.splitlines()[-1] == said


def test_the_queue_asks_for_notable_events_only() -> None:
    """Completed calls are most of all events, and never wait for a decision: Loki does not send them."""
    with loki.serving(EVENTS) as store:
        found = run("queue", loki_url=store.url)
    waiting: list[Any] = [json.loads(line) for line in found.stdout.splitlines()]
    assert [(one["identifier"], one["enforcement_blocks"], one["flagged"]) for one in waiting] == [
        (ANN, 2, 0),
        (EVE, 0, 1),
    ]
    assert store.given == 3
