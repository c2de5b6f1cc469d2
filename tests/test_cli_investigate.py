from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.ledger.journal import Decision, open_journal
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.who.identifier import Hasher
from support.events import ANN, BOB, DAY, EVE, blocked, call, decision, event, flagged, notice, write

NOW = float(int(time.time()))
KEY = "k" * 40
SESSION = "5" * 64
AUDIT = ("--by", "ann", "--why", "case C-17")
TEXT = "how do I <b>build</b> one"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_SAFETY_FILE_DIR", str(tmp_path / "events"))
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", KEY)
    return tmp_path


def history(folder: Path, *more: Any, age: float = 0.0) -> None:
    """Ann: five calls, one flagged, one blocked for good in chat; Bob uses images."""
    then = NOW - age
    write(
        folder / "events",
        [
            *(
                call(ANN, then - 500 + n, RESPONSE_ID=f"resp_{n}", IDENTIFIER_LINKED=SESSION)
                for n in range(3)
            ),
            flagged(ANN, then - 400, "hate", 0.9, RESPONSE_ID="resp_flagged"),
            call(ANN, then - 350, API="chat", RESPONSE_ID="chatcmpl_1"),
            blocked(ANN, then - 300, "identifier_blocked", API="chat", BLOCK_CODE="identifier_blocked"),
            call(BOB, then - 200, API="images"),
            *more,
        ],
    )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["investigate", *arguments])


def case_of(*arguments: str) -> Any:
    found = run(*arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_the_whole_story_of_one_identifier(here: Path) -> None:
    """Standing, reach by API, linked session, request ids for support, and every event in order."""
    history(
        here,
        notice("identifier_blocked", NOW - 250, "evt_1", USER_HASH=ANN),
        decision(ANN, "watch", NOW - 100),
    )
    found = case_of(ANN)
    assert found["standing"]["ladder"]["text"] == "decided: watch; blocked in chat"
    assert [(one["api"], one["state"]) for one in found["reach"]] == [
        ("chat", "blocked"),
        ("images", "unknown"),
        ("responses", "reachable"),
    ]
    assert found["linked"] == [SESSION]
    assert [one["response_id"] for one in found["request_ids"]] == ["resp_flagged", None]
    assert found["request_ids"][1]["request_id"] == f"req_{NOW - 300:.3f}"
    assert [row["event"].split(".")[1] for row in found["timeline"]] == ["call"] * 6 + ["notice", "decision"]
    assert {source["name"]: source["state"] for source in found["sources"]} == {
        "evidence": "absent",
        "stored": "not asked",
        "app logs": "not asked",
    }


def test_the_story_on_a_terminal(here: Path) -> None:
    """The text form says the same in lines, and markup of telemetry stays text."""
    history(here, flagged(ANN, NOW - 10, "hate", 0.9, REQUEST_MODEL="[red]gpt\x1b[2J"))
    found = run(ANN, "--last", "2")
    assert found.exit_code == 0
    assert "chat: blocked by the provider on" in found.stdout
    assert "[red]gpt�[2J" in found.stdout
    assert "\x1b" not in found.stdout
    assert "1 earlier one" in found.stderr


def test_what_happened_comes_first_and_the_rest_is_summed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy person: two blocks among thousands of calls are the two lines shown; calls are sums by day."""
    monkeypatch.setenv("COLUMNS", "160")  # a narrow terminal folds names
    at = (NOW // DAY) * DAY - DAY + 3600
    busy = [call(ANN, at + number / 100) for number in range(3000)]
    write(
        here / "events",
        [
            blocked(ANN, at - 1, "cyber_policy"),
            *busy,
            flagged(ANN, at + 5.001, "hate", 0.9),
            decision(ANN, "watch", at + 40),
            call(BOB, at),
        ],
    )
    shown = run(ANN, "--json")
    found = json.loads(shown.stdout)
    day = time.strftime("%Y-%m-%d", time.gmtime(at))
    assert found["sums"] == [
        {"day": day, "api": "responses", "outcome": "blocked", "calls": 1, "flagged": 0},
        {"day": day, "api": "responses", "outcome": "completed", "calls": 3001, "flagged": 1},
    ]
    text = run(ANN).stdout
    lines = [line.split("│")[2:5] for line in text.splitlines() if line.startswith(f"│ {day} ")]
    events = [[cell.strip() for cell in line] for line in lines if len(line) == 3 and ":" not in line[0]]
    assert [event[0] for event in events[:3]] == ["call", "call", "decision"]
    assert text.index("What happened") < text.index("cyber_policy") < text.index("All calls")
    assert text.count("responses.create") == 2


@pytest.mark.parametrize(
    ("options", "outcomes"),
    [
        (["--only", "blocked,flagged"], ["completed", "blocked"]),
        (["--only", "blocked"], ["blocked"]),
        (["--only", "decision"], [None]),
        (["--only", "completed", "--since", "420 fortnights"], None),
        (
            ["--since", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - 420))],
            ["completed", "completed", "blocked", None],
        ),
    ],
)
def test_only_and_since_narrow_the_timeline(
    here: Path, options: list[str], outcomes: list[str | None] | None
) -> None:
    """The timeline has the kinds and the time asked for; an unknown word is an error."""
    history(here, decision(ANN, "watch", NOW - 100))
    if outcomes is None:
        assert run(ANN, *options, "--json").exit_code == 2
        return
    found = case_of(ANN, *options)
    assert [row.get("openai_safety_outcome") for row in found["timeline"]] == outcomes


def test_unknown_kinds_are_named(here: Path) -> None:
    """A misspelt kind is one line with the words there are."""
    found = run(ANN, "--only", "blocked,flaged")
    assert found.exit_code == 2
    assert "'flaged' is none of blocked, flagged, notice, decision" in found.stderr


def test_a_case_file_replaces_and_follows_no_link(here: Path) -> None:
    """--out makes a new file for its owner: what a link points to, and an old file's mode, do not matter."""
    history(here)
    victim = here / "victim"
    victim.write_text("theirs")
    (here / "case.zip").symlink_to(victim)
    (here / "old.zip").write_text("old")
    (here / "old.zip").chmod(0o666)
    (here / "linked.zip").hardlink_to(victim)
    for name in ("case.zip", "old.zip", "linked.zip"):
        assert run(ANN, "--out", name).exit_code == 0
        assert stat.S_IMODE((here / name).lstat().st_mode) == 0o600
        assert stat.S_ISREG((here / name).lstat().st_mode)
    assert victim.read_text() == "theirs"
    os.mkfifo(here / "pipe")
    assert "is no file that could be replaced" in run(ANN, "--out", "pipe").stderr


_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def test_a_busy_persons_case_takes_little_memory(here: Path) -> None:
    """30,000 events of one person go into the case file in under 300 MB, and all of them are in it."""
    at = NOW - 80_000
    write(here / "events", (call(ANN, at + number, RESPONSE_ID=f"resp_{number}") for number in range(30_000)))
    program = str(Path(sys.executable).with_name("openai-safety"))
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, program, "investigate", ANN, "--out", "case.zip"],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert int(done.stdout.splitlines()[-1]) < 300
    with zipfile.ZipFile("case.zip") as archive, archive.open("timeline.jsonl") as lines:
        assert sum(1 for _ in lines) == 30_000


def test_a_suspension_closes_every_other_api(here: Path) -> None:
    """Once suspended by us, an API that answered before is not reachable any more."""
    history(here, decision(ANN, "suspend", NOW - 100, NOW + DAY))
    states = {one["api"]: one["text"] for one in case_of(ANN)["reach"]}
    assert states["responses"] == "refused by us: suspend by ann"
    assert states["chat"].startswith("blocked by the provider")


@pytest.mark.parametrize("given", [ANN[:8], ANN])
def test_the_beginning_of_an_identifier_is_enough(here: Path, given: str) -> None:
    """Eight characters find the identifier they begin."""
    history(here)
    assert case_of(given)["identifier"] == ANN


def test_the_raw_form_is_hashed_first(here: Path) -> None:
    """What the provider returned raw is found under the hash that telemetry carries."""
    hashed = Hasher(KEY.encode()).end_user("eve@example.com")
    history(here, call(hashed, NOW - 5))
    assert case_of("eve@example.com")["identifier"] == hashed


@pytest.mark.parametrize(
    ("given", "message"),
    [("f" * 64, "nothing is known of ffff"), ("eeeeeeee", "several identifiers begin with eeeeeeee")],
)
def test_unknown_and_ambiguous_identifiers_are_said(here: Path, given: str, message: str) -> None:
    """One line says that nothing is known, or which identifiers it could be."""
    history(here, call(EVE, NOW - 5), call("e" * 63 + "0", NOW - 6))
    found = run(given)
    assert found.exit_code == 1
    assert message in found.stderr


def evidence(who: str, at: float) -> Any:
    return event(
        c.EVIDENCE_EVENT, at, {c.USER_HASH: who, c.EVIDENCE_INPUT: TEXT, c.RESPONSE_ID: "resp_flagged"}
    )


def test_evidence_is_shown_present_but_read_only_with_a_reason(here: Path) -> None:
    """Without who and why the content is refused; with them it is in the case file alone, and audited."""
    history(here, evidence(ANN, NOW - 400), evidence(BOB, NOW - 390))
    assert case_of(ANN)["sources"][0] == {
        "name": "evidence",
        "state": "present",
        "text": "1 event, not read: --evidence --out FILE.zip --by WHO --why TEXT",
    }
    assert "this is audited" in run(ANN, "--evidence", "--out", "case.zip").stderr
    assert not (here / "case.zip").exists()
    assert "add --out FILE.zip" in run(ANN, "--evidence", *AUDIT).stderr
    found = run(ANN, "--evidence", "--out", "case.zip", *AUDIT)
    assert (found.exit_code, TEXT in found.stdout) == (0, False)
    assert stat.S_IMODE((here / "case.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile("case.zip") as archive:
        context = json.loads(archive.read("context.json"))
        page = archive.read("case.html").decode()
        assert archive.namelist() == [
            "README.txt",
            "case.json",
            "context.json",
            "case.html",
            "timeline.jsonl",
            "SHA256SUMS",
        ]
    assert [one[c.EVIDENCE_INPUT] for one in context["evidence"]] == [TEXT]
    assert "&lt;b&gt;build" in page
    assert "<b>build" not in page
    assert "default-src &#39;none&#39;; style-src" in page or "default-src 'none'; style-src" in page
    journal = open_journal("openai-safety.db")
    assert [(one.identifier, one.action, one.by) for one in journal.decisions()] == [(ANN, "read", "ann")]
    journal.close()


def test_evidence_that_is_too_old_is_expired(here: Path) -> None:
    """Blocks and flags older than evidence is kept make it expired, not absent."""
    history(here, age=40 * DAY)
    assert case_of(ANN, "--since", "90d")["sources"][0]["state"] == "expired"


def test_app_logs_are_searched_by_every_id(here: Path) -> None:
    """Lines with the identifier, its session, a trace, a response or a request id are found; others are not."""
    history(here)
    trace = f"{round((NOW - 400) * 1000) * 1_000_000:032x}"
    wanted = [ANN, SESSION, trace, "resp_flagged", f"req_{NOW - 300:.3f}"]
    lines = [f'{{"id": "{one}"}}' for one in wanted] + [f"user={BOB}", "resp_flagged2 nothing"]
    (here / "app.log").write_text("\n".join(lines) + "\n")
    found = run(ANN, "--logs", "*.log", "--out", "case.zip")
    assert "app logs: present. 5 lines in 1 file" in found.stdout
    with zipfile.ZipFile("case.zip") as archive:
        items = json.loads(archive.read("context.json"))["app logs"]
    assert [item["text"] for item in items] == lines[:5]


def test_app_logs_absent_or_expired(here: Path) -> None:
    """Files without a line of theirs are absent; files that begin after the last block have expired."""
    history(here)
    (here / "old.log").write_text("2020-01-01T00:00:00 start\n")
    (here / "new.log").write_text("2100-01-01T00:00:00 start\n")
    states = [
        case_of(ANN, "--logs", name)["sources"][2]["state"] for name in ("old.log", "new.log", "no.log")
    ]
    assert states == ["absent", "expired", "absent"]


class Provider(BaseHTTPRequestHandler):
    """The provider's store of two objects; everything else is gone, or the key is refused."""

    asked: ClassVar[list[str]] = []
    refuse: ClassVar[bool] = False
    gone: ClassVar[bool] = False

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        items = {"object": "list", "data": [{"id": "m", "type": "message", "role": "user", "content": TEXT}]}
        bodies: dict[str, Any] = {
            "/v1/responses/resp_flagged": {
                "id": "resp_flagged",
                "object": "response",
                "output": [],
                "new_field": 1,
            },
            "/v1/responses/resp_flagged/input_items": {**items, "has_more": False},
            "/v1/chat/completions/chatcmpl_1": {
                "id": "chatcmpl_1",
                "object": "chat.completion",
                "choices": [],
            },
            "/v1/chat/completions/chatcmpl_1/messages": {**items, "has_more": False},
        }
        status, body = (
            (200, bodies[path]) if path in bodies and not self.gone else (404, {"error": {"message": "gone"}})
        )
        if self.refuse:
            status, body = 401, {"error": {"message": "Incorrect API key"}}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Provider]]:
    Provider.asked, Provider.refuse, Provider.gone = [], False, False
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    yield Provider
    server.shutdown()
    thread.join()
    server.server_close()


def test_stored_objects_around_a_signal_are_fetched(here: Path, provider: type[Provider]) -> None:
    """The calls before and after each block or flag are asked for by id; what is gone is said to be gone."""
    history(here)
    assert "this is audited" in run(ANN, "--fetch-stored", "1", "--out", "case.zip").stderr
    assert provider.asked == []
    found = run(ANN, "--fetch-stored", "1", "--out", "case.zip", *AUDIT)
    assert "stored: present. 2 of 3 objects fetched" in found.stdout
    assert [path for path in provider.asked if path.count("/") == 3 or path.endswith("chatcmpl_1")] == [
        "/v1/responses/resp_2",
        "/v1/responses/resp_flagged",
        "/v1/chat/completions/chatcmpl_1",
    ]
    with zipfile.ZipFile("case.zip") as archive:
        stored = json.loads(archive.read("context.json"))["stored"]
    assert [item.get("missing", item.get("object", {}).get("id")) for item in stored] == [
        "the provider does not store it (any more)",
        "resp_flagged",
        "chatcmpl_1",
    ]
    assert stored[1]["object"]["new_field"] == 1
    assert stored[1]["input"][0]["content"] == TEXT


def test_a_refused_key_is_one_line(here: Path, provider: type[Provider]) -> None:
    """A 401 of the provider ends in one line and writes no case file."""
    history(here)
    provider.refuse = True
    found = run(ANN, "--fetch-stored", "1", "--out", "case.zip", *AUDIT)
    assert found.exit_code == 1
    assert "the provider refuses the API key" in found.stderr
    assert not (here / "case.zip").exists()


def test_objects_too_old_to_be_stored_are_expired(here: Path, provider: type[Provider]) -> None:
    """Ids older than the provider stores them are expired, not absent."""
    provider.gone = True
    for age, state in ((0.0, "absent"), (40 * DAY, "expired")):
        history(here, age=age)
        found = run(ANN, "--since", "90d", "--fetch-stored", "0", "--out", "case.zip", *AUDIT)
        assert f"stored: {state}. none of 1 id is stored" in found.stdout


def reconciled(at: float) -> Any:
    counts = {c.RECONCILE_PROVIDER: 90, c.RECONCILE_OURS: 62, c.RECONCILE_DARK: 30}
    window = {c.RECONCILE_SINCE: int(at - DAY), c.RECONCILE_UNTIL: int(at)}
    return event(c.RECONCILIATION_EVENT, at, {**counts, **window})


def test_the_case_file_is_an_appeal(here: Path) -> None:
    """Each decision has its reasons, the record says how complete it is, and sums prove every file of the zip."""
    history(
        here,
        call(None, NOW - 90),
        blocked(ANN, NOW - 280, "cyber_policy", BLOCK_CERTAINTY="code", BLOCK_CATEGORIES=("cyber",)),
        notice("warning", NOW - 260, "C-17", USER_HASH=ANN, NOTICE_CATEGORY="cyber"),
        blocked(ANN, NOW - 50, "usage_policy", BLOCK_CERTAINTY="text"),
        reconciled(NOW - 100),
        evidence(ANN, NOW - 400),
    )
    journal = open_journal("openai-safety.db")
    facts: dict[str, Any] = {"identifier": ANN, "by": "openai-safety (automatic)", "why": "2 blocks"}
    journal.append_decision(Decision(**facts, action="suspend", at=NOW - 240, details={"automatic": True}))
    head = journal.append_decision(
        Decision(identifier=ANN, action="clear", by="ann", why="wrong", at=NOW - 20)
    )
    journal.close()
    done = run(ANN, "--out", "case.zip", "--redress", "Write to appeals@example.com")
    assert 0 == done.exit_code, done.output
    with zipfile.ZipFile("case.zip") as archive:
        archive.extractall("case")
        page, document = archive.read("case.html").decode(), json.loads(archive.read("case.json"))
    first, second = document["statements"]
    assert [(one["rule"], one["known_by"], one["categories"], one["requests"]) for one in first["rules"]] == [
        ("flagged by moderation", None, ["hate"], 1),
        ("identifier_blocked", None, [], 1),
        ("cyber_policy", "code", ["cyber"], 1),
    ]
    assert (first["automated"], first["by"], first["seconds_from_block"]) == (True, facts["by"], 60.0)
    assert [(one["id"], one["category"]) for one in first["notices"]] == [("C-17", "cyber")]
    assert [(one["rule"], one["known_by"]) for one in second["rules"]] == [("usage_policy", "text")]
    assert (second["automated"], second["seconds_from_block"]) == (False, 30.0)
    assert {"Write to appeals@example.com"} == {one["redress"] for one in document["statements"]}
    assert {"state": "whole", "entries": 2, "head": head, "problem": None} == document["chain"]
    coverage = {"calls": 10, "needed_an_identifier": 10, "sent": 9, "share": 0.9}
    assert {**document["coverage"], **coverage} == document["coverage"]
    assert [(90, 62, 30)] == [
        (one["provider"], one["ours"], one["dark"]) for one in document["reconciliation"]
    ]
    for words in ("by a rule, without a person", "known by code", "60 seconds", "90.00%", head, "30 dark"):
        assert words in page
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd="case", check=True, capture_output=True)
    assert 5 == checked.stdout.count(b": OK")
    whole = b"".join(path.read_bytes() for path in Path("case").iterdir())
    assert TEXT.encode() not in whole


def test_a_journal_that_was_changed_is_said_in_the_appeal(here: Path) -> None:
    """A rewritten entry is named; without a journal that is said, and nothing is made."""
    history(here)
    assert "no journal" == case_of(ANN)["chain"]["state"]
    assert not (here / "openai-safety.db").exists()
    journal = open_journal("openai-safety.db")
    journal.append_decision(Decision(identifier=ANN, action="watch", by="ann", why="wrong", at=NOW - 20))
    journal.close()
    with closing(sqlite3.connect("openai-safety.db")) as database:
        database.execute("UPDATE chain SET body = replace(body, 'wrong', 'right')")
        database.commit()
    found = case_of(ANN)["chain"]
    assert ("broken", "entry 1 (decision): its content was changed") == (found["state"], found["problem"])


def test_a_drill_and_a_notice_that_is_anothers_are_not_theirs(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither moves where they stand or what they reach, and what happened says of each that it is none of theirs."""
    monkeypatch.setenv("COLUMNS", "160")  # a narrow terminal folds names
    write(
        here / "events",
        [
            call(ANN, NOW - 300, API="chat"),
            notice("identifier_blocked", NOW - 250, "D-1", USER_HASH=ANN, TRAFFIC="drill"),
            notice("warning", NOW - 200, "C-9", USER_HASH=ANN),
            notice("warning", NOW - 100, "C-9", USER_HASH=BOB),
            notice("warning", NOW - 90, "C-10", USER_HASH=ANN),
        ],
    )
    found = case_of(ANN)
    assert [one["id"] for one in found["notices"]] == ["C-10"]
    assert [(one["api"], one["state"], one["text"].partition(";")[1:]) for one in found["reach"]] == [
        ("chat", "reachable", ("", ""))
    ]
    assert [row.get("note") for row in found["timeline"]] == [
        None,
        "a drill",
        "since said not to be about them",
        None,
    ]
    shown = run(ANN).stdout
    assert "D-1 open (a drill)" in shown
    assert "C-9 open (since said not to be about them)" in shown
    assert "Stands at: warned on" in shown
