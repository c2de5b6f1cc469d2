"""The runbook's commands, as they are printed, on files and on a Loki where only Loki is configured."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.who.identifier import Hasher
from support import loki
from support.events import BOB, blocked, call, flagged, notice, write
from support.runbook import commands

KEY = "k" * 40
IDENTIFIER = Hasher(KEY.encode()).end_user("u42")
# What the reader puts in; everything else is run as it stands.
FILLED_IN = {"IDENT": IDENTIFIER, "YOU": "ann", "postgresql://host/app": "sqlite:///app.db"}
# Those look at a service's environment and at a running receiver: `stack_up/` has both.
ELSEWHERE = {"doctor", "webhooks"}


@pytest.fixture(params=["files", "loki"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A product with an open case about one user, its events in files or in Loki alone."""
    now = time.time() - 600
    events = [
        *(call(IDENTIFIER, now - 100 - number) for number in range(20)),
        *(blocked(IDENTIFIER, now - number, "cyber_policy") for number in range(3)),
        blocked(IDENTIFIER, now + 1, "identifier_blocked", BLOCK_CERTAINTY="code"),
        flagged(BOB, now, "illicit", 0.7),
        notice("warning", now + 2),
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", KEY)
    monkeypatch.setenv("OPENAI_SAFETY_SUSPENSIONS", str(tmp_path / "suspensions.json"))
    Path("users.txt").write_text("u1\nu42\n")
    with sqlite3.connect("app.db") as database:
        database.execute("CREATE TABLE users (id TEXT)")
        database.executemany("INSERT INTO users VALUES (?)", [("u1",), ("u42",)])
    database.close()
    assert run("suspensions", "init").exit_code == 0
    assert run("notice", "open", "C-17").exit_code == 0
    with loki.serving(events) as store:
        if request.param == "files":
            write(tmp_path / "events", events)
            monkeypatch.setenv("OPENAI_SAFETY_FILE_DIR", str(tmp_path / "events"))
        else:
            monkeypatch.setenv("OPENAI_SAFETY_LOKI_URL", store.url)
        yield tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_the_four_steps_are_among_the_commands() -> None:
    """The parser finds the commands: an empty list would pass everything below."""
    verbs = [" ".join(command[:2]) if command[0] == "notice" else command[0] for command in commands()]
    assert verbs[:5] == ["whois", "whois", "investigate", "decide", "notice close"]
    assert {"queue", "notice list"} <= set(verbs)


def test_every_command_works_as_printed(place: Path) -> None:
    """Line by line, in the order of the page: each ends well, and the four steps say what they must."""
    said = {}
    for command in commands():
        if command[0] in ELSEWHERE:
            continue
        filled = [FILLED_IN.get(word, word) for word in command]
        found = run(*filled)
        assert found.exit_code == 0, (command, found.output)
        said[command[0]] = found.output
    assert said["whois"].startswith("u42\n")
    assert "identifier_blocked" in said["investigate"]
    assert f"{IDENTIFIER} suspended" in said["decide"]
    assert (place / "case.zip").exists()
