"""The guard: who is refused, from memory, before any network traffic."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from openai_safety_otel import EndUserSuspended, end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import Identity, Outcome, SafetyEvent
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.guard import UNAVAILABLE, Guard, refusal
from openai_safety_otel.ledger.decisions import Recorder, apply, carry_out, new_decision
from openai_safety_otel.ledger.journal import open_journal
from openai_safety_otel.ledger.suspensions import ListEntry, Unreadable, open_suspensions
from openai_safety_otel.ledger.suspensions.automatic import AutoRule
from openai_safety_otel.ledger.suspensions.entry import Row
from openai_safety_otel.ledger.suspensions.refresher import Refresher
from openai_safety_otel.who.identifier import Hasher, identify
from openai_safety_otel.who.user import EndUser
from support.lists import new_list
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until

SUSPENDED = ListEntry("suspend", None, "ann", "case C-1", 5.0)
NOBODY = Identity(source="absent")
Drops = list[tuple[str, str]]
Events = list[SafetyEvent]
Start = Callable[..., tuple[Guard, Drops, Events]]


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "suspensions.json")


@pytest.fixture
def start(place: str, quick_lists: None) -> Iterator[Start]:
    """A guard following the list at ``place``, with what it counts and emits."""
    guards: list[Guard] = []

    def begin(**settings: Any) -> tuple[Guard, Drops, Events]:
        drops: Drops = []
        events: Events = []
        settings.setdefault("store", f"{place}.db")
        guard = Guard.from_settings(
            Settings(suspensions=settings.pop("place", place), **settings),
            dropped=lambda *what: drops.append(what),
            emit=events.append,
        )
        guards.append(guard)
        return guard, drops, events

    yield begin
    for guard in guards:
        guard.close()


def test_no_list_no_guard(instrument: Instrument) -> None:
    """Without the setting there is no guard, and no thread."""
    observer = instrument().observer
    assert observer is not None
    assert observer.guard is None


def test_every_form_of_a_person_is_found(place: str, start: Start) -> None:
    """Their identifier, their linked session's, and both under a retired key are the same person."""
    old, new = Hasher(b"o" * 32), Hasher(b"n" * 32, (b"o" * 32,))
    forms = {
        "user": new.end_user("u1"),
        "session": new.session("s1"),
        "retired user": old.end_user("u1"),
        "retired session": old.session("s1"),
    }
    person = identify(EndUser("u1", session="s1"), new)
    stranger = identify(EndUser("u2", session="s2"), new)
    found = {}
    for name, form in forms.items():
        Path(place).unlink(missing_ok=True)
        new_list(place, {form: SUSPENDED})
        guard, _, _ = start()
        found[name] = (guard.check(person), guard.check(stranger), guard.check(NOBODY))
    assert dict.fromkeys(forms, (SUSPENDED, None, None)) == found


def test_the_strongest_active_entry_counts(place: str, start: Start) -> None:
    """Of several entries the strongest that has not expired is returned."""
    now = time.time()
    watch, stale = ListEntry("watch", now + 1000), ListEntry("revoke", now - 1)
    new_list(place, {"a": watch, "b": ListEntry("filter"), "c": stale})
    guard, _, _ = start()
    people = {
        "watch and stale revoke": Identity(value="a", matches=("c",)),
        "filter over watch": Identity(value="a", matches=("b", "c")),
        "stale alone": Identity(value="c"),
    }
    found = {name: guard.check(person) for name, person in people.items()}
    assert {
        "watch and stale revoke": watch,
        "filter over watch": ListEntry("filter"),
        "stale alone": None,
    } == found


@pytest.mark.parametrize(("on_error", "answer", "counted"), [("open", None, 1), ("closed", UNAVAILABLE, 0)])
def test_a_list_never_read(
    tmp_path: Path, start: Start, on_error: str, answer: ListEntry | None, counted: int
) -> None:
    """Open passes and counts each unchecked call; closed refuses those with an identifier, only those."""
    folder = tmp_path / "folder.json"
    folder.mkdir()
    guard, drops, _ = start(place=str(folder), suspensions_on_error=on_error)
    found = (guard.check(Identity(value="a")), guard.check(NOBODY))
    assert ((answer, None), counted) == (found, drops.count(("suspension_check", "unreadable")))
    assert ("suspensions", "unreachable") in drops


@pytest.mark.parametrize(("on_error", "answer"), [("open", None), ("closed", UNAVAILABLE)])
def test_a_missing_list_is_never_an_empty_one(start: Start, on_error: str, answer: ListEntry | None) -> None:
    """Open passes, counted; closed refuses whoever has an identifier, and the refusal names `init`."""
    guard, drops, _ = start(suspensions_on_error=on_error)
    found = (guard.check(Identity(value="a")), guard.check(NOBODY))
    state = {labels["openai_safety.suspensions.found"] for value, labels in guard.states() if value}
    assert ((answer, None), True, {"missing"}) == (found, ("suspensions", "missing") in drops, state)
    assert "openai-safety suspensions init" in str(refusal(UNAVAILABLE))


def test_a_list_lost_while_running_frees_nobody(place: str, start: Start) -> None:
    """The last rows stay in force; an automatic entry waits, and reaches the list that is made anew."""
    new_list(place, {"a": SUSPENDED})
    guard, drops, _ = start(auto_suspend="provider")
    Path(place).unlink()
    until(lambda: ("suspensions", "missing") in drops)
    guard.seen(Identity(value="b"), REFUSED_THERE)
    lost = (guard.check(Identity(value="a")), Path(place).exists())
    new_list(place, {"a": SUSPENDED})
    until(lambda: guard.check(Identity(value="b")))
    assert ((SUSPENDED, False), {"a", "b"}) == (lost, set(open_suspensions(place).entries()))


def test_a_list_read_long_ago_counts_as_unreadable(
    place: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed refuses once the last reading is too old, and a suspension known from then still counts."""
    new_list(place, {"a": SUSPENDED})
    guard, _, _ = start(suspensions_on_error="closed")
    before = guard.check(Identity(value="b"))
    Path(place).write_text("{")
    monkeypatch.setattr("openai_safety_otel.instrumentation.guard.UNREADABLE_SECONDS", 0.2)
    until(lambda: guard.age() > 0.2)
    assert (None, UNAVAILABLE, SUSPENDED) == (
        before,
        guard.check(Identity(value="b")),
        guard.check(Identity(value="a")),
    )


def test_look_up_does_not_grow_with_the_list() -> None:
    """A look-up among a million entries costs no more than a few times one among ten."""
    row = SUSPENDED.row()
    costs = []
    for size in (10, 1_000_000):
        follower = Refresher(lambda: open_suspensions("unused"), lambda *_: None)
        rows: dict[str, Row] = {f"{n:064x}": row for n in range(size)}
        follower.rows, follower._read_at = rows, time.monotonic()
        guard = Guard(follower)
        people = [Identity(value=f"{n:064x}", matches=("x", "y")) for n in (3, size - 1, size + 1)]
        expected = [SUSPENDED, SUSPENDED, None]
        assert expected == [guard.check(person) for person in people]
        check = [lambda p=person, g=guard: g.check(p) for person in people]
        costs.append(min(timeit.repeat(lambda c=check: [f() for f in c], number=300, repeat=7)))  # type: ignore[misc]
    assert costs[1] < 20 * costs[0]


# --- the automatic entry -----------------------------------------------------------------------------------

USAGE = Outcome("blocked", "usage_policy", "input", "invalid_prompt")
REFUSED_THERE = Outcome("blocked", "identifier_blocked", "request", "identifier_blocked")


def _settled(guard: Guard) -> None:
    """Wait until what was asked of the background thread is done."""
    done: list[bool] = []
    guard._refresher.ask(lambda _: done.append(True))
    until(lambda: done)


def test_the_providers_block_suspends_without_end(place: str, start: Start) -> None:
    """`provider`: identifier_blocked puts the end user on the list, once, and says so in one event."""
    new_list(place)
    guard, drops, events = start(auto_suspend="provider")
    person = Identity(value="a")
    for outcome in (USAGE, REFUSED_THERE, REFUSED_THERE):
        guard.seen(person, outcome)
    _settled(guard)
    entry = guard.check(person)
    assert entry is not None
    told = [dict(event.attributes) for event in events]
    expected = {
        "user.hash": "a",
        "openai_safety.decision.action": "suspend",
        "openai_safety.decision.by": "openai-safety (automatic)",
        "openai_safety.decision.why": "the provider answered identifier_blocked",
        "openai_safety.decision.chain": open_journal(f"{place}.db").links()[-1].digest,
        "openai_safety.decision.automatic": True,
    }
    assert (("suspend", None), [expected], []) == ((entry.action, entry.until), told, drops)
    assert entry == open_suspensions(place).entries()["a"]


@pytest.fixture(params=["file", "redis"])
def anywhere(request: pytest.FixtureRequest, place: str) -> str:
    """A list in a file, or in Redis."""
    found = place if request.param == "file" else str(request.getfixturevalue("redis_url"))
    new_list(found)
    return found


def test_an_automatic_decision_is_on_record_and_stays_there(anywhere: str, start: Start, place: str) -> None:
    """What a process decides is in the journal like any decision, and stays when it is cleared or over."""
    guard, _, _ = start(place=anywhere, auto_suspend="provider")
    guard.seen(Identity(value="a"), REFUSED_THERE)
    _settled(guard)
    journal = open_journal(f"{place}.db")
    apply(
        new_decision("a", "clear", by="ann", why="wrong"),
        journal,
        open_suspensions(anywhere),
        lambda _: None,
        wait=5,
    )
    made = [(one.action, one.by, one.why) for one in journal.decisions("a")]
    assert made == [
        ("suspend", "openai-safety (automatic)", "the provider answered identifier_blocked"),
        ("clear", "ann", "wrong"),
    ]
    assert guard.check(Identity(value="a")) is None


def test_without_a_journal_it_acts_and_records_later(
    anywhere: str, start: Start, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal that cannot be written stops no suspension; its record follows, once, when it can be."""
    monkeypatch.setattr("openai_safety_otel.ledger.suspensions.refresher.HEARTBEAT_SECONDS", 0.05)
    folder = Path(place).parent / "later"
    guard, _, events = start(place=anywhere, auto_suspend="provider", store=str(folder / "j.db"))
    guard.seen(Identity(value="a"), REFUSED_THERE)
    _settled(guard)
    assert guard.check(Identity(value="a")) is not None
    assert [c.DECISION_CHAIN in event.attributes for event in events] == [False]
    assert caplog.text.count("will be on record later") == 1
    folder.mkdir()
    until(lambda: (folder / "j.db").exists() and open_journal(str(folder / "j.db")).decisions())
    _settled(guard)
    time.sleep(0.2)
    assert [one.action for one in open_journal(str(folder / "j.db")).decisions()] == ["suspend"]


def test_it_is_on_record_before_it_is_on_the_list(place: str) -> None:
    """Where the list cannot be written, the journal has the decision, once, however often it is tried."""
    record = Recorder(f"{place}.db")
    decision = new_decision("a", "suspend", by="openai-safety (automatic)", why="x")
    new_list(place)
    Path(f"{place}.lock").unlink(missing_ok=True)
    Path(f"{place}.lock").mkdir()
    told: Events = []
    for _ in range(3):
        with pytest.raises(Unreadable):
            carry_out(decision, record, open_suspensions(place), told.append)
    assert ([decision], []) == (open_journal(f"{place}.db").decisions(), told)


def test_who_was_cleared_counts_from_nothing(anywhere: str, start: Start, place: str) -> None:
    """After a wrong automatic block is undone, one more block does not suspend again: all of them must come."""
    guard, _, _ = start(place=anywhere, auto_suspend="3/60")
    person, journal = Identity(value="a"), open_journal(f"{place}.db")
    seen = []
    for number in range(6):
        guard.seen(person, USAGE)
        _settled(guard)
        seen.append(guard.check(person) is not None)
        if number == 2:
            cleared = new_decision("a", "clear", by="ann", why="wrong")
            applied = apply(cleared, journal, open_suspensions(anywhere), lambda _: None, wait=10)
            assert (applied.holders.running, applied.holders.holding) == (1, 1)
            assert guard.check(person) is None
    assert seen == [False, False, True, False, False, True]


def test_too_many_enforcement_blocks_suspend(place: str, start: Start) -> None:
    """`3/60`: the third enforcement block suspends; filters, refusals, failures and our own do not count."""
    new_list(place)
    guard, _, _ = start(auto_suspend="3/60")
    person = Identity(value="a")
    others = [
        Outcome("blocked", "content_filter", "output"),
        Outcome("blocked", "suspended_locally", "request"),
        Outcome("refused"),
        Outcome("failed", error_type="server_error"),
    ]
    seen = []
    for outcome in (USAGE, *others, USAGE, *others, USAGE):
        guard.seen(person, outcome)
        _settled(guard)
        entry = guard.check(person)
        seen.append(entry.why if entry else None)
    assert [*[None] * 10, "3 enforcement blocks in 60 s"] == seen


def test_drills_and_red_teams_suspend_nobody(place: str, start: Start) -> None:
    """Blocks that were provoked on purpose make no entry."""
    new_list(place)
    guard, _, events = start(auto_suspend="provider,1/60", traffic="redteam")
    guard.seen(Identity(value="a"), REFUSED_THERE)
    _settled(guard)
    assert (None, []) == (guard.check(Identity(value="a")), events)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("off", None),
        ("provider", AutoRule(True)),
        ("5/3600", AutoRule(False, 5, 3600.0)),
        ("provider, 5/3600", AutoRule(True, 5, 3600.0)),
        ("0/60", None),
        ("always", None),
    ],
)
def test_the_automatic_rule_is_read(text: str, rule: AutoRule | None) -> None:
    """The setting's forms; a wrong one is `off`."""
    assert rule == AutoRule.parse(text)


def test_too_many_waiting_blocks_are_counted(
    place: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the background thread cannot keep up with is dropped and counted, never waited for."""
    new_list(place)
    guard, drops, _ = start(auto_suspend="provider")
    monkeypatch.setattr("openai_safety_otel.ledger.suspensions.refresher.MAX_TASKS", 0)
    guard.seen(Identity(value="a"), REFUSED_THERE)
    assert [("suspensions", "queue_full")] == drops


# --- processes ---------------------------------------------------------------------------------------------

FORK = """
import os, sys, time
from openai_safety_otel.instrumentation.guard import Guard
from openai_safety_otel.ledger.journal import open_journal
from openai_safety_otel.contract.record import Identity
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.suspensions import ListEntry, Unreadable, open_suspensions
place = sys.argv[1]
open_suspensions(place).create({})
guard = Guard.from_settings(Settings(suspensions=place))
reading, writing = os.pipe()
if os.fork() == 0:
    end = time.monotonic() + 60
    while guard.check(Identity(value="a")) is None and time.monotonic() < end:
        time.sleep(0.01)
    entry = guard.check(Identity(value="a"))
    # A process follows first, and tells afterwards that it does.
    while (running := open_suspensions(place).holders(1).running) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    os.write(writing, f"{entry.why if entry else None} {running}".encode())
    os._exit(0)
open_suspensions(place).write({"a": ListEntry("suspend", None, "ann", "after-the-fork")})
print(os.read(reading, 100).decode())
os.wait()
"""


def test_a_forked_worker_goes_on_following(place: str) -> None:
    """A child of a pre-forking server learns of a later suspension, and counts as running."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, place],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "after-the-fork 2" == done.stdout.strip()


def test_importing_us_imports_no_openai() -> None:
    """The guard is there without openai; asking for the exception is what imports it."""
    script = (
        "import sys\nimport openai_safety_otel.instrumentation.guard\nbefore = 'openai' in sys.modules\n"
        "from openai_safety_otel import EndUserSuspended\nprint(before, 'openai' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "False True" == done.stdout.strip()


# --- the exception -----------------------------------------------------------------------------------------


def test_the_exception_is_one_of_the_sdks() -> None:
    """It has everything a handler for the SDK's status errors reads, and neither identifier nor reason."""
    error = refusal(ListEntry("suspend", 77.0, "ann", "case C-1"), url="http://127.0.0.1/v1/")
    body = {
        "message": "This end user is suspended by the operator of this application.",
        "type": "permission_denied",
        "param": None,
        "code": "end_user_suspended",
    }
    assert issubclass(EndUserSuspended, openai.PermissionDeniedError)
    assert isinstance(error, EndUserSuspended)
    assert (403, "end_user_suspended", "permission_denied", None, None, body, 77.0, body["message"]) == (
        error.status_code,
        error.code,
        error.type,
        error.param,
        error.request_id,
        error.body,
        error.until,
        str(error),
    )
    assert ({"error": body}, 403, "http://127.0.0.1/v1/") == (
        error.response.json(),
        error.response.status_code,
        str(error.request.url),
    )


@pytest.mark.parametrize(
    "again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"]
)
def test_the_exception_travels(again: Callable[[EndUserSuspended], EndUserSuspended]) -> None:
    """A task queue can carry it to another process."""
    error = refusal(ListEntry("suspend", 77.0))
    other = again(error)
    assert (type(error), error.code, error.until, str(error), str(error.request.url)) == (
        type(other),
        other.code,
        other.until,
        str(other),
        str(other.request.url),
    )


@pytest.mark.parametrize(
    ("entry", "filtered", "code"),
    [
        (SUSPENDED, False, "end_user_suspended"),
        (ListEntry("filter"), True, "end_user_filtered"),
        (UNAVAILABLE, False, "suspensions_unavailable"),
    ],
)
def test_the_code_says_why(entry: ListEntry, filtered: bool, code: str) -> None:
    """A handler can tell a suspension from a filter and from a list that cannot be read."""
    assert code == refusal(entry, filtered=filtered).code


# --- through the hook --------------------------------------------------------------------------------------

ANSWER = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-x",
    "status": "completed",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}


async def test_a_suspended_user_reaches_no_network(
    place: str, instrument: Instrument, telemetry: Telemetry
) -> None:
    """Sync and async, the suspended one is refused before a request is made; the others are served."""
    new_list(place, {Hasher(KEY).end_user("bad"): SUSPENDED})
    instrument(suspensions=place)
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, json=ANSWER)

    transport = httpx2.MockTransport(answer)
    options: dict[str, Any] = {"api_key": "k", "base_url": "http://127.0.0.1:1/v1"}
    with openai.OpenAI(http_client=httpx2.Client(transport=transport), **options) as client:
        with end_user("bad"), pytest.raises(EndUserSuspended):
            client.responses.create(model="gpt-x", input="hello")
        with end_user("good"):
            client.responses.create(model="gpt-x", input="hello")
    async with openai.AsyncOpenAI(http_client=httpx2.AsyncClient(transport=transport), **options) as later:
        with end_user("bad"), pytest.raises(openai.PermissionDeniedError):
            await later.responses.create(model="gpt-x", input="hello", stream=True)
    outcomes = [
        (event["openai_safety.outcome"], event.get("openai_safety.block.type")) for event in telemetry.events
    ]
    local = ("blocked", "suspended_locally")
    assert (["http://127.0.0.1:1/v1/responses"], [local, ("completed", None), local]) == (asked, outcomes)
