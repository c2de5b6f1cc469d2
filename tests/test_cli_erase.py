from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.ledger.journal import Decision, JournalError, Notice, open_journal
from openai_safety_otel.ledger.suspensions import ListEntry
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.who.identifier import Hasher
from support.events import ANN, BOB, DAY, EVE, batch, call, decision, event, lines, write
from support.lists import new_list

NOW = float(int(time.time()))
KEY = "k" * 40
SESSION = "5" * 64
SHARED = "6" * 64
AUDIT = ("--by", "ann", "--why", "request 81")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", KEY)
    (tmp_path / "events").mkdir()
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["erase", *arguments, *AUDIT])


def left(here: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((here / "events").glob("*.jsonl")))


def test_records_go_and_everything_else_stays(here: Path) -> None:
    """Each record about them becomes blank, in lines of one and of many, and no other byte changes."""
    mine = [
        call(ANN, NOW - 9),
        event(c.EVIDENCE_EVENT, NOW - 8, {c.USER_HASH: ANN, c.EVIDENCE_INPUT: "secret"}),
    ]
    about = event(c.USER_REPORT_EVENT, NOW - 7, {c.USER_HASH: BOB, c.REPORTED_HASH: ANN})
    others = [call(BOB, NOW - 6), call(EVE, NOW - 5, IDENTIFIER_LINKED=SHARED)]
    one, other = lines([mine[0]]), lines([others[0]])
    path = here / "events" / "a.jsonl"
    path.write_bytes(other + one + batch([*mine, about, *others]) + other[:100])
    size = path.stat().st_size
    found = run(ANN, "--files", "events", "--yes")
    assert (found.exit_code, found.stdout.splitlines()[0]) == (0, "4 records in 1 file erased")
    after = path.read_bytes()
    assert (len(after), ANN.encode() in after, b"secret" in after) == (size, False, False)
    assert after.startswith(other + b" " * (len(one) - 1) + b"\n")
    assert after.endswith(other[:100])
    with open_files([path], compact=False) as events:
        kept = events.rows("SELECT user_hash AS who FROM events ORDER BY 1")
        assert kept == [{"who": BOB}, {"who": EVE}]
        assert events.skipped.broken_lines == 0


def span(who: str, name: str = "chat gpt-5", **spacing: str) -> dict[str, object]:
    attributes = [{"key": c.USER_HASH, "value": {"stringValue": who}}]
    return {"traceId": "1" * 32, "spanId": "2" * 16, "name": name, "attributes": attributes}


def test_spans_of_others_and_metrics_stay_byte_equal(here: Path) -> None:
    """Spans about them go; others', whole metrics files and lines that merely hold the text do not change."""
    spans = [span(BOB, ANN), span(ANN), span(EVE), span(ANN)]
    line = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "x"}, "spans": spans}]}]}
    traces, metrics = here / "events" / "traces.jsonl", here / "events" / "metrics.jsonl"
    spaced = json.dumps(line, indent=1).replace("\n", " ").encode() + b"\n"
    traces.write_bytes(spaced)
    text = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": ANN}]}]}]})
    metrics.write_text(text + "\n" + json.dumps({"other": ANN}) + "\n")
    before = metrics.read_bytes()
    found = run(ANN, "--files", "events", "--yes", "--force", "--json")
    assert (found.exit_code, json.loads(found.stdout)["kinds"]) == (0, {"span": 2})
    assert metrics.read_bytes() == before
    after = traces.read_bytes()
    assert len(after) == len(spaced)
    left = json.loads(after)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert left == [span(BOB, ANN), span(EVE)]
    for one in left:
        raw = json.dumps(one, indent=1).replace("\n", " ").split()
        assert b" ".join(part.encode() for part in raw) in b" ".join(after.split())


@pytest.mark.parametrize("where", [0, 1, 2, 3])
@pytest.mark.parametrize("many", [1, 2, 4])
def test_records_go_wherever_they_stand_in_a_line(here: Path, where: int, many: int) -> None:
    """First, last, several in a row: the rest of the line stays JSON and byte-equal."""
    calls = [call(BOB if number % 2 else EVE, NOW - number) for number in range(4)]
    mine = [call(ANN, NOW - 50 - number) for number in range(many)]
    path = here / "events" / "a.jsonl"
    path.write_bytes(batch([*calls[:where], *mine, *calls[where:]]))
    assert run(ANN, "--files", "events", "--yes").exit_code == 0
    after = path.read_bytes()
    assert len(json.loads(after)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]) == 4
    assert ANN.encode() not in after
    for one in calls:
        (record,) = json.loads(batch([one]))["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        assert json.dumps(record).encode() in after


@pytest.mark.parametrize("typed", [ANN, ANN.upper(), f"{ANN[:12]}…", ANN[:12]])
def test_the_person_meant_is_erased(here: Path, typed: str) -> None:
    """Every form means the same one person; nobody else's record goes."""
    write(here / "events", [call(ANN, NOW), call(BOB, NOW)])
    found = run(typed, "--files", "events", "--yes", "--json")
    assert (found.exit_code, json.loads(found.stdout)["identifiers"]) == (0, [ANN])
    assert (ANN.encode() in left(here), BOB.encode() in left(here)) == (False, True)


@pytest.mark.parametrize(
    "words", [("gpt",), ("a",), ("f" * 64,), ("f" * 64, "--force"), ("--user", "nobody")]
)
def test_nothing_found_is_an_error_and_no_erasure(here: Path, words: tuple[str, ...]) -> None:
    """A text that is no identifier, a short beginning, somebody unknown: exit 1, no byte, no audit line."""
    path = write(here / "events", [call(ANN, NOW), call(BOB, NOW)])
    before = path.read_bytes()
    found = run(*words, "--files", "events", "--yes")
    assert (found.exit_code, found.stdout, path.read_bytes()) == (1, "", before)
    assert not (here / "openai-safety.db").exists()


def test_a_broken_line_that_names_them_is_said(here: Path) -> None:
    """What cannot be read may be anybody's: it stays, and exit code 2 and a line say where."""
    path = here / "events" / "a.jsonl"
    broken = lines([call(ANN, NOW)])[20:]
    path.write_bytes(broken + lines([call(ANN, NOW)]))
    found = run(ANN, "--files", "events", "--yes")
    assert (found.exit_code, path.read_bytes()[: len(broken)]) == (2, broken)
    assert "NOT reached: events/a.jsonl: the line at byte 0 cannot be read" in found.stderr


def test_a_process_may_go_on_writing(here: Path) -> None:
    """A writer that has the file open appends after the erasure as if nothing had happened."""
    path = here / "events" / "live.jsonl"
    writer = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(writer, lines([call(ANN, NOW - 9), call(BOB, NOW - 8)]))
    assert run(ANN, "--files", "events", "--yes").exit_code == 0
    os.write(writer, lines([call(BOB, NOW - 7)]))
    os.close(writer)
    with open_files([path], compact=False) as events:
        assert events.rows("SELECT user_hash AS who FROM events") == [{"who": BOB}, {"who": BOB}]


def test_a_line_half_written_is_said(here: Path) -> None:
    """A last line without its newline is not touched, and exit code 2 and a line say so."""
    path = here / "events" / "a.jsonl"
    path.write_bytes(lines([call(BOB, NOW)]) + lines([call(ANN, NOW)])[:-1])
    found = run(ANN, "--files", "events", "--yes")
    assert found.exit_code == 2
    assert "NOT reached: events/a.jsonl: the last line is still being written; run this again" in found.stderr


def test_a_user_is_erased_under_every_key_with_his_own_sessions(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--user covers retired keys and sessions that were theirs alone; a shared session stays and is named."""
    (here / "old.key").write_text("o" * 40)
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_RETIRED_KEY_FILES", "old.key")
    now, old = Hasher(KEY.encode(), (b"o" * 40,)).every("user", "u42")
    write(
        here / "events",
        [
            call(now, NOW - 9, IDENTIFIER_LINKED=SESSION),
            call(now, NOW - 8, IDENTIFIER_LINKED=SHARED),
            call(BOB, NOW - 7, IDENTIFIER_LINKED=SHARED),
            call(old, NOW - 6),
            call(SESSION, NOW - 5),
            call(SHARED, NOW - 4),
        ],
    )
    found = run("--user", "u42", "--files", "events", "--yes", "--json")
    result = json.loads(found.stdout)
    assert (result["identifiers"], result["records"]) == ([now, old, SESSION], 4)
    assert result["unreached"] == [f"session {SHARED}: others used it too"]
    with open_files([here / "events"], compact=False) as events:
        assert events.rows("SELECT user_hash AS who FROM events ORDER BY 1") == [
            {"who": SHARED},
            {"who": BOB},
        ]


def test_a_suspension_stays_by_identifier_only(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list keeps them out without the operator's words; the journal keeps the decision, not the reason."""
    monkeypatch.setenv("OPENAI_SAFETY_SUSPENSIONS", str(here / "list.json"))
    source = new_list(str(here / "list.json"))
    source.write({ANN: ListEntry("revoke", None, "ann", "they wrote to me", NOW - 50)})
    journal = open_journal("openai-safety.db")
    journal.append_decision(Decision(identifier=ANN, action="revoke", by="ann", why="they wrote to me"))
    journal.add_notice(
        Notice(key="k", id="C-1", type="warning", received_at=1, recorded_at=1, identifier=ANN)
    )
    write(here / "events", [call(ANN, NOW - 9), decision(ANN, "revoke", NOW - 8)])
    found = run(ANN, "--files", "events", "--yes")
    assert found.exit_code == 0
    assert f"kept: revoke of {ANN}" in found.stdout
    assert source.look_up([ANN]) == {ANN: ListEntry("revoke", None, at=NOW - 50)}
    assert [(one.action, one.why) for one in journal.decisions(ANN)] == [
        ("erase", "request 81"),
        ("revoke", "erased"),
    ]
    assert [notice.identifier for notice in journal.notices()] == [None]
    journal.close()
    assert b"they wrote" not in left(here)


def test_a_second_erasure_finds_nothing_and_leaves_the_first_on_record(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, and nothing changes: who erased them, and the suspension that was kept bare, stay."""
    monkeypatch.setenv("OPENAI_SAFETY_FILE_DIR", str(here / "events"))
    monkeypatch.setenv("OPENAI_SAFETY_SUSPENSIONS", str(here / "list.json"))
    new_list(str(here / "list.json")).write({ANN: ListEntry("suspend", None, "ann", "they wrote", NOW - 50)})
    with closing(open_journal("openai-safety.db")) as journal:
        journal.append_decision(Decision(identifier=ANN, action="suspend", by="ann", why="they wrote"))
        write(here / "events", [call(ANN, NOW - 9)])
        assert run(ANN, "--files", "events", "--yes").exit_code == 0
        before, chain = left(here), journal.links()
        assert b"openai_safety.decision" in before
        again = run(ANN, "--files", "events", "--yes")
        day = time.strftime("%Y-%m-%d", time.gmtime(journal.decisions(ANN)[-1].at))
        assert (again.exit_code, again.stdout) == (1, "")
        assert again.stderr == (
            f"Error: nothing is stored about {ANN} where this command looked; nothing was done "
            f"(erased {day} by ann: request 81)\n"
        )
        assert (left(here), journal.links()) == (before, chain)
        write(here / "events", [call(ANN, NOW)], "later.jsonl")
        assert run(ANN, "--files", "events", "--yes").exit_code == 0
        assert [one.action for one in journal.decisions(ANN)] == ["erase", "suspend", "erase"]


def test_what_would_go_from_the_journal_is_what_goes(here: Path) -> None:
    """A dry run counts the journal's entries as the erasure then does, closings of notices too."""
    with closing(open_journal("openai-safety.db")) as journal:
        for action in ("watch", "suspend", "clear"):
            journal.append_decision(Decision(identifier=ANN, action=action, by="ann", why="x"))
        journal.add_notice(
            Notice(key="k", id="C-1", type="warning", received_at=1, recorded_at=1, identifier=ANN)
        )
        journal.close_notice("k", by="ann", why="they wrote", at=5)
    write(here / "events", [call(BOB, NOW)])
    counted = [
        json.loads(run(ANN, "--files", "events", "--json", how).stdout)["journal"]
        for how in ("--dry-run", "--yes")
    ]
    assert counted == [5, 5]


def test_case_files_about_him_go(here: Path) -> None:
    """Case files are found by what is in them; other zips and other people's stay."""
    write(here / "events", [call(ANN, NOW - DAY), call(BOB, NOW - DAY)])
    for name, who in (("x.zip", ANN), ("y.zip", BOB)):
        arguments = ["investigate", who, "--files", "events", "--out", name]
        assert CliRunner().invoke(app, arguments).exit_code == 0
    (here / "z.zip").write_bytes(b"PK not a zip")
    found = run(ANN, "--files", "events", "--yes")
    assert "case file x.zip erased" in found.stdout
    assert sorted(path.name for path in here.glob("*.zip")) == ["y.zip", "z.zip"]


def test_a_dry_run_changes_nothing(here: Path) -> None:
    """--dry-run counts, and leaves every byte, no journal and no copy."""
    path = write(here / "events", [call(ANN, NOW - DAY), call(BOB, NOW - DAY)])
    before = path.read_bytes()
    found = run(ANN, "--files", "events", "--dry-run")
    assert (found.exit_code, found.stdout) == (
        0,
        "1 record in 1 file would be erased\n  1 openai_safety.call\n0 entries of the journal would be changed\n",
    )
    assert path.read_bytes() == before
    assert sorted(one.name for one in here.iterdir()) == ["events"]
    assert sorted(one.name for one in (here / "events").iterdir()) == ["events.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ANN, "--files", "events"), "this cannot be undone: add --yes"),
        (("--files", "events", "--yes"), "give either IDENTIFIER or --user"),
        ((ANN, "--yes"), "say where the events are"),
        ((ANN, "--files", "nowhere", "--yes"), "nowhere: no such file"),
    ],
)
def test_mistakes_erase_nothing(here: Path, arguments: tuple[str, ...], message: str) -> None:
    """A call that is not clear ends in one line before anything is touched."""
    path = write(here / "events", [call(ANN, NOW)])
    before = path.read_bytes()
    found = run(*arguments)
    assert found.exit_code in (1, 2)
    assert message in found.stderr
    assert path.read_bytes() == before


def test_loki_that_cannot_be_reached_is_said(here: Path) -> None:
    """An unreachable Loki is named with exit code 2, after the files were done."""
    write(here / "events", [call(ANN, NOW)])
    found = run(ANN, "--files", "events", "--loki-url", "http://127.0.0.1:9", "--yes")
    assert (found.exit_code, ANN.encode() in left(here)) == (2, False)
    assert "NOT reached: Loki" in found.stderr


@pytest.mark.parametrize("dry", [False, True])
def test_an_unread_list_is_not_said_to_hold_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, dry: bool
) -> None:
    """Where the suspension list cannot be read, nobody knows that nothing is stored: it is named, and 2 is the end."""
    monkeypatch.setenv("OPENAI_SAFETY_SUSPENSIONS", str(here / "list.json"))
    (here / "list.json").write_text("<html>")
    found = run(EVE, "--files", "events", "--force", "--dry-run" if dry else "--yes")
    assert (found.exit_code, "nothing is stored" in found.output) == (0 if dry else 2, False)
    named = [line for line in found.stderr.splitlines() if line.startswith("NOT reached")]
    assert named == [f"NOT reached: the suspension list: {here}/list.json: not JSON (JSONDecodeError)"]


@pytest.mark.parametrize("dry", [False, True])
def test_a_dead_loki_is_named_before_and_after(here: Path, dry: bool) -> None:
    """Looking first must not promise that all is reached: Loki is named in a dry run, too."""
    write(here / "events", [call(ANN, NOW - 9)])
    found = run(ANN, "--files", "events", "--loki-url", "http://127.0.0.1:9", "--dry-run" if dry else "--yes")
    assert found.exit_code == (0 if dry else 2), found.output
    named = [line.split(": ")[1] for line in found.stderr.splitlines() if line.startswith("NOT reached")]
    assert named == ["sessions linked in Loki", "Loki"]


def test_sessions_that_only_loki_knows_are_said_to_be_left(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loki takes deletions but answers no question: whose sessions it would name, nobody knows; 2 is the end."""
    write(here / "events", [call(ANN, NOW - 9)])
    monkeypatch.setattr("openai_safety_otel.operations.cli.erase.delete_from_loki", lambda *_: 3)
    found = run(ANN, "--files", "events", "--loki-url", "http://127.0.0.1:9", "--yes")
    named = [line.split(": ")[1] for line in found.stderr.splitlines() if line.startswith("NOT reached")]
    assert (found.exit_code, named) == (2, ["sessions linked in Loki"])


JOURNAL = "openai_safety_otel.ledger.journal.sqlite_journal.SqliteJournal"
FULL = "store.db: database or disk is full"


def full(*_: object) -> NoReturn:
    raise JournalError(FULL)


def test_what_cannot_be_audited_is_not_erased(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full: no record goes before it stands who erased it, and why."""
    monkeypatch.setattr(f"{JOURNAL}.append_decision", full)
    write(here / "events", [call(ANN, NOW - 9)])
    before = left(here)
    found = run(ANN, "--files", "events", "--yes")
    assert (found.exit_code, found.stdout, left(here) == before) == (1, "", True)
    said = f"Error: the audit trail cannot be written, so nothing was done: {FULL}"
    assert found.stderr.splitlines()[-1] == said


def test_a_journal_that_fails_after_the_events_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events are gone, what the journal says of them is not: said with all that was done, and 2 is the end."""
    monkeypatch.setattr(f"{JOURNAL}.erase", full)
    write(here / "events", [call(ANN, NOW - 9)])
    found = run(ANN, "--files", "events", "--yes")
    assert (found.exit_code, found.stdout.splitlines()[0]) == (2, "1 record in 1 file erased")
    assert f"NOT reached: the journal: {FULL}" in found.stderr.splitlines()
