"""What commands say of a store that nobody has written, or that cannot be looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.ledger.journal import JournalError, is_written, open_journal
from openai_safety_otel.operations.cli.group import app
from support.events import ANN, blocked, write


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "another-folder.db"
    monkeypatch.setenv("OPENAI_SAFETY_STORE", str(place))
    monkeypatch.setenv("OPENAI_SAFETY_FILE_DIR", str(tmp_path / "events"))
    (tmp_path / "events").mkdir()
    write(tmp_path / "events", [blocked(ANN, 1_800_000_000.0, "cyber_policy")])
    return place


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.mark.parametrize(
    "command",
    [["notice", "list"], ["notice", "list", "--all", "--json"], ["decisions"], ["queue"]],
    ids=" ".join,
)
def test_no_store_is_not_told_as_no_notices(store: Path, command: list[str]) -> None:
    """A command given in the wrong folder says that there is no store, each time: it makes none."""
    for _ in range(2):
        found = run(*command)
        note = f"note: there is no store at {store}: no notice and no decision was ever written there"
        assert (found.exit_code, found.stderr.splitlines()[0], store.exists()) == (0, note, False)


def test_an_unknown_notice_is_told_apart_from_no_store(store: Path) -> None:
    """Where there is a store, what it lacks is the notice."""
    run("notice", "open", "C-1")
    found = run("notice", "close", "C-99", "--by", "ann", "--why", "answered")
    assert (found.exit_code, found.stderr.splitlines()[-1]) == (1, "Error: there is no notice C-99")


@pytest.mark.parametrize(
    "command", [["close", "C-1"], ["reopen", "C-1"], ["subject", "C-1", ANN]], ids=" ".join
)
def test_nothing_is_closed_where_there_is_no_store(store: Path, command: list[str]) -> None:
    """One line says what is wrong; no store is made."""
    found = run("notice", *command, "--by", "ann", "--why", "answered")
    said = f"Error: there is no store at {store}"
    assert (found.exit_code, found.stdout, found.stderr.splitlines()[-1]) == (1, "", said)
    assert not store.exists()


def test_a_store_that_cannot_be_looked_at_is_not_told_as_none(tmp_path: Path) -> None:
    """A folder that leads nowhere, or is forbidden: opening the store says why, instead of "nothing is stored"."""
    (tmp_path / "round").symlink_to("round")
    place = str(tmp_path / "round" / "store.db")
    assert is_written(place)
    with pytest.raises(JournalError, match="symbolic links"):
        open_journal(place)
    assert not is_written(str(tmp_path / "never.db"))
