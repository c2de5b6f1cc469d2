"""decide, suspend, decisions, queue: recorded first, then listed, then told."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import Identity, SafetyEvent
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.vocabulary import Traffic
from openai_safety_otel.instrumentation.guard import Guard
from openai_safety_otel.instrumentation.signals.sink import EventSink
from openai_safety_otel.ledger.decisions import (
    DecisionError,
    apply,
    in_force,
    listed,
    new_decision,
    parse_until,
)
from openai_safety_otel.ledger.journal import Decision, Notice, open_journal
from openai_safety_otel.ledger.suspensions import ListEntry, Unreadable, open_suspensions
from openai_safety_otel.operations.cli.group import app
from support.event_files import records
from support.lists import new_list

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
WHO = "a" * 64
Run = Callable[..., Result]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, quick_lists: None) -> Run:
    """The command line, with a list, a store and event files of its own."""
    for name, value in (("SUSPENSIONS", "list.json"), ("STORE", "store.db"), ("FILE_DIR", "events")):
        monkeypatch.setenv(f"OPENAI_SAFETY_{name}", str(place / value))
    new_list(str(place / "list.json"))

    def invoke(*words: str, without: str = "") -> Result:
        if without:
            monkeypatch.delenv(f"OPENAI_SAFETY_{without}")
        return CliRunner().invoke(app, list(words), catch_exceptions=False)

    return invoke


def entries(place: Path) -> dict[str, ListEntry]:
    return open_suspensions(str(place / "list.json")).entries()


def journal(place: Path) -> list[Decision]:
    return open_journal(str(place / "store.db")).decisions()


def signed(*words: str) -> tuple[str, ...]:
    return (*words, "--by", "ann", "--why", "case C-1", "--force")


def emitted(place: Path, name: str) -> list[dict[str, Any]]:
    """Attributes of the events of a name in the event files."""
    told = [one for one in records(place / "events") if one[c.EVENT_NAME] == name]
    return [{key: value for key, value in one.items() if key != "severity"} for one in told]


@pytest.mark.parametrize("action", ["watch", "filter", "suspend", "revoke"])
def test_a_decision_is_recorded_listed_and_told(place: Path, run: Run, action: str) -> None:
    """One command: a line of the audit trail, an entry of the list, an event; all say the same."""
    before = time.time()
    result = run("decide", *signed(WHO, "--action", action), "--json")
    printed = json.loads(result.stdout)
    (recorded,) = journal(place)
    (event,) = emitted(place, c.DECISION_EVENT)
    entry = open_suspensions(str(place / "list.json")).entries()[WHO]
    lasts = {"watch": 7 * 86400, "suspend": 72 * 3600}.get(action)
    end = printed["until"]
    assert (0, lasts is None) == (result.exit_code, end is None)
    assert end is None or (lasts is not None and abs(end - before - lasts) < 60)
    assert (action, "ann", "case C-1", end) == (recorded.action, recorded.by, recorded.why, recorded.until)
    assert entry == ListEntry(recorded.action, end, at=recorded.at)  # type: ignore[arg-type]
    assert not any(word in (place / "list.json").read_text() for word in ("ann", "case C-1", "by", "why"))
    expected = {
        c.USER_HASH: WHO,
        c.DECISION_ACTION: action,
        c.DECISION_BY: "ann",
        c.DECISION_WHY: "case C-1",
        c.DECISION_CHAIN: open_journal(str(place / "store.db")).links()[-1].digest,
        c.EVENT_NAME: c.DECISION_EVENT,
        **({c.DECISION_UNTIL: str(int(end))} if end else {}),
    }
    assert expected == event
    assert (2, 0, 0) == (printed["version"], printed["processes_holding"], printed["processes_running"])


def test_the_command_says_how_many_processes_hold_the_list(place: Path, run: Run) -> None:
    """Two running processes: the command returns when both hold it, and they do."""
    settings = Settings(suspensions=str(place / "list.json"))
    guards = [Guard.from_settings(settings) for _ in range(2)]
    try:
        result = run("suspend", *signed(WHO))
        held = [guard.check(Identity(value=WHO)) is not None for guard in guards]
    finally:
        for guard in guards:
            guard.close()
    assert ([True, True], 0) == (held, result.exit_code)
    assert "held by 2 of 2 running processes" in result.stdout


def test_a_refused_user_is_served_again_after_clear(place: Path, run: Run) -> None:
    """Clear takes the entry off the list and leaves both decisions on record."""
    run("suspend", *signed(WHO))
    result = run("decide", *signed(WHO, "--action", "clear"))
    assert ({}, ["suspend", "clear"], 0) == (
        open_suspensions(str(place / "list.json")).entries(),
        [one.action for one in journal(place)],
        result.exit_code,
    )
    assert "evasion" not in result.stderr


def _notice(place: Path, traffic: Traffic = "production") -> None:
    notice = Notice(
        key="k",
        id="evt_1",
        type="identifier_blocked",
        received_at=int(time.time()),
        recorded_at=1,
        identifier=WHO,
        traffic=traffic,
    )
    open_journal(str(place / "store.db")).add_notice(notice)


def _automatic(place: Path) -> None:
    why = "the provider answered identifier_blocked"
    open_suspensions(str(place / "list.json")).write({WHO: ListEntry("suspend", None, "openai-safety", why)})


def _call(place: Path) -> None:
    write_events(place, [{c.BLOCK_TYPE: "identifier_blocked", c.BLOCK_CLASS: "enforcement"}])


@pytest.mark.parametrize("known_by", [_notice, _automatic, _call], ids=["notice", "list", "event"])
def test_clear_says_what_it_cannot_undo(place: Path, run: Run, known_by: Callable[[Path], None]) -> None:
    """Where the provider blocked the end user (by notice, answer or event), clear says that this stays."""
    known_by(place)
    result = run("decide", *signed(WHO, "--action", "clear"))
    assert result.exit_code == 0
    assert "the provider has blocked this identifier for good: we cannot undo that" in result.stderr
    assert "evasion" in result.stderr


def _drill(place: Path) -> None:
    _notice(place, "drill")


def _denied(place: Path) -> None:
    why = "asked OpenAI: no identifier_blocked for them"
    with closing(open_journal(str(place / "store.db"))) as opened:
        opened.append_decision(Decision(identifier=WHO, action="watch", by="bob", why=why))


def _worded_once(place: Path) -> None:
    told = {c.BLOCK_TYPE: "identifier_blocked", c.BLOCK_CLASS: "enforcement", c.BLOCK_CERTAINTY: "text"}
    write_events(place, [told])


def _answered_since(place: Path) -> None:
    write_events(place, [{c.BLOCK_TYPE: "identifier_blocked", c.OUTCOME: "blocked"}], at=time.time() - 60)
    write_events(place, [{}])


@pytest.mark.parametrize("known_by", [_drill, _denied, _worded_once, _answered_since])
def test_clear_tells_of_no_block_that_there_is_not(
    place: Path, run: Run, known_by: Callable[[Path], None]
) -> None:
    """A drill, a person's own words, one answer's wording and a block that is over are no block for good."""
    known_by(place)
    result = run("decide", *signed(WHO, "--action", "clear"))
    assert (result.exit_code, "for good" in result.stderr) == (0, False), result.stderr


def test_a_raw_user_is_no_identifier(place: Path, run: Run) -> None:
    """An e-mail address is refused before anything is written, and the message does not repeat it."""
    result = run("suspend", *signed("ann@example.com"))
    assert (1, False, {}) == (result.exit_code, "ann@" in result.output, entries(place))


@pytest.mark.parametrize("words", [("suspend", WHO), ("decide", WHO, "--action", "watch")])
def test_nobody_decides_without_a_name_and_a_reason(place: Path, run: Run, words: tuple[str, ...]) -> None:
    """--by and --why are required, and not empty."""
    codes = [
        run(*words).exit_code,
        run(*words, "--by", "ann").exit_code,
        run(*words, "--why", "x").exit_code,
        run(*words, "--by", " ", "--why", "x", "--force").exit_code,
    ]
    assert ([2, 2, 2, 1], {}) == (codes, entries(place))


def test_without_a_list_only_clear_can_be_decided(place: Path, run: Run) -> None:
    """No list: a suspension would be a false promise, and is refused unrecorded."""
    refused = run("suspend", *signed(WHO), without="SUSPENSIONS")
    cleared = run("decide", *signed(WHO, "--action", "clear"))
    assert (1, 0, ["clear"]) == (refused.exit_code, cleared.exit_code, [one.action for one in journal(place)])
    assert "OPENAI_SAFETY_SUSPENSIONS" in refused.stderr


def test_a_decision_is_recorded_before_the_list_is_touched(place: Path) -> None:
    """Where the list cannot be written, the audit trail already has the decision, and nothing is told."""
    source = new_list(str(place / "list.json"))
    (place / "list.json.lock").unlink()
    (place / "list.json.lock").mkdir()
    store, told = open_journal(str(place / "store.db")), list[SafetyEvent]()
    decision = new_decision(WHO, "suspend", by="ann", why="x")
    with pytest.raises(Unreadable):
        apply(decision, store, source, told.append)
    assert ([decision], []) == (store.decisions(), told)


class _Overtaken:
    """A journal whose caller is overtaken: right after its decision is recorded, somebody else decides fully."""

    def __init__(self, journal: Any, other: Callable[[], object]) -> None:
        self._journal, self._other = journal, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def append_decision(self, decision: Decision) -> str:
        chain = self._journal.append_decision(decision)
        self._other()
        return str(chain)


@pytest.mark.parametrize(
    ("first", "second"), [("suspend", "clear"), ("clear", "suspend"), ("watch", "revoke")]
)
def test_where_two_decide_at_once_the_list_says_what_is_last_on_record(
    place: Path, first: Any, second: Any
) -> None:
    """Whoever writes the list last: one decision is recorded and listed between another's record and its listing."""
    source, store = new_list(str(place / "list.json")), open_journal(str(place / "store.db"))
    bobs = new_decision(WHO, second, by="bob", why="y")
    other = _Overtaken(store, lambda: apply(bobs, store, source, lambda _: None, wait=0))
    applied = apply(new_decision(WHO, first, by="ann", why="x"), other, source, lambda _: None, wait=0)
    on_list = {WHO: listed(bobs)} if listed(bobs) else {}
    assert (bobs, on_list) == (applied.stands, source.entries())
    assert [one.by for one in store.decisions()] == ["ann", "bob"]


def test_a_busy_list_is_tried_again(place: Path) -> None:
    """Another writer that holds the list for a while only delays the decision."""
    from openai_safety_otel.ledger.suspensions.file_store import file_lock

    source = new_list(str(place / "list.json"))
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with file_lock(place / "list.json.lock"):
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    threading.Timer(1.5, leave.set).start()
    store = open_journal(str(place / "store.db"))
    applied = apply(new_decision(WHO, "revoke", by="ann", why="x"), store, source, lambda _: None)
    holder.join()
    assert (2, {WHO}) == (applied.version, set(source.entries()))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", NOW + 90),
        ("72h", NOW + 72 * 3600),
        (" 7D ", NOW + 7 * 86400),
        ("2w", NOW + 14 * 86400),
        ("2027-02-01", 1801440000.0),
        ("2027-02-01T12:00", 1801440000.0 + 12 * 3600),
        ("2027-02-01T12:00:00Z", 1801440000.0 + 12 * 3600),
        ("2027-02-01T12:00+02:00", 1801440000.0 + 10 * 3600),
    ],
)
def test_an_end_is_read(text: str, seconds: float) -> None:
    """Spans count from now; times are UTC unless they name a zone."""
    assert seconds == parse_until(text, NOW)


@pytest.mark.parametrize(
    ("action", "until"),
    [
        ("suspend", "0h"),
        ("suspend", "soon"),
        ("suspend", "2020-01-01"),
        ("suspend", "999999999w"),
        ("suspend", "9999-12-31T23:59-12:00"),
        ("watch", "31d"),
        ("revoke", "7d"),
        ("clear", "7d"),
    ],
)
def test_an_end_that_does_not_fit_is_refused(action: Any, until: str) -> None:
    """A watch is bounded, revoke and clear have no end, and no end lies in the past or after the year 9999."""
    with pytest.raises(DecisionError):
        new_decision(WHO, action, by="ann", why="x", until=until, now=NOW)


def test_what_is_in_force_is_the_last_that_counts() -> None:
    """Cleared and expired decisions do not count; look-ups of an identity are none."""

    def made(who: str, action: Any, at: float, until: float | None = None) -> Decision:
        return Decision(identifier=who, action=action, by="ann", why="x", at=at, until=until)

    kept = made("a", "revoke", 2)
    trail = [
        made("a", "suspend", 1),
        kept,
        made("a", "whois", 3),
        made("b", "suspend", 1),
        made("b", "clear", 2),
        made("c", "suspend", 1, until=5),
    ]
    assert {"a": kept} == in_force(trail, now=10.0)


def test_decisions_lists_the_trail_and_automatic_entries(place: Path, run: Run) -> None:
    """Everybody's or one identifier's; entries made by processes are shown as well."""
    run("suspend", *signed(WHO))
    run("decide", *signed("b" * 64, "--action", "watch"))
    run("decide", *signed("b" * 64, "--action", "clear"))
    open_suspensions(str(place / "list.json")).write(
        {"d" * 64: ListEntry("suspend", None, "auto", "3 blocks", 5.0)}
    )

    def listed(*words: str) -> list[tuple[str, str]]:
        lines = run("decisions", *words, "--json").stdout.splitlines()
        return [(one["identifier"][0], one["action"]) for one in map(json.loads, lines)]

    assert [("a", "suspend"), ("b", "watch"), ("b", "clear"), ("d", "suspend")] == listed()
    assert [("b", "watch"), ("b", "clear")] == listed("b" * 64)
    assert [("a", "suspend"), ("d", "suspend")] == listed("--in-force")
    assert "case C-1" in run("decisions").stdout


def test_a_lost_list_is_restored_from_the_trail(place: Path, run: Run) -> None:
    """What is in force goes back on the list; what was cleared does not."""
    run("suspend", *signed(WHO))
    run("suspend", *signed("b" * 64))
    run("decide", *signed("b" * 64, "--action", "clear"))
    before = entries(place)
    (place / "list.json").unlink()
    refused = run("decisions", "--restore", "--in-force")
    made = run("suspensions", "init", "--from-decisions")
    rebuilt = entries(place)
    open_suspensions(str(place / "list.json")).write({WHO: None})
    restored = run("decisions", "--restore", "--in-force")
    assert (1, 0, before, 0, before) == (
        refused.exit_code,
        made.exit_code,
        rebuilt,
        restored.exit_code,
        entries(place),
    )
    assert "openai-safety suspensions init" in refused.stderr
    assert f"{place / 'list.json'} created, with 1 entry" in made.stdout
    assert "1 put back on the list, 0 were there" in restored.stderr


def test_a_weaker_entry_is_restored_to_what_was_decided(place: Path, run: Run) -> None:
    """A process that was killed between record and list left the list one decision behind: it is put right."""
    run("decide", *signed(WHO, "--action", "watch"))
    behind = entries(place)
    run("suspend", *signed(WHO))
    now = entries(place)
    open_suspensions(str(place / "list.json")).write(behind)
    restored = run("decisions", "--restore", "--in-force")
    assert (behind == now, entries(place)) == (False, now)
    assert "1 put back on the list, 0 were there" in restored.stderr


def test_init_creates_once_and_says_who_is_missing(place: Path, run: Run) -> None:
    """An empty list where decisions are in force: said with how many; a second time nothing is done."""
    run("suspend", *signed(WHO))
    (place / "list.json").unlink()
    first, second = run("suspensions", "init"), run("suspensions", "init")
    assert (0, {}, 0) == (first.exit_code, entries(place), second.exit_code)
    assert "NOT on this list: 1 decision in force" in first.stderr
    assert "is there already, with 0 entries" in second.stdout


def test_init_from_decisions_needs_decisions(place: Path, run: Run) -> None:
    """A mistyped store is no store without decisions: nothing is created, neither list nor store."""
    (place / "list.json").unlink()
    result = run("suspensions", "init", "--from-decisions")
    assert (1, []) == (result.exit_code, [one.name for one in place.iterdir() if "lock" not in one.name])
    assert "set OPENAI_SAFETY_STORE" in result.stderr


@pytest.mark.parametrize("words", [("suspend", WHO), ("decide", WHO, "--action", "clear")])
def test_a_missing_list_is_not_written(place: Path, run: Run, words: tuple[str, ...]) -> None:
    """No command makes a list by writing to it: it says what does, and the person is not called suspended."""
    (place / "list.json").unlink()
    result = run(*signed(*words))
    assert (1, "", False) == (result.exit_code, result.stdout, (place / "list.json").exists())
    assert "create it with: openai-safety suspensions init" in result.stderr


# --- the queue ---------------------------------------------------------------------------------------------


def write_events(place: Path, calls: list[dict[str, Any]], *, at: float | None = None) -> None:
    """Call events, as an instrumented process leaves them in its file."""
    sink = EventSink.from_settings(Settings(file_dir=str(place / "events")))
    for attributes in calls:
        made = {
            c.USER_HASH: WHO,
            c.TRAFFIC: "production",
            c.API: "chat",
            c.OUTCOME: "completed",
            **attributes,
        }
        sink.emit(SafetyEvent(c.CALL_EVENT, int((at or time.time()) * 1e9), made))
    sink.flush()


def waiting(result: Result) -> list[tuple[str, int, int, bool]]:
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return [
        (row["identifier"][0], row["enforcement_blocks"], row["flagged"], row["blocked_by_provider"])
        for row in rows
    ]


@pytest.mark.parametrize(
    ("times", "host", "blocked"),
    [(2, "api.openai.com", False), (3, "api.openai.com", True), (9, "a.example", False)],
)
def test_a_block_by_wording_rises_when_the_providers_hosts_repeat_it(
    place: Path, run: Run, times: int, host: str, blocked: bool
) -> None:
    """Several requests of one identifier; elsewhere, or once, it stays among the enforcement blocks."""
    block = {c.BLOCK_TYPE: "identifier_blocked", c.BLOCK_CLASS: "enforcement", c.OUTCOME: "blocked"}
    worded = {**block, c.BLOCK_CERTAINTY: "text", c.SERVER_ADDRESS: host}
    lost = {
        **block,
        c.BLOCK_TYPE: "account_deactivated",
        c.BLOCK_CLASS: "organization",
        c.USER_HASH: "d" * 64,
    }
    write_events(place, [{**worded, c.PROVIDER_REQUEST_ID: f"req_{n}"} for n in range(times)] + [lost])
    assert waiting(run("queue", "--json")) == [(WHO[0], times, 0, blocked)]


def test_the_queue_holds_the_undecided_worst_first(place: Path, run: Run) -> None:
    """Flags and blocks of real traffic, without the decided, the quiet, our own refusals and red teams."""
    block = {c.BLOCK_TYPE: "usage_policy", c.BLOCK_CLASS: "enforcement", c.OUTCOME: "blocked"}
    flag = {c.FLAGGED["input"]: True, c.MAX_SCORE["input"]: 0.9}
    names = {letter: {c.USER_HASH: letter * 64} for letter in "bcdefghi"}
    write_events(
        place,
        [
            {**names["b"], **flag},
            {**names["c"], **block},
            {**names["c"], **block},
            {**names["d"], **block, c.BLOCK_TYPE: "identifier_blocked"},
            {**names["e"], **block},
            {**names["f"]},
            {**names["g"], c.BLOCK_TYPE: "suspended_locally", c.BLOCK_CLASS: "local"},
            {**names["h"], **block, c.TRAFFIC: "redteam"},
        ],
    )
    _notice(place)
    run("suspend", *signed("e" * 64))
    result = run("queue", "--json")
    assert [("d", 1, 0, True), ("a", 0, 0, True), ("c", 2, 0, False), ("b", 0, 1, False)] == waiting(result)
    assert "4 waiting for a decision" in result.stderr


def test_a_span_of_millions_of_years_asks_for_everything(place: Path, run: Run) -> None:
    """`--since` reaches back to 1970 at most: a slip of the finger is no traceback."""
    (place / "events").mkdir()
    result = run("queue", "--since", "999999999w", "--files", str(place / "events"))
    assert (result.exit_code, "Traceback" in result.output) == (0, False)


def test_the_cleared_come_back_when_something_new_happens(place: Path, run: Run) -> None:
    """A clear settles what was before it, not what comes after."""
    flag = {c.FLAGGED["output"]: True, c.MAX_SCORE["output"]: 0.5}
    write_events(place, [flag], at=time.time() - 100)
    run("decide", *signed(WHO, "--action", "clear"))
    settled = waiting(run("queue", "--json"))
    write_events(place, [flag], at=time.time() + 10)
    assert ([], [("a", 0, 2, False)]) == (settled, waiting(run("queue", "--json")))


@pytest.mark.parametrize("action", ["watch", "filter", "suspend"])
def test_new_enforcement_after_a_decision_comes_back_to_the_top(place: Path, run: Run, action: str) -> None:
    """Whom OpenAI blocks for good although something was decided is first, with the decision beside it."""
    block = {c.BLOCK_TYPE: "usage_policy", c.BLOCK_CLASS: "enforcement", c.OUTCOME: "blocked"}
    worse = [{**block, c.USER_HASH: "b" * 64, c.PROVIDER_REQUEST_ID: f"req_{n}"} for n in range(5)]
    flag = {c.FLAGGED["input"]: True, c.MAX_SCORE["input"]: 0.9}
    write_events(place, [block, *worse], at=time.time() - 100)
    run("decide", *signed(WHO, "--action", action))
    write_events(place, [flag], at=time.time() + 5)
    settled = waiting(run("queue", "--json"))
    write_events(place, [{**block, c.BLOCK_TYPE: "identifier_blocked"}], at=time.time() + 10)
    result = run("queue", "--json")
    first = json.loads(result.stdout.splitlines()[0])
    assert ([("b", 5, 0, False)], ["a", "b"]) == (settled, [one[0] for one in waiting(result)])
    assert (action, "ann") == (first["decision"]["action"], first["decision"]["by"])
    assert f"{action} by ann on 20" in run("queue").stdout


@pytest.mark.parametrize("kind", ["warning", "deactivation", "identifier_blocked"])
def test_a_notice_about_them_after_a_decision_comes_back(place: Path, run: Run, kind: Any) -> None:
    """A watched end user whom a notice names is back, though its webhook was issued before the decision."""
    run("decide", *signed(WHO, "--action", "watch"))
    write_events(place, [])
    now = int(time.time())
    late = Notice(key="k", id="C-1", type=kind, received_at=now - 9000, recorded_at=now + 1, identifier=WHO)
    assert waiting(run("queue", "--json")) == []
    open_journal(str(place / "store.db")).add_notice(late)
    assert [one[0] for one in waiting(run("queue", "--json"))] == ["a"]


def test_the_commands_load_no_openai() -> None:
    """Deciding must be quick: it does not import the SDK."""
    script = "import sys\nimport openai_safety_otel.operations.cli.decide\nprint('openai' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "False" == done.stdout.strip()
