"""What the receiver takes and what it does not: each delivery answered, counted, stored before its 200."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.ledger.journal import JournalError, Notice, open_journal
from openai_safety_otel.operations.webhooks.drill import signed_headers
from openai_safety_otel.operations.webhooks.receiver import MAX_BODY_BYTES
from openai_safety_otel.operations.webhooks.verify import signing_secrets
from webhooks.bench import CASE, FAST, HANG, HASHER, SECRET, Answered, Bench, CaseApi, until, warning, webhook

Make = Callable[..., Bench]
OF_ORGANISATION = {**CASE, "entity_identifier": None}
WARNING = json.dumps(warning()).encode()


def results(bench: Bench) -> dict[str, int]:
    return bench.counts("openai_safety.webhooks", c.RESULT)


def test_a_warning_is_stored_counted_and_emitted_once(bench: Bench, api: CaseApi) -> None:
    """A genuine warning: 200, one notice with its case's facts, one WARN event with these attributes."""
    api.case((200, CASE))
    assert bench.post(warning()) == Answered(200, {"status": "accepted", "notice": "C-1"})
    notice = bench.settled()
    assert notice == Notice(
        key="warning:C-1",
        id="C-1",
        type="warning",
        received_at=notice.received_at,
        recorded_at=notice.received_at,
        event_type="safety.warning_issued",
        subject="identifier",
        identifier=CASE["entity_identifier"],
        reason="cyber_abuse",
        look_up="done",
        emitted=True,
    )
    (event,) = bench.sink.events
    assert (event.name, event.severity) == ("openai_safety.notice", "WARN")
    assert event.attributes == {
        c.NOTICE_TYPE: "warning",
        c.NOTICE_SUBJECT: "identifier",
        c.NOTICE_ID: "C-1",
        c.NOTICE_STATUS: "open",
        c.NOTICE_ORIGIN: "webhook",
        c.NOTICE_EVENT_TYPE: "safety.warning_issued",
        c.NOTICE_REASON: "cyber_abuse",
        c.NOTICE_RECEIVED: notice.received_at,
        c.USER_HASH: CASE["entity_identifier"],
        c.TRAFFIC: "production",
    }
    assert results(bench) == {"accepted": 1}
    assert bench.counts("openai_safety.notices", c.NOTICE_TYPE) == {"warning": 1}
    assert bench.counts("openai_safety.notice.deadline", c.NOTICE_TYPE) == {}
    assert bench.counts("openai_safety.notices.open", c.NOTICE_SUBJECT) == {"identifier": 1}
    assert api.requests == [("/v1/safety/cases/C-1", "Bearer sk-case")]


@pytest.mark.parametrize(
    ("kind", "data", "key", "severity", "path"),
    [
        ("safety.warning_issued", {"id": "C-7"}, "warning:C-7", "WARN", "/v1/safety/cases/C-7"),
        ("safety.deactivation_issued", {"id": "C-7"}, "deactivation:C-7", "ERROR", "/v1/safety/cases/C-7"),
        ("safety.alert.created", {"id": "alert_7"}, "alert:alert_7", "WARN", "/v1/safety/alerts/alert_7"),
        (
            "safety.org_alert.created",
            {"id": "alert_8"},
            "org_alert:alert_8",
            "WARN",
            "/v1/safety/alerts/alert_8",
        ),
        ("safety_identifier.blocked", {"safety_identifier": "x"}, "identifier_blocked:evt_1", "ERROR", None),
        ("safety.something_new", {"id": "S-1"}, "unknown:S-1", "WARN", None),
        ("safety.warning_issued", None, "warning:evt_1", "WARN", "/v1/safety/cases/evt_1"),
        ("safety.warning_issued", {"id": 5}, "warning:evt_1", "WARN", "/v1/safety/cases/evt_1"),
    ],
)
def test_dispatch_is_on_the_type(
    bench: Bench, api: CaseApi, kind: str, data: Any, key: str, severity: str, path: str | None
) -> None:
    """Every type becomes its own kind of notice, an unknown one is kept, and the right details are read."""
    assert bench.post(webhook(kind, data)).status == 200
    until(lambda: [notice.key for notice in bench.journal.notices() if notice.emitted] == [key])
    (event,) = bench.sink.events
    assert (event.severity, event.attributes[c.NOTICE_EVENT_TYPE]) == (severity, kind)
    assert [request[0] for request in api.requests[:1]] == ([path] if path else [])
    assert results(bench) == {"accepted": 1}


def test_identifier_blocked_carries_what_it_says(bench: Bench) -> None:
    """Identifier, category, model and request id of the webhook that the SDK parses as a wrong class."""
    data = {
        "safety_category": "bio",
        "safety_identifier": "ab" * 32,
        "model": "gpt-6",
        "request_id": "req_9",
        "project_id": "proj_1",
        "id": None,
    }
    bench.post(webhook("safety_identifier.blocked", data))
    bench.settled("identifier_blocked:evt_1")
    (event,) = bench.sink.events
    wanted = (c.USER_HASH, c.NOTICE_CATEGORY, c.REQUEST_MODEL, c.PROVIDER_REQUEST_ID)
    assert [event.attributes[name] for name in wanted] == ["ab" * 32, "bio", "gpt-6", "req_9"]


ANSWER = f"resp_{'68' * 32}"
TUNED = "ft:gpt-6-mini-2026-06-18:an-organisation-of-many-words:support-assistant-nl:AbCdEfGh"


def test_an_alert_carries_request_and_response(bench: Bench, api: CaseApi) -> None:
    """An alert's error type, model, request id and response id join it to the call's span, as long as they may be."""
    details = {
        "id": "alert_1",
        "object": "safety.alert",
        "error_type": "potentially_unintended_data_transfer",
        "model": TUNED,
        "reason": None,
        "request_id": "req_1",
        "response_id": ANSWER,
        "request_paused": True,
        "detailed_explanation": "the user anna@example.com asked",
    }
    api.answers["/v1/safety/alerts/alert_1"] = [(200, details)]
    bench.post(webhook("safety.alert.created", {"id": "alert_1"}))
    bench.settled("alert:alert_1")
    (event,) = bench.sink.events
    wanted = (c.NOTICE_CATEGORY, c.REQUEST_MODEL, c.PROVIDER_REQUEST_ID, c.RESPONSE_ID)
    assert [event.attributes[name] for name in wanted] == [
        "potentially_unintended_data_transfer",
        TUNED,
        "req_1",
        ANSWER,
    ]
    assert "anna" not in repr(event)


@pytest.mark.parametrize("where", ["webhook", "case"])
def test_raw_values_from_the_provider_are_hashed(bench: Bench, api: CaseApi, where: str) -> None:
    """An e-mail address that comes back as the identifier is hashed like an outgoing one, on disk too."""
    raw = "anna@example.com"
    api.case((200, CASE | {"entity_identifier": raw, "reason": f"mail of {raw}"}))
    blocked = webhook(
        "safety_identifier.blocked", {"safety_identifier": raw, "safety_category": f"mail {raw}"}
    )
    bench.post(blocked if where == "webhook" else warning())
    notice = bench.settled("identifier_blocked:evt_1" if where == "webhook" else "warning:C-1")
    assert notice.identifier == HASHER.end_user(raw)
    assert {notice.reason, notice.category} == {None, "_OTHER"}
    assert "anna" not in repr((notice, bench.sink.events))


def test_webhooks_of_other_features_are_answered_and_make_no_notice(bench: Bench) -> None:
    """A subscribed `response.completed` is a 200 and a count, not a notice; its repetition a duplicate."""
    first = bench.post(webhook("response.completed", {"id": "resp_1"}))
    assert first == Answered(200, {"status": "ignored"})
    assert bench.post(webhook("response.completed", {"id": "resp_1"})).body == {"status": "duplicate"}
    assert bench.journal.notices() == []
    assert results(bench) == {"ignored": 1, "duplicate": 1}


def _signed(body: bytes = WARNING, secret: str = SECRET, **changed: str) -> dict[str, str]:
    return signed_headers(body, secret, "wh_1") | {name.replace("_", "-"): v for name, v in changed.items()}


def _at(seconds: int) -> dict[str, str]:
    return signed_headers(WARNING, SECRET, "wh_1", at=int(time.time()) + seconds)


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in _signed().items() if key != name}


# Signed when the test runs: a timestamp is good for five minutes.
REFUSED: dict[str, tuple[bytes, Callable[[], dict[str, str]], str]] = {
    "forged: another secret": (
        WARNING,
        lambda: _signed(secret="whsec_" + base64.b64encode(b"x").decode()),
        "bad_signature",
    ),
    "forged: body changed": (WARNING.replace(b"C-1", b"C-2"), _signed, "bad_signature"),
    "forged: id changed": (WARNING, lambda: _signed(webhook_id="wh_2"), "bad_signature"),
    "replayed: too old": (WARNING, lambda: _at(-301), "bad_signature"),
    "replayed: from the future": (WARNING, lambda: _at(600), "bad_signature"),
    "replayed: new timestamp": (
        WARNING,
        lambda: _at(-301) | {"webhook-timestamp": str(int(time.time()))},
        "bad_signature",
    ),
    "no signature": (WARNING, lambda: _without("webhook-signature"), "bad_signature"),
    "no id": (WARNING, lambda: _without("webhook-id"), "bad_signature"),
    "no timestamp": (WARNING, lambda: _without("webhook-timestamp"), "bad_signature"),
    "empty signature": (WARNING, lambda: _signed(webhook_signature=""), "bad_signature"),
    "signature not base64": (WARNING, lambda: _signed(webhook_signature="v1,%%%"), "bad_signature"),
    "signature not ascii": (WARNING, lambda: _signed(webhook_signature="v1,\xe9"), "bad_signature"),
    "signature of another version": (
        WARNING,
        lambda: _signed(webhook_signature="v2,abc v3,abc"),
        "bad_signature",
    ),
    "timestamp not a number": (WARNING, lambda: _signed(webhook_timestamp="soon"), "bad_signature"),
    "timestamp huge": (WARNING, lambda: _signed(webhook_timestamp="9" * 5000), "bad_signature"),
    "id with spaces": (WARNING, lambda: _signed(webhook_id="wh 1"), "bad_signature"),
    "id too long": (WARNING, lambda: _signed(webhook_id="w" * 300), "bad_signature"),
    "truncated body": (WARNING[:-5], _signed, "bad_signature"),
    "truncated JSON, signed": (WARNING[:-5], lambda: _signed(WARNING[:-5]), "bad_request"),
    "not UTF-8": (b"\xff\xfe", lambda: _signed(b"\xff\xfe"), "bad_signature"),
    "empty body": (b"", lambda: _signed(b""), "bad_request"),
    "JSON, no object": (b"[1]", lambda: _signed(b"[1]"), "bad_request"),
    "no type": (b"{}", lambda: _signed(b"{}"), "bad_request"),
    "type no text": (b'{"type": 5}', lambda: _signed(b'{"type": 5}'), "bad_request"),
    "deep nesting": (b"[" * 60_000, lambda: _signed(b"[" * 60_000), "bad_request"),
    "wrong content type": (WARNING, lambda: _signed(content_type="text/plain"), "bad_request"),
    "no content type": (WARNING, lambda: _without("content-type"), "bad_request"),
    "oversized": (b"x" * (MAX_BODY_BYTES + 1), lambda: _signed(b"x" * (MAX_BODY_BYTES + 1)), "too_large"),
    "gigantic, announced": (b"x", lambda: _signed(b"x") | {"content-length": "999999999999"}, "too_large"),
    "absurd, announced": (b"x", lambda: _signed(b"x") | {"content-length": "9" * 20}, "too_large"),
}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One receiver for all that is refused: it must also survive each of them."""
    provider = CaseApi()
    bench = Bench(str(tmp_path_factory.mktemp("standing") / "journal.db"), provider)
    yield bench
    bench.close()
    provider.close()


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_not_genuine_is_a_400_and_a_count(standing: Bench, name: str) -> None:
    """Forged, replayed, truncated, malformed and gigantic deliveries: 400, one count, nothing stored."""
    body, headers, result = REFUSED[name]
    before = results(standing)
    answer = standing.send(body, headers())
    assert (answer.status, answer.body["status"]) == (400, result)
    assert Counter(results(standing)) - Counter(before) == {result: 1}
    assert standing.journal.notices() == []
    assert standing.sink.events == []


def test_other_methods_are_a_400(bench: Bench) -> None:
    """A GET on the endpoint is refused and counted; nothing is a 500."""
    assert bench.send(b"", {}, "GET").status == 400
    assert bench.send(WARNING, _signed(), "PUT").status == 400
    assert results(bench) == {"bad_request": 2}


def _raw(bench: Bench, data: bytes, *, read: bool = True) -> bytes:
    with socket.create_connection(("127.0.0.1", bench.port), timeout=10) as connection:
        connection.sendall(data)
        return connection.recv(65_536) if read else b""


def _head(headers: dict[str, str], length: str) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST / HTTP/1.1", "host: x", *lines, length, "", ""]).encode()


def test_header_given_twice_is_a_400(bench: Bench) -> None:
    """Two webhook-id headers are refused instead of choosing one."""
    head = _head(_signed(), f"webhook-id: wh_1\r\ncontent-length: {len(WARNING)}")
    assert _raw(bench, head + WARNING).startswith(b"HTTP/1.1 400 ")
    assert results(bench) == {"bad_signature": 1}


def test_gigantic_unannounced_body_is_cut_off(bench: Bench) -> None:
    """A chunked body without end is answered 400 as soon as it passes the limit."""
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    answer = _raw(bench, _head(_signed(), "transfer-encoding: chunked") + chunk * 3)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert results(bench) == {"too_large": 1}


def test_body_that_never_ends_is_a_400(make: Make) -> None:
    """A sender that stops in the middle of the body does not hold the receiver."""
    bench = make(body_seconds=0.2)
    answer = _raw(bench, _head(_signed(), "content-length: 500") + WARNING[:10])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert results(bench) == {"bad_request": 1}


def test_sender_that_hangs_up_harms_nothing(bench: Bench, api: CaseApi) -> None:
    """A connection cut in the middle of the body is counted; the next delivery is taken."""
    api.case((200, CASE))
    _raw(bench, _head(_signed(), "content-length: 500") + WARNING[:10], read=False)
    until(lambda: results(bench) == {"bad_request": 1})
    assert bench.post(warning()).status == 200


def test_duplicated_10_000_times_is_one_notice(bench: Bench, api: CaseApi) -> None:
    """Ten thousand deliveries of one webhook over several connections: all 200, one notice, one event."""
    api.case((200, CASE))
    request = _head(_signed(), f"content-length: {len(WARNING)}") + WARNING
    answers: Counter[bytes] = Counter()

    def deliver(count: int) -> Counter[bytes]:
        seen: Counter[bytes] = Counter()
        with socket.create_connection(("127.0.0.1", bench.port), timeout=60) as connection:
            stream = connection.makefile("rb")
            for _ in range(count):
                connection.sendall(request)
                status, length = stream.readline(), 0
                while (line := stream.readline()) != b"\r\n":
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                seen[status.split()[1] + b" " + stream.read(length)] += 1
            stream.close()
        return seen

    with ThreadPoolExecutor(8) as pool:
        for seen in pool.map(deliver, [1250] * 8):
            answers.update(seen)
    bench.settled()
    assert answers == {
        b'200 {"status": "accepted", "notice": "C-1"}': 1,
        b'200 {"status": "duplicate", "notice": "C-1"}': 9_999,
    }
    assert results(bench) == {"accepted": 1, "duplicate": 9_999}
    assert bench.counts("openai_safety.notices", c.NOTICE_TYPE) == {"warning": 1}
    assert len(bench.journal.notices()) == len(bench.sink.events) == len(api.requests) == 1


def test_same_case_under_a_new_webhook_id_is_a_duplicate(bench: Bench, api: CaseApi) -> None:
    """The provider's second delivery of a case under another id counts and tells nothing twice."""
    api.case((200, CASE))
    bench.post(warning())
    assert bench.post(warning(id="evt_2"), delivery="wh_2").body["status"] == "duplicate"
    bench.settled()
    assert len(bench.sink.events) == 1
    assert bench.counts("openai_safety.notices", c.NOTICE_TYPE) == {"warning": 1}


def test_reordered_deliveries_are_all_kept(bench: Bench, api: CaseApi) -> None:
    """A deactivation that arrives before the warning of its case: both notices, each emitted once."""
    api.case((200, CASE))
    bench.post(webhook("safety.deactivation_issued", {"id": "C-1"}), delivery="wh_2")
    bench.post(warning(), delivery="wh_1")
    bench.settled("deactivation:C-1")
    bench.settled("warning:C-1")
    assert sorted(event.severity for event in bench.sink.events) == ["ERROR", "WARN"]
    assert bench.counts("openai_safety.notices", c.NOTICE_TYPE) == {"warning": 1, "deactivation": 1}


def test_duplicate_after_a_restart_is_known(make: Make, api: CaseApi) -> None:
    """A new process on the same store answers the provider's retry as a duplicate."""
    api.case((200, CASE))
    first = make()
    first.post(warning())
    first.settled()
    second = make()
    assert second.post(warning()).body["status"] == "duplicate"
    assert second.sink.events == []


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_several_receivers_take_a_notice_once(
    make: Make, api: CaseApi, request: pytest.FixtureRequest, kind: str
) -> None:
    """Three receivers on one store, each given the same 20 webhooks at once: each notice is told once."""
    store = request.getfixturevalue("redis_url") if kind == "redis" else None
    patient = replace(FAST, lease=60.0)  # however slow the machine, none is taken for dead
    benches = [make(store, retries=patient) for _ in range(3)]
    for number in range(20):
        api.case((200, CASE), case=f"C-{number}")
    with ThreadPoolExecutor(6) as pool:
        jobs = [
            pool.submit(bench.post, warning(f"C-{number}", id=f"evt_{number}"), delivery=f"wh_{number}")
            for number in range(20)
            for bench in benches
        ]
        answers = Counter(job.result().body["status"] for job in jobs)
    for number in range(20):
        benches[0].settled(f"warning:C-{number}")
    assert answers == {"accepted": 20, "duplicate": 40}
    told = Counter(event.attributes[c.NOTICE_ID] for bench in benches for event in bench.sink.events)
    assert told == {f"C-{number}": 1 for number in range(20)}


def test_answer_does_not_wait_for_the_case(make: Make, api: CaseApi) -> None:
    """While the case API hangs, the notice is on disk, and open as possibly the organisation's."""
    api.case(HANG)
    bench = make(case_seconds=60.0)
    assert bench.post(warning()).status == 200
    assert bench.journal.notices()[0].look_up == "pending"
    assert set(bench.counts("openai_safety.notice.deadline", c.NOTICE_SUBJECT)) == {"unknown"}
    assert bench.counts("openai_safety.notices.open", c.NOTICE_SUBJECT) == {"unknown": 1}


class Broken:
    """A journal whose disk is full."""

    def add_notice(self, notice: Notice, *, delivery: str | None = None) -> bool:
        raise JournalError("journal.db: database or disk is full")

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise JournalError("journal.db: database or disk is full")

        return fail


def test_a_notice_that_cannot_be_stored_is_left_to_the_provider(make: Make) -> None:
    """With a full disk the answer is 503 (the provider retries for 72 h) and the failure is counted."""
    bench = make(receiver_journal=Broken())
    answer = bench.post(warning())
    assert answer == Answered(503, {"status": "failed", "detail": "not stored"})
    assert results(bench) == {"failed": 1}
    assert bench.send(b"", {}, "GET", "/healthz").status == 503


def test_health(bench: Bench) -> None:
    """The health path answers with the date of the last drill and is not counted as a delivery."""
    assert bench.send(b"", {}, "GET", "/hooks/healthz") == Answered(200, {"status": "ok", "last_drill": None})
    assert results(bench) == {}


def test_any_of_several_secrets_is_accepted(make: Make, api: CaseApi) -> None:
    """Organisation and project endpoints have secrets of their own; a plain secret works too."""
    api.case((200, CASE))
    plain = "a-plain-secret-of-32-characters!"
    bench = make(secrets=signing_secrets(f"{SECRET}, {plain}".encode()))
    assert [bench.post(warning(), secret=secret).status for secret in (SECRET, plain, "no")] == [
        200,
        200,
        400,
    ]


@pytest.mark.parametrize("value", [None, b"", b" , ", b"whsec_***", b"whsec_", b"a"])
def test_unusable_secret_is_an_error_at_start(value: bytes | None) -> None:
    """Without a usable secret the receiver does not start, and the message shows nothing of it."""
    with pytest.raises(ValueError, match="secret") as caught:
        signing_secrets(value)
    assert "***" not in str(caught.value)


def test_mounted_in_another_app_it_starts_with_the_first_request(make: Make, api: CaseApi) -> None:
    """Under Starlette's Mount, which passes no lifespan on, deliveries are taken and followed up."""
    starlette = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")

    def mount(app: Any) -> Any:
        return starlette.Starlette(routes=[routing.Mount("/hooks/openai", app=app)])

    bench = make(mount=mount, cases=None)
    assert bench.send(WARNING, _signed(), path="/hooks/openai/").status == 200
    assert bench.settled().look_up_error == "no_key"
    assert len(bench.sink.events) == 1


def test_deadline_is_that_of_the_oldest_open_notice(bench: Bench, api: CaseApi) -> None:
    """The gauge is the earliest deadline of the open notices, per type; closing all of them ends it."""
    for number in (1, 2):
        api.case((200, OF_ORGANISATION), case=f"C-{number}")
        bench.post(warning(f"C-{number}"), delivery=f"wh_{number}")
        bench.settled(f"warning:C-{number}")
    bench.journal.update_notice("warning:C-2", deadline_at=1_000)
    deadline = "openai_safety.notice.deadline"
    assert bench.counts(deadline, c.NOTICE_TYPE) == {"warning": 1_000}
    bench.journal.close_notice("warning:C-2", by="ann", why="done", at=1)
    first = bench.journal.notice("warning:C-1")
    assert bench.counts(deadline, c.NOTICE_TYPE) == {"warning": first.deadline_at if first else None}
    bench.journal.close_notice("warning:C-1", by="ann", why="done", at=1)
    assert bench.counts(deadline, c.NOTICE_TYPE) == {}


@pytest.mark.parametrize(
    "date", [7, -1, 1e300, "9999-12-31T23:59-12:00", "2001-01-01", "2199-01-01", "soon", True]
)
def test_what_is_no_deadline_leaves_the_week(bench: Bench, api: CaseApi, date: Any) -> None:
    """A case's date that cannot be meant (before the notice, years away) neither silences it nor calls it overdue."""
    api.case((200, {**OF_ORGANISATION, "respond_by": date}))
    bench.post(WARNING)
    notice = bench.settled()
    assert notice.deadline_at == notice.received_at + 7 * 86_400
    assert len(bench.sink.events) == 1


def test_webhook_of_a_case_entered_by_hand_only_adds_its_details(make: Make, api: CaseApi) -> None:
    """The mail was first: its webhook counts nothing again; its case is read, and whose it is is told."""
    api.case((200, CASE))
    bench = make()
    by_hand = Notice(
        key="warning:C-1",
        id="C-1",
        type="warning",
        origin="manual",
        received_at=5,
        recorded_at=9,
        emitted=True,
    )
    other = open_journal(str(bench.journal._path))  # type: ignore[attr-defined]
    other.add_notice(by_hand)
    other.close()
    assert bench.post(warning()).body == {"status": "duplicate", "notice": "C-1"}
    assert bench.settled() == replace(
        by_hand,
        event_type="safety.warning_issued",
        subject="identifier",
        identifier=CASE["entity_identifier"],
        reason="cyber_abuse",
        look_up="done",
    )
    assert [event.attributes[c.NOTICE_SUBJECT] for event in bench.sink.events] == ["identifier"]
    assert bench.counts("openai_safety.notices", c.NOTICE_TYPE) == {}


def test_stopping_does_not_wait_for_a_hanging_case(make: Make, api: CaseApi) -> None:
    """The server ends while the case API hangs, and the notice stays due for the next process."""
    api.case(HANG)
    bench = make(case_seconds=60.0)
    bench.post(warning())
    until(lambda: len(api.requests) == 1)
    bench.server.close()
    assert not bench.server.alive
    notice = bench.journal.notices()[0]
    assert (notice.look_up, notice.next_at is None) == ("pending", False)
