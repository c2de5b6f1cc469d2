"""What a person says of a notice while a receiver works on it stands: their word is newer than what was asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.ledger.journal import Decision, Notice
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.webhooks import steps
from openai_safety_otel.operations.webhooks.cases import CaseReader
from openai_safety_otel.operations.webhooks.notice import read_case
from openai_safety_otel.operations.webhooks.notify import Notifier
from webhooks.bench import CASE, IDENTIFIER, Bench, until, warning, webhook

Make = Callable[..., Bench]
OTHER = "0b" * 32
ON: frozenset[NoticeType] = frozenset({"identifier_blocked", "warning", "alert"})
WAIT_SECONDS = 120


class Held(CaseReader):
    """A case that is answered once the test lets it."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        super().__init__(openai.AsyncOpenAI(api_key="sk-case"))
        self._case = case
        self.asked, self.go = threading.Event(), threading.Event()

    async def read(self, notice: Notice) -> Mapping[str, Any]:
        self.asked.set()
        await asyncio.to_thread(self.go.wait, WAIT_SECONDS)
        return self._case


class Channel(Notifier):
    """A channel that takes a message once the test lets it, or raises first."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.begun, self.go = threading.Event(), threading.Event()
        self.told: list[str | None] = []

    def send(self, notice: Notice) -> None:
        self.begun.set()
        self.go.wait(WAIT_SECONDS)
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        self.told.append(notice.identifier)


class Suspending:
    """Records suspensions; fails the first ``failures`` times, each time once the test has seen it."""

    def __init__(self, failures: int = 0) -> None:
        self._failures = failures
        self.tried, self.go = threading.Event(), threading.Event()
        self.suspended: list[str] = []

    def suspend(self, identifier: str, *, by: str, why: str) -> None:
        if self._failures:
            self._failures -= 1
            self.tried.set()
            self.go.wait(WAIT_SECONDS)
            raise OSError("the list is away")
        self.suspended.append(identifier)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("redis_url") if request.param == "redis" else tmp_path / "journal.db")


@pytest.fixture
def held() -> Iterator[Held]:
    case = Held(CASE)
    yield case
    case.go.set()


def person(store: str, *arguments: str) -> None:
    """A command that a person gives meanwhile."""
    environ = {"OPENAI_SAFETY_STORE": store, "OPENAI_SAFETY_FILE_DIR": "", "OPENAI_SAFETY_LOKI_URL": ""}
    result = CliRunner().invoke(app, [*arguments, "--by", "ann", "--why", "by mail"], env=environ)
    assert result.exit_code == 0, result.output


def by_hand(case: str = "C-1", kind: NoticeType = "warning", **more: Any) -> Notice:
    now = int(time.time())
    key = f"{kind}:{case}"
    return Notice(key=key, id=case, type=kind, origin="manual", received_at=now, recorded_at=now, **more)


@pytest.mark.parametrize(
    ("whose", "said"), [("organization", ("organization", None)), (OTHER, ("identifier", OTHER))]
)
def test_a_subject_set_while_the_case_is_read_stays(
    make: Make, store: str, held: Held, whose: str, said: tuple[str, str | None]
) -> None:
    """A person says whose it is while the case is being read: neither notice, event nor suspension says otherwise."""
    suspender = Suspending()
    bench = make(store, cases=held, suspender=suspender, suspend_on=ON)
    bench.post(warning())
    assert held.asked.wait(WAIT_SECONDS)
    person(store, "notice", "subject", "C-1", whose, *(() if said[1] is None else ("--force",)))
    held.go.set()
    found = bench.settled()
    assert (found.subject, found.identifier, found.subject_by) == (*said, "ann")
    assert (found.look_up, found.reason) == ("done", "cyber_abuse")
    told = {
        (one.attributes[c.NOTICE_SUBJECT], one.attributes.get(c.USER_HASH))
        for one in bench.sink.events
        if one.name == c.NOTICE_EVENT
    }
    assert told == {said}
    assert suspender.suspended == [one for one in said[1:] if one]


def test_whoever_is_erased_while_the_case_is_read_does_not_come_back(
    make: Make, store: str, held: Held
) -> None:
    """The case names them again: it is not kept, not told, and nobody is suspended by it."""
    suspender = Suspending()
    bench = make(store, cases=held, suspender=suspender, suspend_on=ON)
    bench.journal.add_notice(
        steps.received(
            by_hand(identifier=IDENTIFIER, subject="identifier"),
            time.time(), patience=0, suspends=False, outgoing=False,
        )
    )  # fmt: skip
    assert held.asked.wait(WAIT_SECONDS)
    bench.journal.erase(IDENTIFIER)
    held.go.set()
    found = bench.settled()
    assert (found.identifier, found.request_id, found.response_id) == (None, None, None)
    assert [one.attributes.get(c.USER_HASH) for one in bench.sink.events] == [None]
    assert bench.journal.erase(IDENTIFIER) == 0


def test_whoever_is_erased_does_not_come_back_when_a_receiver_starts(make: Make, store: str) -> None:
    """Cases that could not be read are read again after a start, but not of whoever was erased."""
    first = make(store)
    notice = by_hand(identifier=IDENTIFIER, subject="identifier", look_up="failed", emitted=True)
    first.journal.add_notice(notice)
    first.journal.erase(IDENTIFIER)
    case = Held(CASE)
    case.go.set()
    make(store, cases=case)
    time.sleep(0.5)
    found = first.journal.notice(notice.key)
    assert found is not None
    assert (found.identifier, case.asked.is_set()) == (None, False)


def test_a_confirming_webhook_is_not_forgotten_by_a_round_at_work(make: Make, store: str) -> None:
    """Its channel is slow, and its webhook comes meanwhile: it suspends, and the channel hears once."""
    channel, suspender = Channel(), Suspending()
    bench = make(store, notifier=channel, suspender=suspender)
    entry = by_hand("evt_1", "identifier_blocked", identifier=IDENTIFIER, subject="identifier", emitted=True)
    bench.journal.add_notice(steps.entered(entry, time.time() - steps.HAND_OVER_SECONDS, outgoing=True))
    assert channel.begun.wait(WAIT_SECONDS)
    bench.post(webhook("safety_identifier.blocked", {"safety_identifier": IDENTIFIER}))
    channel.go.set()
    found = bench.settled("identifier_blocked:evt_1")
    assert (found.suspension, found.outgoing) == ("done", "done")
    assert (suspender.suspended, channel.told) == ([IDENTIFIER], [IDENTIFIER])


def test_a_confirming_webhook_says_whom_it_names(make: Make, store: str) -> None:
    """Somebody mistyped the end user of a mail: whom the webhook names is suspended and told, and nobody else."""
    suspender = Suspending()
    bench = make(store, suspender=suspender)
    entry = by_hand("evt_1", "identifier_blocked", identifier=OTHER, subject="identifier", emitted=True)
    bench.journal.add_notice(steps.entered(entry, time.time() - steps.HAND_OVER_SECONDS, outgoing=False))
    bench.settled("identifier_blocked:evt_1")
    bench.post(webhook("safety_identifier.blocked", {"safety_identifier": IDENTIFIER}))
    until(lambda: bool(suspender.suspended))
    found = bench.settled("identifier_blocked:evt_1")
    assert (suspender.suspended, found.identifier) == ([IDENTIFIER], IDENTIFIER)
    assert [one.attributes.get(c.USER_HASH) for one in bench.sink.events] == [IDENTIFIER]


def test_nobody_is_suspended_for_a_name_that_was_typed_before_its_case_is_read(
    make: Make, store: str, held: Held
) -> None:
    """A typed name waits for the case, which names another: they are suspended, and the log is told whom it means."""
    suspender = Suspending()
    bench = make(store, cases=held, suspender=suspender, suspend_on=ON)
    entry = by_hand(identifier=OTHER, subject="identifier", emitted=True)
    bench.journal.add_notice(steps.entered(entry, time.time(), outgoing=False))
    bench.post(warning())
    assert held.asked.wait(WAIT_SECONDS)
    held.go.set()
    found = bench.settled()
    assert (found.identifier, found.suspension) == (IDENTIFIER, "done")
    assert suspender.suspended == [IDENTIFIER]
    assert [one.attributes.get(c.USER_HASH) for one in bench.sink.events] == [IDENTIFIER]


def test_nobody_is_told_of_a_notice_that_was_closed_first(make: Make, store: str) -> None:
    """The channel was away when somebody closed it: it does not hear of it as if it were open."""
    channel = Channel(failures=1)
    bench = make(store, notifier=channel)
    bench.post(webhook("safety_identifier.blocked", {"safety_identifier": IDENTIFIER}))
    assert channel.begun.wait(WAIT_SECONDS)
    person(store, "notice", "close", "evt_1")
    channel.go.set()
    found = bench.settled("identifier_blocked:evt_1")
    assert (found.status, found.outgoing, channel.told) == ("closed", "off", [])


@pytest.mark.parametrize("what", ["close", "clear"])
def test_a_late_try_does_not_suspend_whom_a_person_has_decided_about(
    make: Make, store: str, what: str
) -> None:
    """The list was away; before the next try a person closed the notice, or cleared the end user: it stays so."""
    suspender = Suspending(failures=1)
    bench = make(store, suspender=suspender)
    bench.post(webhook("safety_identifier.blocked", {"safety_identifier": IDENTIFIER}))
    assert suspender.tried.wait(WAIT_SECONDS)
    if what == "close":
        person(store, "notice", "close", "evt_1")
    else:
        bench.journal.append_decision(Decision(identifier=IDENTIFIER, action="clear", by="ann", why="wrong"))
    suspender.go.set()
    found = bench.settled("identifier_blocked:evt_1")
    assert (found.suspension, suspender.suspended) == ("off", [])


def test_the_date_in_a_case_counts_whoever_said_whose_it_is() -> None:
    """A person said that it is the organisation's; its case asks for an answer sooner than in seven days."""
    notice = by_hand(subject="organization", subject_by="ann", deadline_at=int(time.time()) + 7 * 86_400)
    until_when = notice.received_at + 2 * 86_400
    found = read_case(notice, {**CASE, "deadline": until_when}, lambda value: value)
    assert found == {"reason": "cyber_abuse", "deadline_at": until_when}
