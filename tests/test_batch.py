"""Batches: identifiers into their lines, outcomes out of their results."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.instrumentation.signals.background import Background
from openai_safety_otel.instrumentation.signals.files import EventFile
from openai_safety_otel.ledger.suspensions import ListEntry, open_suspensions
from openai_safety_otel.operations.batch import BatchError, Identified, identify_lines, read_users
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.who.identifier import Hasher
from support.event_files import records
from support.lists import new_list
from support.telemetry import KEY

HASHER = Hasher(KEY)
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in a folder of its own, with a key, a list, a store and event files."""
    (tmp_path / "key").write_bytes(KEY)
    places = {"HMAC_KEY_FILE": "key", "SUSPENSIONS": "list.json", "STORE": "store.db", "FILE_DIR": "events"}
    for name, value in places.items():
        monkeypatch.setenv(f"OPENAI_SAFETY_{name}", str(tmp_path / value))
    new_list(str(tmp_path / "list.json"))

    def invoke(*words: str | Path) -> Result:
        return CliRunner().invoke(app, ["batch", *map(str, words)], catch_exceptions=False)

    return invoke


def line(custom_id: str, url: str = "/v1/responses", **body: Any) -> str:
    request = {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": "m", **body}}
    return json.dumps(request, separators=(", ", ":  ")) + "\n"


LINES = [
    line("r1", input="hi"),
    line("c1", "/v1/chat/completions", messages=[]),
    line("own", safety_identifier="ours"),
    line("e1", "/v1/embeddings", input="hi"),
    line("nobody", input="hi"),
    "\n",
]
USERS = {"r1": "u1", "c1": "Zoë", "own": "u3", "e1": "u4"}


def test_identifiers_go_where_they_are_taken_and_nothing_else_changes(tmp_path: Path, run: Run) -> None:
    """Responses and Chat lines get it, an existing one is kept, all other lines stay byte for byte."""
    source, target, users = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "users.json"
    source.write_text("".join(LINES))
    users.write_text(json.dumps(USERS))
    result = run("identify", source, target, "--users", users, "--json")
    written = target.read_text().splitlines(keepends=True)
    changed = [json.loads(written[at]) for at in (0, 1)]
    expected = [json.loads(LINES[at]) for at in (0, 1)]
    expected[0]["body"]["safety_identifier"] = HASHER.end_user("u1")
    expected[1]["body"]["safety_identifier"] = HASHER.end_user("Zoë")
    assert (0, expected, LINES[2:]) == (result.exit_code, changed, written[2:])
    assert {"added": 2, "kept": 1, "no_place": 1, "no_user": 1, "refused": []} == json.loads(result.stdout)


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("custom_id,user\na,u1\nb,u2\n", {"a": "u1", "b": "u2"}),
        ('a,"u,1"\n\nb,\n', {"a": "u,1"}),
        ('{"a": "u1", "b": 7, "c": null}', {"a": "u1", "b": "7"}),
    ],
)
def test_the_map_of_users_is_read(text: str, users: dict[str, str]) -> None:
    """CSV with and without a header, and a JSON object; lines without a user name nobody."""
    assert users == read_users(text)


@pytest.mark.parametrize("text", ["{", "a\n", "a,u\nb\n"])
def test_a_wrong_map_is_refused(text: str) -> None:
    """Neither JSON nor two columns."""
    with pytest.raises(BatchError):
        read_users(text)


@pytest.mark.parametrize("broken", ["{\n", "[]\n", "7\n"])
def test_a_broken_line_writes_nothing(tmp_path: Path, run: Run, broken: str) -> None:
    """The message names the line, and an older output stays as it was."""
    source, target, users = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "users.csv"
    source.write_text(LINES[0] + broken)
    target.write_text("older")
    users.write_text("r1,u1\n")
    result = run("identify", source, target, "--users", users)
    assert (1, "older", True) == (result.exit_code, target.read_text(), "line 2" in result.stderr)
    assert sorted(path.name for path in tmp_path.glob("*out.jsonl*")) == ["out.jsonl"]


@pytest.mark.parametrize("key", [KEY, b"a-retired-key-of-at-least-32-bytes!!!"], ids=["current", "retired"])
def test_a_suspended_user_gets_no_line(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, key: bytes
) -> None:
    """The command stops, or leaves their lines out when told to; under a retired key they are the same person."""
    (tmp_path / "retired").write_bytes(b"a-retired-key-of-at-least-32-bytes!!!")
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_RETIRED_KEY_FILES", str(tmp_path / "retired"))
    open_suspensions(str(tmp_path / "list.json")).write({Hasher(key).end_user("u1"): ListEntry("suspend")})
    source, target, users = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "users.csv"
    source.write_text("".join(LINES))
    users.write_text("r1,u1\nc1,u2\n")
    stopped = run("identify", source, target, "--users", users)
    first = (stopped.exit_code, target.exists(), "1 line of suspended users (r1)" in stopped.stderr)
    left = run("identify", source, target, "--users", users, "--skip-suspended", "--json")
    written = [json.loads(text)["custom_id"] for text in target.read_text().splitlines() if text.strip()]
    assert ((1, False, True), 0) == (first, left.exit_code)
    assert (["c1", "own", "e1", "nobody"], ["r1"]) == (written, json.loads(left.stdout)["refused"])


def test_an_identifier_that_is_suspended_itself_gets_no_line() -> None:
    """A line that already carries a refused identifier is left out as well."""
    counts = Identified()
    written = list(identify_lines([LINES[2]], {}, HASHER, counts, suspended=lambda forms: "ours" in forms))
    assert ([], ["own"]) == (written, counts.refused)


@pytest.mark.parametrize("place", ["safety_identifier", "user"])
@pytest.mark.parametrize("given", ["acct_1", "jo@example.com"])
def test_whoever_is_suspended_under_what_a_line_sends_gets_no_line(place: str, given: str) -> None:
    """In either field, whatever else names them; of personal data the list knows the hash."""
    row = given if given == "acct_1" else HASHER.end_user(given)
    counts = Identified()
    lines = [line("bad", **{place: given}), line("good", **{place: "acct_2"})]
    written = list(
        identify_lines(lines, {"bad": "u1"}, HASHER, counts, suspended=lambda forms: row in [*forms])
    )
    assert (["good"], ["bad"]) == ([json.loads(one)["custom_id"] for one in written], counts.refused)


def test_a_big_file_is_streamed() -> None:
    """A hundred times the lines take no more memory."""

    def peak(number: int) -> int:
        def lines() -> Iterator[str]:
            for n in range(number):
                yield line(str(n), input="x" * 1000)

        tracemalloc.start()
        for _ in identify_lines(lines(), {"1": "u1"}, HASHER, Identified()):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    assert peak(5000) < 2 * peak(50) + 100_000


# --- results -----------------------------------------------------------------------------------------------


def answered(custom_id: str, status: int, body: Any, error: Any = None) -> str:
    response = {"status_code": status, "request_id": f"req_{custom_id}", "body": body} if status else None
    return (
        json.dumps({"id": f"b_{custom_id}", "custom_id": custom_id, "response": response, "error": error})
        + "\n"
    )


RESPONSE = {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": []}
RESULTS = [
    answered("ok", 200, {**RESPONSE, "safety_identifier": "d" * 64}),
    answered(
        "cyber", 400, {"error": {"code": "cyber_policy", "type": "invalid_request", "message": "flagged"}}
    ),
    answered("gone", 403, {"error": {"code": "identifier_blocked", "message": "identifier blocked"}}),
    answered(
        "filtered",
        200,
        {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
    ),
    answered(
        "chat",
        200,
        {"id": "c1", "object": "chat.completion", "model": "m", "choices": [{"finish_reason": "stop"}]},
    ),
    answered("late", 0, None, {"code": "batch_expired", "message": "expired"}),
    '{"custom_id": "half\n',
]


def test_a_line_that_sends_user_is_theirs(tmp_path: Path, run: Run) -> None:
    """`user=` alone names an end user, in the line or in the answer; who the map names is known better."""
    results, given, users = tmp_path / "out.jsonl", tmp_path / "in.jsonl", tmp_path / "users.csv"
    block = {"error": {"code": "content_policy_violation", "message": "no"}}
    names = ("line", "mapped", "raw")
    results.write_text(
        "".join(answered(one, 400, block) for one in names)
        + answered("echo", 200, {**RESPONSE, "user": "acct_3"})
    )
    given.write_text(
        line("line", user="acct_1")
        + line("mapped", user="acct_2")
        + line("raw", user="jo@example.com")
        + line("echo")
    )
    users.write_text("mapped,u9\n")
    result = run("results", results, "--input", given, "--users", users, "--json")
    found = [json.loads(text)["identifier"] for text in result.stdout.splitlines()]
    assert ["acct_1", HASHER.end_user("u9"), HASHER.end_user("jo@example.com"), "acct_3"] == found
    assert found == [event["user"] for event in emitted(tmp_path)]


def test_each_line_of_the_results_is_recorded(tmp_path: Path, run: Run) -> None:
    """Allowed, blocked, filtered and failed lines, each with whose it was, and broken ones counted."""
    results, given, users = tmp_path / "out.jsonl", tmp_path / "in.jsonl", tmp_path / "users.csv"
    results.write_text("".join(RESULTS))
    given.write_text(
        line("cyber", safety_identifier="a" * 64)
        + line("gone", "/v1/chat/completions", safety_identifier="b" * 64)
        + line("late")
    )
    users.write_text("late,u9\n")
    result = run("results", results, "--input", given, "--users", users, "--json")
    found = [json.loads(text) for text in result.stdout.splitlines()]
    told = [
        (one["custom_id"], one["api"], one["identifier"], one["outcome"], one["block_type"]) for one in found
    ]
    assert [
        ("ok", "responses", "d" * 64, "completed", None),
        ("cyber", "responses", "a" * 64, "blocked", "cyber_policy"),
        ("gone", "chat", "b" * 64, "blocked", "identifier_blocked"),
        ("filtered", "responses", None, "blocked", "content_filter"),
        ("chat", "chat", None, "completed", None),
        ("late", "responses", HASHER.end_user("u9"), "failed", None),
    ] == told
    assert (0, "req_ok", "resp_1") == (result.exit_code, found[0]["request_id"], found[0]["response_id"])
    assert "2 lines without an end user" in result.stderr
    assert "1 line could not be read" in result.stderr
    assert told == [
        (one["custom_id"], event["api"], event["user"], event["outcome"], event["block"])
        for one, event in zip(found, emitted(tmp_path), strict=True)
    ]


def test_results_are_recorded_once(tmp_path: Path, run: Run) -> None:
    """The same file again is refused, unless it is asked for."""
    results = tmp_path / "out.jsonl"
    results.write_text(RESULTS[0])
    codes = [run("results", results, *more).exit_code for more in ((), (), ("--again",))]
    assert ([0, 1, 0], 2) == (codes, len(emitted(tmp_path)))


def test_more_results_than_any_queue_holds_are_all_recorded(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times as many lines as the queue to the file holds are all recorded."""
    write = EventFile._write

    def slowly(file: EventFile, event: SafetyEvent) -> None:
        time.sleep(0.0005)
        write(file, event)

    monkeypatch.setattr(EventFile, "_write", slowly)
    defaults = Background.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "limit", 300)
    monkeypatch.setattr("openai_safety_otel.operations.cli.batch._TOGETHER", 250)
    results = tmp_path / "out.jsonl"
    results.write_text(RESULTS[0] * 1500)
    result = run("results", results)
    assert ("completed: 1500\n", 1500) == (result.stdout, len(emitted(tmp_path)))


def emitted(folder: Path) -> list[dict[str, Any]]:
    """What the event files say of each call."""
    return [
        {
            "api": facts["openai_safety.api"],
            "user": facts.get("user.hash"),
            "outcome": facts["openai_safety.outcome"],
            "block": facts.get("openai_safety.block.type"),
        }
        for facts in records(folder / "events")
    ]
