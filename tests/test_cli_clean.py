"""No command lets text that somebody entered, or a provider sent, move a cursor, name a window or hide itself."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.ledger.journal import Decision, Notice, notice_key, open_journal
from openai_safety_otel.ledger.suspensions import ListEntry
from openai_safety_otel.operations.cli import VERBS
from openai_safety_otel.operations.cli import __file__ as cli
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.who.identifier import Hasher
from support.events import ANN, blocked, call, flagged, notice, write
from support.lists import new_list
from support.terminal import on_terminal

NOW = float(int(time.time()))
KEY = "k" * 40
# A window's title by ESC and by its one-byte form, a bell, a colour by CSI, and text that runs backwards.
EVIL = "x\x1b]0;owned\x07\x9d0;o\x9c\x9b31m\u202ey"
FORBIDDEN = ("\x1b]", "\x07", "\x9b", "\x9c", "\x9d", "\u202e")
SIGNED = ("--by", f"by{EVIL}", "--why", f"why{EVIL}")

COMMANDS = {
    "report": ("report",),
    "report by model": ("report", "--by", "model"),
    "whois, nobody": ("whois", f"z{EVIL}", "--candidates", "users", *SIGNED),
    "whois, found": ("whois", ANN, "--candidates", "users", "--json", *SIGNED),
    "investigate": ("investigate", ANN),
    "investigate, its own scheme": ("investigate", EVIL),
    "investigate, nobody": ("investigate", f"z{EVIL}"),
    "decide": ("decide", ANN, "--action", "suspend", *SIGNED),
    "decide, its own scheme": ("decide", EVIL, "--action", "watch", *SIGNED),
    "decide, forced": ("decide", f"z{EVIL}", "--action", "watch", "--force", *SIGNED),
    "decide until": ("decide", ANN, "--action", "suspend", "--until", EVIL, *SIGNED),
    "suspend, nobody": ("suspend", f"z{EVIL}", *SIGNED),
    "decisions": ("decisions",),
    "decisions, one": ("decisions", EVIL),
    "decisions as JSON": ("decisions", "--json"),
    "suspensions": ("suspensions", "init"),
    "queue": ("queue",),
    "queue as JSON": ("queue", "--json"),
    "notices": ("notice", "list", "--all"),
    "notice": ("notice", "open", EVIL),
    "notice about": ("notice", "open", "C-9", "--identifier", EVIL),
    "no notice": ("notice", "close", EVIL, *SIGNED),
    "notice subject": ("notice", "subject", "C-2", EVIL, "--force", *SIGNED),
    "notice closed": ("notice", "close", "C-2", *SIGNED),
    "no such batch": ("batch", "results", EVIL),
    "erase": ("erase", EVIL, "--files", "events", "--yes", *SIGNED),
    "erase, nothing": ("erase", f"z{EVIL}", "--files", "events", "--force", "--yes", *SIGNED),
    "erase a user": ("erase", "--user", EVIL, "--files", "events", "--dry-run", *SIGNED),
    "erase nowhere": ("erase", ANN, "--files", EVIL, "--yes", *SIGNED),
    "reconcile, no such file": ("reconcile", "--keys", EVIL, *SIGNED),
    "reconcile, no key": ("reconcile", "--since", EVIL, *SIGNED),
    "compact nowhere": ("compact", "--files", EVIL),
    "doctor": ("doctor",),
    "no verb": (EVIL,),
}
# They print nothing that is stored: an address they listen on, a hash, what the demo made up.
PRINT_NOTHING_STORED = {"demo", "identifier", "provider", "webhooks"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which everything that holds text holds hostile text."""
    monkeypatch.chdir(tmp_path)
    for name, value in surroundings().items():
        monkeypatch.setenv(f"OPENAI_SAFETY_{name}", value)
    hashed = Hasher(KEY.encode()).end_user(EVIL)
    write(
        tmp_path / "events",
        [
            call(EVIL, NOW - 500, REQUEST_MODEL=EVIL, API_KEY_ID=EVIL),
            blocked(EVIL, NOW - 400, "identifier_blocked", BLOCK_CODE=EVIL, REQUEST_MODEL=EVIL),
            flagged(ANN, NOW - 300, "hate", 0.9, REQUEST_MODEL=EVIL, RESPONSE_ID=EVIL, API_KEY_ID=EVIL),
            blocked(hashed, NOW - 200, "cyber_policy", IDENTIFIER_LINKED=EVIL),
            notice("warning", NOW - 100, EVIL, USER_HASH=EVIL),
        ],
    )
    (tmp_path / "users").write_bytes(f"bob\n{EVIL}\n".encode())
    new_list("list.json", {EVIL: ListEntry("suspend", None, EVIL, EVIL, NOW)})
    journal = open_journal("journal.db")
    journal.append_decision(Decision(identifier=EVIL, action="watch", by=EVIL, why=EVIL, at=NOW - 450))
    known = Notice(
        key=notice_key("warning", "C-2"),
        id="C-2",
        type="warning",
        origin="manual",
        received_at=int(NOW),
        recorded_at=int(NOW),
        subject="unknown",
        reason=EVIL,
        look_up_error=EVIL,
    )
    journal.add_notice(known)
    journal.add_notice(replace(known, key=notice_key("warning", "C-3"), id=EVIL, identifier=EVIL))
    journal.close()
    return tmp_path


def surroundings() -> dict[str, str]:
    return {
        "HMAC_KEY": KEY,
        "FILE_DIR": "events",
        "STORE": "journal.db",
        "SUSPENSIONS": "list.json",
        "USER_RESOLVER": EVIL,
    }


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_what_is_printed_is_clean(words: tuple[str, ...], here: Path) -> None:
    """Whatever the command prints, on both outputs and also where it refuses, holds no such sequence."""
    done = CliRunner().invoke(app, list(words), color=True)
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert done.output
    assert [bad for bad in FORBIDDEN if bad in done.output] == []


def test_every_verb_is_tried() -> None:
    """A new verb is added to the table above, or to those that print nothing stored."""
    assert set(VERBS) == {words[0] for words in COMMANDS.values() if words[0] != EVIL} | PRINT_NOTHING_STORED


def test_one_place_prints() -> None:
    """No command prints by itself: all lines go through the functions that clean them."""
    found = [
        path.name
        for path in Path(cli).parent.glob("*.py")
        if path.name != "output.py"
        for way in ("click.echo(", "click.secho(", "sys.stdout.write", "print(")
        if f" {way}" in path.read_text(encoding="utf-8").replace("console.print(", "")
    ]
    assert found == []


DATA = {
    "report": ("report", "--format", "csv"),
    "report as JSON": ("report", "--json"),
    "investigate": ("investigate", ANN, "--json"),
    "whois": ("whois", Hasher(KEY.encode()).end_user(EVIL), "--candidates", "users", *SIGNED),
}


@pytest.mark.parametrize("words", DATA.values(), ids=DATA)
def test_data_is_exact_in_a_pipe_and_clean_on_a_terminal(words: tuple[str, ...], here: Path) -> None:
    """A program reads what is stored, character by character; a terminal gets marks instead."""
    environment = environment_of_child(
        ("OPENAI_SAFETY_",),
        TERM="dumb",
        PYTHONUTF8="1",
        **{f"OPENAI_SAFETY_{name}": value for name, value in surroundings().items()},
    )
    command = [sys.executable, "-c", "from openai_safety_otel.operations.cli import main; main()", *words]
    piped = subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode()
    assert "\u202e" in piped
    assert "\x9b" in piped
    shown = on_terminal(command, environment)
    assert [bad for bad in FORBIDDEN if bad in shown] == []
    assert "�" in shown
