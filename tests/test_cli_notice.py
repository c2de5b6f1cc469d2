"""`openai-safety notice`: what came by mail is one notice with its webhook, told once, closed by somebody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.ledger.journal import Decision, Journal, open_journal
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.who.identifier import Hasher
from support.event_files import records
from support.waiting import until

KEY = "k" * 32
DAY = 86_400
RECEIVED = 1_795_132_800  # 2026-11-20


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


@pytest.fixture
def journal(store: str) -> Any:
    opened = open_journal(store)
    yield opened
    opened.close()


def run(store: str, *arguments: str, **environ: str) -> Result:
    base = {"OPENAI_SAFETY_STORE": store, "OPENAI_SAFETY_HMAC_KEY": KEY, "OPENAI_SAFETY_FILE_DIR": ""}
    return CliRunner().invoke(app, ["notice", *arguments], env={**base, **environ})


def events(folder: Path) -> list[dict[str, Any]]:
    """Severity and attributes of the events in the OTLP files of a folder, once the first is written."""
    return until(lambda: records(folder), 10)


def test_entering_prints_stores_and_emits(store: str, journal: Journal, tmp_path: Path) -> None:
    """One command: the notice is in the store, printed, and sent as the event a webhook would have sent."""
    folder = tmp_path / "events"
    result = run(
        store, "open", "C-17", "--identifier", "ab" * 32, "--received", "2026-11-20", "--json",
        OPENAI_SAFETY_FILE_DIR=str(folder),
    )  # fmt: skip
    (stored,) = journal.notices()
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed == {
        "id": "C-17", "type": "warning", "origin": "manual", "traffic": "production", "status": "open",
        "received_at": RECEIVED, "recorded_at": stored.recorded_at, "deadline_at": None,
        "subject": "identifier", "subject_by": None, "identifier": "ab" * 32,
        "reason": None, "category": None, "model": None, "request_id": None,
        "response_id": None, "event_type": None, "closed_at": None, "closed_by": None, "closed_why": None,
        "look_up": "pending", "look_up_error": None, "emitted": True, "suspension": "off", "outgoing": "off",
        "new": True,
    }  # fmt: skip
    assert (stored.key, stored.emitted, stored.deadline_at) == ("warning:C-17", True, None)
    (event,) = events(folder)
    assert event == {
        "severity": "WARN",
        c.EVENT_NAME: "openai_safety.notice",
        c.NOTICE_TYPE: "warning",
        c.NOTICE_SUBJECT: "identifier",
        c.NOTICE_ID: "C-17",
        c.NOTICE_STATUS: "open",
        c.NOTICE_ORIGIN: "manual",
        c.NOTICE_RECEIVED: str(RECEIVED),
        c.USER_HASH: "ab" * 32,
        c.TRAFFIC: "production",
    }


def test_entering_twice_is_one_notice_told_again_where_it_says_more(
    store: str, journal: Journal, tmp_path: Path
) -> None:
    """A second entry of the same case adds what it states, and the alerts hear of it once."""
    folder = tmp_path / "events"
    run(store, "open", "C-17", "--received", "2026-11-20", OPENAI_SAFETY_FILE_DIR=str(folder))
    more = [
        "open",
        "C-17",
        "--identifier",
        "cd" * 32,
        "--received",
        "2026-11-20",
        "--deadline",
        "3d",
        "--json",
    ]
    second, _ = (run(store, *more, OPENAI_SAFETY_FILE_DIR=str(folder)) for _ in range(2))
    printed = json.loads(second.stdout)
    assert (printed["new"], printed["identifier"], printed["deadline_at"]) == (
        False,
        "cd" * 32,
        RECEIVED + 3 * DAY,
    )
    assert [one.identifier for one in journal.notices()] == ["cd" * 32]
    told = events(folder)  # each in a file of its own, in any order
    assert {(one.get(c.USER_HASH), one[c.NOTICE_DEADLINE]) for one in told} == {
        (None, str(RECEIVED + 7 * DAY)),
        ("cd" * 32, str(RECEIVED + 3 * DAY)),
    }
    assert len(told) == 2


def test_a_drill_cannot_take_the_id_of_a_real_case(store: str, journal: Journal) -> None:
    """A real notice of the same id would count as the drill, known already, and page nobody."""
    refused = run(store, "open", "C-17", "--drill")
    assert (refused.exit_code, journal.notices()) == (2, [])
    assert "a drill's id has the word drill in it, e.g. drill-C-17: no real case has it" in refused.output
    assert run(store, "open", "drill-C-17", "--drill").exit_code == 0
    assert [(one.id, one.traffic) for one in journal.notices()] == [("drill-C-17", "drill")]


def test_a_user_named_in_the_mail_is_hashed(store: str, journal: Journal) -> None:
    """An e-mail address given as the identifier is stored as its keyed hash only."""
    result = run(store, "open", "C-17", "--identifier", "anna@example.com")
    assert result.exit_code == 0
    assert [one.identifier for one in journal.notices()] == [
        Hasher(KEY.encode()).end_user("anna@example.com")
    ]
    assert "anna" not in result.output


def test_without_a_destination_it_says_so_and_leaves_the_event_to_a_receiver(
    store: str, journal: Journal
) -> None:
    """Nowhere to send the event: said in one line, and the notice stays to be emitted."""
    result = run(store, "open", "C-17")
    assert result.exit_code == 0
    assert result.stdout.startswith("C-17: warning, open, answer by ")
    assert result.stderr.startswith("note: events go nowhere")
    (stored,) = journal.notices()
    assert (stored.emitted, sorted(stored.pending)) == (False, ["count", "emit", "look_up"])


AWAY = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",  # nothing listens there
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}
LOST = "note: 1 event did not arrive: see whether the collector answers, or the folder can be written"


def test_an_event_that_no_collector_took_is_left_to_a_receiver(store: str, journal: Journal) -> None:
    """The collector is away: said in one line, and the notice stays to be emitted."""
    result = run(store, "open", "C-17", **AWAY)
    assert (0, f"{LOST}; a receiver on this store will send it\n") == (result.exit_code, result.stderr)
    (stored,) = journal.notices()
    assert (stored.emitted, sorted(stored.pending)) == (False, ["count", "emit", "look_up"])


def test_a_closing_that_no_collector_heard_says_so(store: str, journal: Journal) -> None:
    """The collector is away: alerts would go on, so one line says that the closing did not arrive."""
    run(store, "open", "C-17")
    result = run(store, "close", "C-17", "--by", "ann", "--why", "answered", **AWAY)
    assert (0, f"{LOST}\n") == (result.exit_code, result.stderr)
    assert ["closed"] == [notice.status for notice in journal.notices()]


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["open", "C-17", "--received", "2199-01-01"], {}, "--received is in the future"),
        (
            ["open", "C-17", "--received", "2026-11-20", "--deadline", "2026-11-19"],
            {},
            "--deadline is before",
        ),
        (["open", "C-17", "--received", "yesterday"], {}, "expected 2026-11-20 or"),
        (["open", "C-17", "--deadline", "0d"], {}, "48h or 7d after the receipt"),
        (["open", "C-17", "--deadline", "1960-01-01"], {}, "'1960-01-01' is before 1970"),
        (["open", "C-17", "--deadline", "9999-12-31T23:59-12:00"], {}, "expected 2026-11-20 or"),
        (["open", "C-17", "--deadline", "999999999w"], {}, "--deadline is over a year after"),
        (["open", "C-17", "--type", "nice"], {}, "'nice' is not one of"),
        (["open", "my mail from OpenAI"], {}, "expected a case id"),
        (
            ["open", "C-17", "--identifier", "a@b.example"],
            {"OPENAI_SAFETY_HMAC_KEY": ""},
            "no HMAC key is set",
        ),
        (["open", "C-17", "--store", "/nowhere/at/all.db"], {}, "/nowhere/at/all.db: "),
        (["close", "C-99", "--by", "ann", "--why", "x"], {}, "there is no store at "),
        (["close", "C-99", "--by", " ", "--why", "x"], {}, "this needs --by WHO and --why TEXT"),
        (["close", "C-99", "--why", "x"], {}, "Missing option '--by'"),
        (["list", "--store", "/nowhere/at/all.db"], {}, "/nowhere/at/all.db: No such file or directory"),
    ],
)
def test_mistakes_are_one_clear_line(
    store: str, arguments: list[str], environ: dict[str, str], message: str
) -> None:
    """A mistake ends with an exit code, one line on standard error, and nothing on standard output."""
    result = run(store, *arguments, **environ)
    assert result.exit_code in {1, 2}
    assert result.stdout == ""
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output


def test_list_shows_open_notices_and_all(store: str, journal: Journal) -> None:
    """Open ones by default, all on request, each as a line of JSON or a row."""
    for case in ("C-1", "C-2"):
        run(store, "open", case, "--received", "2026-11-20")
    run(store, "close", "C-1", "--by", "ann", "--why", "answered")
    journal.update_notice("warning:C-2", look_up_error="http_403")
    opened = [json.loads(line) for line in run(store, "list", "--json").stdout.splitlines()]
    every = [json.loads(line) for line in run(store, "list", "--all", "--json").stdout.splitlines()]
    assert [one["id"] for one in opened] == ["C-2"]
    assert [(one["id"], one["status"]) for one in every] == [("C-1", "closed"), ("C-2", "open")]
    table = run(store, "list")
    assert "C-2" in table.stdout
    assert "case not read: http_403" in table.stdout
    assert table.stderr == "1 open notice\n"


def test_closing_is_audited(store: str, journal: Journal, tmp_path: Path) -> None:
    """Closing ends the notice, leaves a decision and sends its event."""
    folder = tmp_path / "events"
    run(store, "open", "C-17", "--identifier", "ab" * 32)
    closing = ["close", "C-17", "--by", "ann", "--why", "answered", "--json"]
    first = run(store, *closing, OPENAI_SAFETY_FILE_DIR=str(folder))
    assert json.loads(first.stdout)["status"] == "closed"
    assert journal.notices(open_only=True) == []
    (decision,) = journal.decisions()
    assert decision == Decision(
        identifier="ab" * 32,
        action="close",
        by="ann",
        why="answered",
        at=decision.at,
        id=decision.id,
        details={"notice": "warning:C-17"},
    )
    (event,) = events(folder)
    assert event == {
        "severity": "INFO",
        c.EVENT_NAME: "openai_safety.decision",
        c.USER_HASH: "ab" * 32,
        c.DECISION_ACTION: "close",
        c.DECISION_BY: "ann",
        c.DECISION_WHY: "answered",
        c.DECISION_CHAIN: journal.links()[-1].digest,
        c.NOTICE_ID: "C-17",
        c.NOTICE_TYPE: "warning",
        c.NOTICE_SUBJECT: "identifier",
        c.NOTICE_STATUS: "closed",
        c.TRAFFIC: "production",
    }


@pytest.mark.parametrize("cut", ["event lost", "killed before the decision"])
def test_closing_again_tells_the_end_that_was_not_heard(
    store: str, journal: Journal, tmp_path: Path, cut: str
) -> None:
    """Where the first event went nowhere, alerts would page for two weeks: the same command ends them."""
    folder = tmp_path / "events"
    run(store, "open", "C-17")
    closing = ["close", "C-17", "--by", "ann", "--why", "answered"]
    if cut == "event lost":
        run(store, *closing)
    else:
        journal.close_notice("warning:C-17", by="ann", why="answered", at=RECEIVED)
    again = run(store, *closing[:3], "bob", "--why", "again", OPENAI_SAFETY_FILE_DIR=str(folder))
    (decision,) = journal.decisions()
    (event,) = events(folder)
    assert (again.exit_code, decision.by, decision.why) == (0, "ann", "answered")
    assert again.stdout.startswith("C-17: warning, closed by ann on ")
    assert again.stdout.endswith(" UTC; its end was reported once more\n")
    assert (event[c.NOTICE_STATUS], event[c.DECISION_BY]) == ("closed", "ann")
    assert event[c.DECISION_CHAIN] == journal.links()[-1].digest


def test_a_notice_closed_by_mistake_is_reopened(store: str, journal: Journal, tmp_path: Path) -> None:
    """Entering it again says that it is closed and how to take that back; reopening is told and audited."""
    folder = tmp_path / "events"
    run(store, "open", "C-17", "--received", "2026-11-20")
    run(store, "close", "C-17", "--by", "ann", "--why", "answered")
    entered = run(store, "open", "C-17", "--identifier", "ab" * 32)
    assert (entered.exit_code, journal.notices(open_only=True)) == (1, [])
    assert "openai-safety notice reopen C-17" in entered.stderr
    again = run(
        store, "reopen", "c-17", "--by", "bob", "--why", "the wrong one", OPENAI_SAFETY_FILE_DIR=str(folder)
    )
    (opened,) = journal.notices(open_only=True)
    assert (again.exit_code, again.stdout) == (0, "C-17: warning, open again\n")
    assert (opened.deadline_at, opened.closed_by) == (RECEIVED + 7 * DAY, None)
    assert [(one.action, one.by) for one in journal.decisions()] == [("close", "ann"), ("reopen", "bob")]
    told = [(one[c.EVENT_NAME], one[c.NOTICE_STATUS]) for one in events(folder)]
    assert told == [(c.DECISION_EVENT, "open"), (c.NOTICE_EVENT, "open")]
    twice = run(store, "reopen", "C-17", "--by", "bob", "--why", "x")
    assert (twice.exit_code, twice.stderr) == (1, "Error: C-17 is open already\n")


@pytest.mark.parametrize("word", ["organization", "organisation", "Organization"])
def test_the_organization_is_meant_in_either_spelling(store: str, journal: Journal, word: str) -> None:
    """Both spellings, in any case: neither is an end user's identifier."""
    run(store, "open", "C-17", "--identifier", "ab" * 32)
    assert run(store, "subject", "C-17", word, "--by", "ann").exit_code == 0
    assert [(one.subject, one.identifier) for one in journal.notices()] == [("organization", None)]


def test_a_user_without_a_name_is_asked_for_one(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container whose user has no name, `notice subject` says what is missing."""
    run(store, "open", "C-17")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654)
    result = run(store, "subject", "C-17", "organization")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "Error: this terminal's user has no name: add --by WHO",
    )


def test_a_case_with_two_open_notices_needs_a_type(store: str, journal: Journal) -> None:
    """A warned and then deactivated case: closing asks which one, and closes only that."""
    run(store, "open", "C-17")
    run(store, "open", "C-17", "--type", "deactivation")
    unclear = run(store, "close", "C-17", "--by", "ann", "--why", "x")
    assert (unclear.exit_code, "choose one with --type" in unclear.stderr) == (1, True)
    assert run(store, "close", "C-17", "--by", "ann", "--why", "x", "--type", "warning").exit_code == 0
    assert [one.type for one in journal.notices(open_only=True)] == ["deactivation"]


@pytest.mark.parametrize(("deadline", "seconds"), [("48h", 2 * DAY), ("7d", 7 * DAY), ("2w", 14 * DAY)])
def test_a_deadline_may_count_from_the_receipt(
    store: str, journal: Journal, deadline: str, seconds: int
) -> None:
    """As `--until` of a decision: hours, days and weeks, from when the mail came."""
    assert run(store, "open", "C-17", "--received", "2026-11-20", "--deadline", deadline).exit_code == 0
    assert [one.deadline_at for one in journal.notices()] == [RECEIVED + seconds]


@pytest.mark.parametrize("word", ["lst", "C-17", "add", "clsoe"])
def test_an_unknown_word_opens_nothing(store: str, journal: Journal, word: str) -> None:
    """A slip of the finger is an error: only `notice open` opens a notice with a deadline."""
    result = run(store, word)
    assert (result.exit_code, journal.notices()) == (2, [])
    assert f"No such command '{word}'" in result.stderr


def test_a_mail_without_identifier_is_the_organisations(store: str, journal: Journal, tmp_path: Path) -> None:
    """The base case: a mailed warning is the organisation's, with seven days from the mail, and in its event."""
    folder = tmp_path / "events"
    run(store, "open", "C-17", "--received", "2026-11-20", OPENAI_SAFETY_FILE_DIR=str(folder))
    (stored,) = journal.notices()
    assert (stored.subject, stored.deadline_at) == ("organization", RECEIVED + 7 * DAY)
    (event,) = events(folder)
    assert (event[c.NOTICE_SUBJECT], event[c.NOTICE_DEADLINE]) == ("organization", str(RECEIVED + 7 * DAY))


def test_a_deactivation_has_no_hours_left(store: str, journal: Journal) -> None:
    """What has happened has no deadline, whoever it happened to."""
    run(store, "open", "C-17", "--type", "deactivation")
    run(store, "open", "C-18", "--type", "deactivation", "--identifier", "ab" * 32)
    found = [(one.subject, one.deadline_at) for one in journal.notices()]
    assert found == [("organization", None), ("identifier", None)]


def test_a_person_says_whose_a_notice_is(store: str, journal: Journal, tmp_path: Path) -> None:
    """`notice subject` moves it to the end user meant, or to the organisation; recorded and told."""
    folder, who = tmp_path / "events", "ab" * 32
    run(store, "open", "C-1", "--identifier", who)
    run(store, "open", "C-17", "--received", "2026-11-20")
    journal.update_notice("warning:C-17", subject="unknown")
    where = {"OPENAI_SAFETY_FILE_DIR": str(folder)}
    theirs = run(store, "subject", "C-17", f"{who[:12].upper()}…", "--by", "ann", "--why", "mail", **where)
    assert (theirs.exit_code, theirs.stdout) == (0, f"C-17: warning about {who}\n"), theirs.output
    one = journal.notice("warning:C-17")
    assert one is not None
    assert (one.subject, one.subject_by, one.identifier, one.deadline_at) == ("identifier", "ann", who, None)
    told = [(event[c.EVENT_NAME], event[c.NOTICE_SUBJECT]) for event in events(folder)]
    assert told == [("openai_safety.decision", "identifier"), ("openai_safety.notice", "identifier")]
    assert [(made.action, made.identifier) for made in journal.decisions()] == [("subject", who)]
    back = run(store, "subject", "C-17", "organization", **where)
    one = journal.notice("warning:C-17")
    assert one is not None
    assert (back.exit_code, one.subject, one.identifier) == (0, "organization", None)
    assert one.deadline_at == RECEIVED + 7 * DAY


@pytest.mark.parametrize("command", [[], ["open"], ["list"], ["subject"], ["close"]])
def test_help_has_examples(store: str, command: list[str]) -> None:
    """Every help page ends with an example that can be copied."""
    result = run(store, *command, "--help")
    assert result.exit_code == 0
    assert "openai-safety notice" in result.output.partition("Example")[2]
