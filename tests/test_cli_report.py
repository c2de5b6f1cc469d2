from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.ledger.journal import Notice, open_journal
from openai_safety_otel.operations.cli.group import app
from support.events import ANN, BOB, blocked, call, flagged, write

NOW = 1_790_683_200.0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "events",
        [flagged(ANN, NOW - 60, "hate", 0.75), blocked(ANN, NOW - 30, "cyber_policy"), call(BOB, NOW - 10)],
    )
    return tmp_path


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        app,
        ["report", "--until", "2026-09-29T12:00:00Z", "--since", "2026-09-22", *arguments],
        env=environment,
    )


def test_the_table_goes_to_stdout_and_messages_to_stderr(here: Path) -> None:
    """Data and messages do not mix: the table on one stream, what was read past on the other."""
    with (here / "events" / "events.jsonl").open("ab") as file:
        file.write(b"broken\n")
    found = run("--files", "events")
    assert found.exit_code == 0
    assert "enforcement blocks on 1 of the last 7 days" in found.stdout
    assert "Sorted by risk" in found.stdout
    assert found.stderr == "read past 1 broken line; the rest was read\n"


def test_where_the_events_are_comes_from_the_settings(here: Path) -> None:
    """Without --files the event folder of the settings is read; without either, one line says what to do."""
    found = run("--json", OPENAI_SAFETY_FILE_DIR=str(here / "events"))
    assert json.loads(found.stdout)["totals"]["calls"] == 3
    nothing = run()
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert nothing.stderr == (
        "Error: say where the events are: --files DIR or OPENAI_SAFETY_FILE_DIR, "
        "--loki-url URL or OPENAI_SAFETY_LOKI_URL\n"
    )


@pytest.mark.parametrize("form", ["table", "json", "csv", "html", "parquet"])
def test_every_format_can_be_written_to_a_file(here: Path, form: str) -> None:
    """--out writes the file and leaves standard output empty."""
    found = run("--files", "events", "--format", form, "--out", f"out.{form}")
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", f"wrote out.{form}\n")
    assert (here / f"out.{form}").stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--files", "nowhere"], 1, "nowhere: no such file or folder"),
        (["--files", "events", "--since", "yesterday"], 2, "'yesterday' is neither a span"),
        (["--files", "events", "--since", "2026-10-01"], 2, "--since is after --until"),
        (["--files", "events", "--format", "parquet"], 2, "parquet needs --out FILE"),
        (["--source", "loki"], 1, "say where Loki is"),
        (["--source", "loki", "--loki-url", "ftp://x"], 1, "Loki's URL must be"),
        (["--files", "events", "--out", "no/such/folder"], 1, "No such file"),
    ],
)
def test_mistakes_are_one_clear_line(here: Path, arguments: list[str], code: int, message: str) -> None:
    """A wrong option ends with its exit code and one line, never with a traceback."""
    found = run(*arguments)
    assert found.exit_code == code
    assert message in found.stderr
    assert "Traceback" not in found.stderr


def test_notices_of_the_journal_move_the_ladder(here: Path) -> None:
    """A warning entered into the journal is in the report though no event of it is."""
    journal = open_journal(str(here / "j.db"))
    journal.add_notice(
        Notice(
            key="warning:C-1",
            id="C-1",
            type="warning",
            subject="organization",
            received_at=int(NOW) - 90_000,
            recorded_at=0,
        )
    )
    journal.close()
    found = run("--files", "events", "--json", OPENAI_SAFETY_STORE=str(here / "j.db"))
    assert json.loads(found.stdout)["organisation"]["text"] == "day 2 of 7, until 2026-10-05 11:00 UTC"


def test_reading_makes_no_journal(here: Path) -> None:
    """A report leaves no journal behind where there was none."""
    assert run("--files", "events").exit_code == 0
    assert sorted(path.name for path in here.iterdir()) == ["events"]


def test_help_has_examples(here: Path) -> None:
    """--help shows how the command is used."""
    found = CliRunner().invoke(app, ["report", "--help"])
    assert "openai-safety report --format html --out safety.html" in found.stdout
