"""After the 200: the case is read or not, and either way the notice is told once and stays visible."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.ledger.journal import Notice, open_journal
from openai_safety_otel.operations.webhooks import steps
from openai_safety_otel.operations.webhooks.app import ListSuspender
from openai_safety_otel.operations.webhooks.drill import drill_envelope
from openai_safety_otel.operations.webhooks.follow_up import RetryPolicy
from openai_safety_otel.operations.webhooks.notify import DEFAULT_TEMPLATE, Notifier
from support.lists import new_list
from webhooks.bench import (
    CASE,
    FAST,
    HANG,
    IDENTIFIER,
    SECRET,
    Answer,
    Bench,
    CaseApi,
    Collected,
    until,
    warning,
    webhook,
)

Make = Callable[..., Bench]
ERROR: Any = {"error": {"message": "no", "type": "invalid_request_error", "code": None, "param": None}}
FAILURES: dict[str, tuple[Answer, str]] = {
    "401": ((401, ERROR), "http_401"),
    "403": ((403, ERROR), "http_403"),
    "404": ((404, ERROR), "http_404"),
    "429": ((429, ERROR), "http_429"),
    "500": ((500, ERROR), "http_5xx"),
    "hanging": (HANG, "timeout"),
    "not JSON": ((200, b"<html>"), "bad_answer"),
    "JSON of another shape": ((200, ["C-1"]), "bad_answer"),
}


class Slow(Notifier):
    """A notifier that needs its time."""

    def __init__(self, told: list[str], seconds: float) -> None:
        self._told, self._seconds = told, seconds

    def send(self, notice: Notice) -> None:
        self._told.append("told")
        time.sleep(self._seconds)


def dropped(bench: Bench) -> dict[str, int]:
    return bench.counts("openai_safety.dropped", c.REASON)


@pytest.mark.parametrize("name", list(FAILURES))
def test_case_that_can_never_be_read(make: Make, api: CaseApi, name: str) -> None:
    """Case API failing for good: the notice is told once, counted once, and says why it lacks its case."""
    answer, reason = FAILURES[name]
    api.case(answer)
    bench = make(case_seconds=0.5 if answer is HANG else 10.0)  # generous: machines are slow at times
    assert bench.post(warning()).status == 200
    notice = bench.settled()
    assert (notice.look_up, notice.look_up_error, notice.emitted) == ("failed", reason, True)
    assert (notice.status, notice.identifier) == ("open", None)
    assert [event.attributes[c.NOTICE_ID] for event in bench.sink.events] == ["C-1"]
    assert bench.counts("openai_safety.notices", c.NOTICE_TYPE) == {"warning": 1}
    assert len(api.requests) == FAST.tries
    assert dropped(bench) == {reason: 1}
    assert set(bench.counts("openai_safety.notice.deadline", c.NOTICE_SUBJECT)) == {"unknown"}


@pytest.mark.parametrize("name", list(FAILURES))
def test_case_that_can_be_read_at_last(make: Make, api: CaseApi, name: str) -> None:
    """Case API failing twice, then answering: the notice ends complete; told early, it is told once more."""
    answer, _ = FAILURES[name]
    api.case(answer, answer, (200, CASE))
    bench = make(case_seconds=0.5 if answer is HANG else 10.0)  # generous: machines are slow at times
    bench.post(warning())
    notice = bench.settled()
    assert (notice.look_up, notice.look_up_error, notice.identifier) == ("done", None, IDENTIFIER)
    subjects = [event.attributes[c.NOTICE_SUBJECT] for event in bench.sink.events]
    assert subjects in (["identifier"], ["unknown", "identifier"])
    assert sum(bench.counts("openai_safety.notices", c.NOTICE_TYPE).values()) == 1
    assert len(api.requests) == 3
    assert dropped(bench) == {}


def test_transient_failures_delay_the_event_until_the_case_is_known(make: Make, api: CaseApi) -> None:
    """Within its patience the event waits for the case, so that it names the identifier."""
    api.case((500, ERROR), (429, ERROR), (200, CASE))
    bench = make(retries=replace(FAST, patience=60.0))
    bench.post(warning())
    bench.settled()
    assert [event.attributes.get(c.USER_HASH) for event in bench.sink.events] == [IDENTIFIER]


def test_missing_permission_does_not_delay_the_event(make: Make, api: CaseApi) -> None:
    """A 403 will not mend itself: the event goes out at once, long before patience and retries end."""
    api.case((403, ERROR))
    bench = make(retries=RetryPolicy(patience=60.0, most=60.0, poll=0.1))
    bench.post(warning())
    until(lambda: bench.journal.notices()[0].emitted)
    assert len(bench.sink.events) == 1
    notice = bench.journal.notices()[0]
    assert (notice.look_up, notice.look_up_error, list(notice.pending)) == (
        "pending",
        "http_403",
        ["look_up"],
    )


def test_a_hanging_case_does_not_hold_up_others(make: Make, api: CaseApi) -> None:
    """While one case hangs, another notice is read and told."""
    api.case(HANG)
    api.case((200, CASE), case="C-2")
    bench = make(case_seconds=60.0)
    bench.post(warning())
    until(lambda: len(api.requests) == 1)
    bench.post(warning("C-2"), delivery="wh_2")
    assert bench.settled("warning:C-2").identifier == IDENTIFIER


def test_a_look_up_that_outlives_its_lease_is_not_begun_a_second_time(make: Make, api: CaseApi) -> None:
    """While a process works on a notice, it does not take the same notice again, however slow the case is."""
    api.case(HANG)
    bench = make(case_seconds=2.0, retries=replace(FAST, lease=0.2, first=60.0, most=60.0))
    bench.post(warning())
    until(lambda: bench.journal.notices()[0].look_up_error == "timeout")
    assert len(api.requests) == 1


def test_a_notice_stays_taken_while_its_steps_are_taken(make: Make, api: CaseApi) -> None:
    """Each step renews the lease, so steps that are long only together are taken by one process alone."""
    api.case((200, CASE))
    told: list[str] = []

    def slowly() -> None:
        told.append("flushed")
        time.sleep(0.7)

    retries = replace(FAST, lease=1.0)
    bench = make(retries=retries, flush=slowly, notifier=Slow(told, 0.7))
    make(retries=retries, flush=slowly, notifier=Slow(told, 0.7))
    bench.post(warning())
    bench.settled()
    assert told == ["flushed", "told"]


def test_restart_reads_what_failed_before(make: Make, api: CaseApi) -> None:
    """With the key mended and the receiver restarted, the case is read, and whose it is is told."""
    api.case((401, ERROR))
    first = make()
    first.post(warning())
    assert first.settled().look_up == "failed"
    first.server.close()
    api.case((200, CASE))
    second = make()
    until(lambda: second.journal.notices()[0].look_up == "done")
    assert second.settled().identifier == IDENTIFIER
    assert [event.attributes[c.NOTICE_SUBJECT] for event in second.sink.events] == ["identifier"]
    assert second.counts("openai_safety.notices", c.NOTICE_TYPE) == {}


def test_without_a_key_notices_are_still_told(make: Make, api: CaseApi) -> None:
    """No key for cases at all: the notice is told without details and says so."""
    bench = make(cases=None)
    bench.post(warning())
    notice = bench.settled()
    assert (notice.look_up, notice.look_up_error) == ("failed", "no_key")
    assert len(bench.sink.events) == 1


@pytest.mark.parametrize(
    "case",
    [
        "../../v1/files",
        "Jane Doe jane@example.com",
        "<!channel> <http://evil|Click>",
        "..",
        ".",
        "C-1\n",
        "C-1?x=1",
        "\x1b[31mC-1",
        "C-" + "1" * 200,
    ],
)
def test_case_id_cannot_leave_its_path(bench: Bench, api: CaseApi, case: str) -> None:
    """What is no id is neither shown, stored nor put into a URL; the notice is kept under the webhook's own."""
    bench.post(webhook("safety.warning_issued", {"id": case}))
    notice = bench.settled("warning:evt_1")
    assert (notice.id, len(bench.sink.events)) == ("evt_1", 1)
    assert {path for path, _ in api.requests} == {"/v1/safety/cases/evt_1"}
    assert case not in repr(notice) + repr(bench.sink.events) or case in {".", ".."}


_SERVE = """
import json, sys
import openai, uvicorn
from openai_safety_otel.ledger.journal import Notice, open_journal
from openai_safety_otel.operations.webhooks.cases import CaseReader
from openai_safety_otel.operations.webhooks.follow_up import FollowUpTools, RetryPolicy
from openai_safety_otel.operations.webhooks.receiver import Receiver
from openai_safety_otel.operations.webhooks.verify import Verifier

store, events, cases, secret = sys.argv[1:]

class Lines:
    def emit(self, event):
        with open(events, "a") as file:
            file.write(json.dumps(dict(event.attributes)) + chr(10))

reader = CaseReader(openai.AsyncOpenAI(api_key="sk-case", base_url=cases + "/v1"), seconds=60.0)
means = FollowUpTools(sink=Lines(), show=str, cases=reader)
app = Receiver(open_journal(store), Verifier([secret]), means, retries=RetryPolicy(lease=1.0, first=0.05, poll=0.1))
server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))

async def main():
    import asyncio
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await task

import asyncio
asyncio.run(main())
"""


class Process:
    """A receiver in a process of its own, to be killed."""

    def __init__(self, store: str, events: Path, api: CaseApi) -> None:
        arguments = [sys.executable, "-c", _SERVE, store, str(events), api.url, SECRET]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=20)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_killed_with_9_between_accept_and_fetch(
    api: CaseApi, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """Killed while it waits for the case: the next process reads it and tells the notice, once in all."""
    store = request.getfixturevalue("redis_url") if kind == "redis" else str(tmp_path / "journal.db")
    events = tmp_path / "events.jsonl"
    api.case(HANG)
    first = Process(store, events, api)
    try:
        sender = Bench.__new__(Bench)
        sender.port = first.port
        assert sender.post(warning()).body == {"status": "accepted", "notice": "C-1"}
        until(lambda: len(api.requests) >= 1)
    finally:
        first.kill()
    assert not events.exists()
    journal = open_journal(store)
    assert [(notice.id, notice.look_up, notice.emitted) for notice in journal.notices()] == [
        ("C-1", "pending", False)
    ]
    api.case((200, CASE))
    second = Process(store, events, api)
    try:
        sender.port = second.port
        assert sender.post(warning()).body == {"status": "duplicate", "notice": "C-1"}
        until(lambda: [notice.next_at for notice in journal.notices()] == [None])
    finally:
        second.kill()
        journal.close()
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert [(event[c.NOTICE_ID], event[c.USER_HASH]) for event in told] == [("C-1", IDENTIFIER)]


# --- automatic suspension ---


class Suspending:
    """Records suspensions; fails the first ``failures`` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.calls: list[tuple[str, str, str]] = []

    def suspend(self, identifier: str, *, by: str, why: str) -> None:
        self.calls.append((identifier, by, why))
        if len(self.calls) <= self.failures:
            raise OSError("the list is away")


BLOCKED = webhook("safety_identifier.blocked", {"safety_identifier": IDENTIFIER, "safety_category": "cyber"})
ON: frozenset[NoticeType] = frozenset({"identifier_blocked", "warning"})


def test_blocked_identifier_is_suspended_once(make: Make) -> None:
    """With automatic suspension on, the identifier is suspended, in the name of the receiver."""
    suspender = Suspending()
    bench = make(suspender=suspender)
    bench.post(BLOCKED)
    bench.post(BLOCKED)
    assert bench.settled("identifier_blocked:evt_1").suspension == "done"
    assert suspender.calls == [(IDENTIFIER, "openai-safety webhooks", "notice identifier_blocked evt_1")]


def test_suspension_waits_for_the_case_and_is_retried(make: Make, api: CaseApi) -> None:
    """Whom only the case names is suspended once the case is read, even if the list was away."""
    api.case((500, ERROR), (200, CASE))
    suspender = Suspending(failures=2)
    bench = make(suspender=suspender, suspend_on=ON)
    bench.post(warning())
    assert bench.settled().suspension == "done"
    assert [call[0] for call in suspender.calls] == [IDENTIFIER] * 3


def test_suspension_that_never_succeeds_is_counted(make: Make) -> None:
    """The steps given up are counted and the notice says so."""
    bench = make(suspender=Suspending(failures=99))
    bench.post(BLOCKED)
    assert bench.settled("identifier_blocked:evt_1").suspension == "failed"
    assert dropped(bench) == {"OSError": 1}


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (BLOCKED | {"traffic": "drill"}, "identifier_blocked:evt_1"),
        (webhook("safety.alert.created", {"id": "alert_1"}), "alert:alert_1"),
        (warning(), "warning:C-1"),
    ],
)
def test_nobody_else_is_suspended(make: Make, api: CaseApi, content: dict[str, Any], key: str) -> None:
    """Drills, alerts and types not asked for suspend nobody."""
    api.case((200, CASE))
    suspender = Suspending()
    bench = make(suspender=suspender)
    bench.post(content)
    assert bench.settled(key).suspension == "off"
    assert suspender.calls == []


def test_list_suspender_records_lists_and_tells(tmp_path: Path) -> None:
    """The real suspender: one decision in the journal, the entry on the list, one decision event."""
    journal = open_journal(str(tmp_path / "journal.db"))
    sink = Collected()
    place = str(tmp_path / "suspensions.json")
    new_list(place)
    for _ in range(2):
        ListSuspender(place, journal, sink).suspend(IDENTIFIER, by="webhooks", why="notice")
    decision = journal.decisions()[0]
    assert journal.decisions() == [decision]
    assert (decision.identifier, decision.action, decision.until) == (IDENTIFIER, "suspend", None)
    assert [(event.name, event.attributes[c.USER_HASH]) for event in sink.events] == [
        ("openai_safety.decision", IDENTIFIER)
    ]
    assert IDENTIFIER in Path(place).read_text()
    journal.close()


# --- the outgoing notification ---


def test_notification_is_posted_once_with_the_case(make: Make, api: CaseApi) -> None:
    """The default body suits Slack, is sent once, and holds what the case told."""
    api.case((500, ERROR), (200, CASE))
    api.answers["/hook/secret-token"] = [(200, {})]
    bench = make(notifier=Notifier(api.url + "/hook/secret-token"), retries=replace(FAST, patience=60.0))
    bench.post(warning())
    notice = bench.settled()
    assert notice.outgoing == "done"
    ((path, body),) = api.posted
    assert path == "/hook/secret-token"
    text = json.loads(body)["text"]
    assert text.startswith(
        f"OpenAI warned about an identifier: C-1, for cyber_abuse, identifier {IDENTIFIER}"
    )


@pytest.mark.parametrize("answer", [(500, {}), (404, {}), HANG])
def test_failing_notification_is_retried_counted_and_harms_nothing(
    make: Make, api: CaseApi, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that fails: retried within bounds, counted, no secret in the log, event and notice unharmed."""
    api.case((200, CASE))
    api.answers["/hook/secret-token"] = [answer]
    bench = make(notifier=Notifier(api.url + "/hook/secret-token", seconds=0.2 if answer is HANG else 10.0))
    bench.post(warning())
    notice = bench.settled()
    assert (notice.outgoing, notice.look_up, len(bench.sink.events)) == ("failed", "done", 1)
    assert len(api.posted) == FAST.tries
    assert sum(dropped(bench).values()) == 1
    assert "secret-token" not in caplog.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_of_a_hook_is_not_followed(make: Make, api: CaseApi, status: int) -> None:
    """A notice is not carried to wherever a redirect points, and a redirect is no success."""
    api.answers["/hook"] = [(status, api.url + "/elsewhere")]
    api.answers["/elsewhere"] = [(200, {})]
    bench = make(notifier=Notifier(api.url + "/hook"))
    bench.post(BLOCKED)
    assert bench.settled("identifier_blocked:evt_1").outgoing == "failed"
    assert dropped(bench) == {"http_3xx": 1}
    assert {path for path, _ in api.posted + api.requests} == {"/hook"}


def test_template_values_cannot_break_out_of_json(make: Make, api: CaseApi, tmp_path: Path) -> None:
    """An event type with quotes, from a signed webhook, stays out of the posted JSON, whatever the template."""
    template = tmp_path / "hook.json"
    template.write_text('{"id": "$id", "kind": "$type", "level": "$severity", "who": "$identifier"}')
    api.answers["/hook"] = [(204, b"")]
    bench = make(notifier=Notifier.from_files(api.url + "/hook", str(template)))
    named = {"safety_identifier": 'a"},{"x'}
    bench.post(webhook("safety_identifier.blocked", named))
    bench.settled("identifier_blocked:evt_1")
    ((_, body),) = api.posted
    who = named["safety_identifier"]
    assert json.loads(body) == {"id": "evt_1", "kind": "identifier_blocked", "level": "ERROR", "who": who}


@pytest.mark.parametrize(
    ("url", "template", "message"),
    [
        ("ftp://host/secret", DEFAULT_TEMPLATE, "http or https"),
        ("http://", DEFAULT_TEMPLATE, "http or https"),
        ("http://host/secret", '{"text": "$nobody"}', "nobody"),
        ("http://host/secret", '{"text": $summary}', "not JSON"),
        ("http://host/secret", '{"text": "$"}', "not JSON"),
    ],
)
def test_wrong_hook_is_an_error_at_start(url: str, template: str, message: str) -> None:
    """A wrong URL or template is found before the first notice; the URL is not shown."""
    with pytest.raises(ValueError, match=message) as caught:
        Notifier(url, template)
    assert "secret" not in str(caught.value)


def test_a_sink_that_raises_is_tried_again(make: Make) -> None:
    """An event that could not be handed over is not noted as told, and is told later."""

    class Flaky(Collected):
        tries = 0

        def emit(self, event: SafetyEvent) -> None:
            self.tries += 1
            if self.tries < 3:
                raise OSError("away")
            super().emit(event)

    sink = Flaky()
    bench = make(sink=sink)
    bench.post(BLOCKED)
    assert bench.settled("identifier_blocked:evt_1").emitted
    assert len(sink.events) == 1


# --- entered by hand ---


@pytest.mark.parametrize("sent", [True, False])
def test_what_was_entered_by_hand_is_counted_and_told_once(
    make: Make, api: CaseApi, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    """The receiver counts it, reads its case, and sends its event only if the command did not."""
    monkeypatch.setattr(steps, "HAND_OVER_SECONDS", 0.3)
    api.case((200, CASE))
    now = int(time.time())
    by_hand = Notice(
        key="warning:C-1", id="C-1", type="warning", origin="manual", received_at=now, recorded_at=now
    )
    bench = make()
    bench.journal.add_notice(steps.entered(by_hand, time.time(), outgoing=False))
    if sent:
        bench.journal.update_notice("warning:C-1", emitted=True)
    assert bench.settled().identifier == IDENTIFIER
    told = [event.attributes.get(c.USER_HASH) for event in bench.sink.events]
    assert told == [IDENTIFIER]
    assert bench.counts("openai_safety.notices", c.NOTICE_TYPE) == {"warning": 1}


def test_a_new_drill_closes_the_one_before(bench: Bench) -> None:
    """Drills do not pile up as open notices, nor as alerts: their end is on record and told; a real one stays open."""
    bench.post(BLOCKED, delivery="wh_0")
    for number in (1, 2):
        content = drill_envelope("warning", f"drill-{number}")
        assert bench.post(content, delivery=f"wh_{number}").body["notice"] == f"C-drill-{number}"
    states = {one.id: (one.traffic, one.status) for one in bench.journal.notices()}
    assert states == {
        "evt_1": ("production", "open"),
        "C-drill-1": ("drill", "closed"),
        "C-drill-2": ("drill", "open"),
    }
    last = bench.journal.notice("warning:C-drill-2")
    assert last is not None
    day = datetime.fromtimestamp(last.recorded_at, timezone.utc)
    assert bench.journal.fact("last_drill") == day.isoformat()
    until(lambda: bench.counts("openai_safety.notices", c.TRAFFIC) == {"production": 1, "drill": 2})
    (made,) = bench.journal.decisions()
    ended = [one.attributes for one in bench.sink.events if one.name == c.DECISION_EVENT]
    assert (made.action, made.by, made.why, made.details) == (
        "close",
        "drill",
        "a later drill",
        {"notice": "warning:C-drill-1"},
    )
    assert ended == [
        {
            c.DECISION_ACTION: "close",
            c.DECISION_BY: "drill",
            c.DECISION_WHY: "a later drill",
            c.DECISION_CHAIN: bench.journal.links()[-1].digest,
            c.NOTICE_ID: "C-drill-1",
            c.NOTICE_TYPE: "warning",
            c.NOTICE_SUBJECT: "unknown",
            c.NOTICE_STATUS: "closed",
            c.TRAFFIC: "drill",
        }
    ]
