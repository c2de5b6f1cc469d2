"""Who a call is for, what the provider sees of it, and what telemetry says about both."""

from __future__ import annotations

import asyncio
import contextvars
import hmac
import inspect
import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import openai
import pytest

from openai_safety_otel import EndUser, carry, end_user, safety_identifier, set_end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import Identity
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.current import current_end_user
from openai_safety_otel.who.detectors import looks_raw
from openai_safety_otel.who.identifier import Hasher
from support.lists import new_list
from support.scripted import scripted
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
U42 = Hasher(KEY).end_user("u42")


def wire(provider: Provider) -> list[tuple[str | None, str]]:
    """What the provider saw: identifier and place of each call."""
    return [(entry.identifier, entry.identifier_place) for entry in provider.ledger]


def who(telemetry: Telemetry) -> list[tuple[str | None, str, str]]:
    return [
        (e.get("user.hash"), e["openai_safety.identifier.source"], e["openai_safety.identifier.delivery"])
        for e in telemetry.events
    ]


def problems(telemetry: Telemetry) -> dict[str, float]:
    points = telemetry.points("openai_safety.identifier.problems")
    return {str(dict(labels)["openai_safety.reason"]): value for labels, value in points.items()}


def test_the_hash_is_the_documented_one() -> None:
    """HMAC-SHA256 over a domain-separated message: anybody can compute it from the key and this line."""
    expected = hmac.digest(KEY, b"openai-safety-otel\x00v1\x00user\x00u42", "sha256").hex()
    assert (expected, 64, True) == (U42, len(U42), U42 != Hasher(KEY).session("u42"))


FORMS: dict[str, tuple[dict[str, Any], tuple[str | None, str, str]]] = {
    "user": ({"user": "u42"}, (U42, "end_user", "sent")),
    "session": ({"session": "s9"}, (Hasher(KEY).session("s9"), "session", "sent")),
    "linked": ({"user": "u42", "session": "s9"}, (U42, "end_user", "sent")),
    "own scheme": ({"identifier": "acme-77"}, ("acme-77", "caller", "sent")),
    "system": ({"system": "nightly"}, (None, "system", "none")),
    "nobody": ({}, (None, "absent", "none")),
}


@pytest.mark.parametrize("form", FORMS)
def test_five_forms_and_nobody(
    form: str, client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Each form of `end_user` is on the wire as telemetry says, and in the right words."""
    instrument()
    arguments, expected = FORMS[form]
    with end_user(**arguments):
        client.responses.create(**ASK)
    assert [expected] == who(telemetry)
    assert [(expected[0], "body" if expected[0] else "none")] == wire(provider)
    linked = Hasher(KEY).session("s9") if form == "linked" else None
    assert linked == telemetry.events[0].get("openai_safety.identifier.linked")


def calls(client: openai.OpenAI, **extra: Any) -> None:
    client.responses.create(**ASK, **extra)
    client.chat.completions.create(**CHAT, **extra)
    client.images.generate(model="gpt-image-1", prompt="a cat", **extra)
    client.images.edit(model="gpt-image-1", prompt="a cat", image=b"png", **extra)


def test_every_api_with_a_field_gets_the_same_value(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Body fields (multipart included) and the Realtime header carry one identifier; Embeddings take none."""
    instrument()
    with end_user("u42"):
        calls(client)
        client.embeddings.create(model="e", input="x")
        if hasattr(client, "realtime"):
            client.realtime.client_secrets.create(session={"type": "realtime"})
    seen = wire(provider)
    assert [(U42, "body")] * 4 == seen[:4]
    assert (None, "none") == seen[4]
    assert [] == seen[6:]
    assert {(U42, "header")} >= set(seen[5:])
    deliveries = [event["openai_safety.identifier.delivery"] for event in telemetry.events]
    assert ["sent"] * 4 + ["not_accepted"] + ["sent"] * (len(seen) - 5) == deliveries
    assert {U42} == {event["user.hash"] for event in telemetry.events}


CALLERS: dict[str, dict[str, Any]] = {
    "argument": {"safety_identifier": "theirs"},
    "extra body": {"extra_body": {"safety_identifier": "theirs"}},
    "null": {"extra_body": {"safety_identifier": None}},
}


@pytest.mark.parametrize("way", CALLERS)
def test_the_callers_own_value_is_left_alone(
    way: str, client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Wherever the app puts its own identifier, even null, it stays, is recorded, and is not doubled."""
    instrument()
    value = None if way == "null" else "theirs"
    extra = dict(CALLERS[way])
    if way == "argument" and openai.__version__.startswith("1.66"):
        extra = CALLERS["extra body"]
    with end_user("u42"):
        client.responses.create(**ASK, **extra)
    (entry,) = provider.ledger
    assert [value] == list(entry.identifiers.values()) or (value is None and entry.identifier is None)
    (event,) = telemetry.events
    expected = ("theirs", "caller", "sent", True) if value else (U42, "end_user", "none", None)
    assert expected == (*who(telemetry)[0], event.get("openai_safety.identifier.conflict"))
    assert ({"conflict": 1} if value else {}) == problems(telemetry)


@pytest.mark.parametrize("where", ["request", "client"])
def test_a_header_of_the_app_counts_as_its_own(
    where: str, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """An identifier header, in any case, on the request or the client, keeps ours off the wire."""
    instrument()
    header = {"openai-SAFETY-identifier": "theirs"}
    with (
        openai.OpenAI(
            api_key="k", base_url=provider.url, default_headers=header if where == "client" else None
        ) as client,
        end_user("u42"),
    ):
        client.responses.create(**ASK, extra_headers=header if where == "request" else None)
    (entry,) = provider.ledger
    assert ["theirs"] == list(entry.identifiers.values())
    assert [("theirs", "caller", "sent")] == who(telemetry)


REWRITES = {
    "keep": ("jo@example.com", True),
    "hash": (Hasher(KEY).end_user("jo@example.com"), None),
    "replace": (U42, None),
}


@pytest.mark.parametrize("mode", REWRITES)
def test_settings_hash_or_replace_the_callers_value(
    mode: str, client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """`CALLER_IDENTIFIER` changes the wire only as it says; telemetry never shows an e-mail address."""
    instrument(caller_identifier=mode)
    with end_user("u42"):
        client.chat.completions.create(**CHAT, extra_body={"safety_identifier": "jo@example.com"})
    on_wire, raw = REWRITES[mode]
    assert [(on_wire, "body")] == wire(provider)
    (event,) = telemetry.events
    assert "jo@example.com" not in str(event)
    shown = on_wire if mode != "keep" else Hasher(KEY).end_user("jo@example.com")
    assert (shown, raw) == (event["user.hash"], event.get("openai_safety.identifier.raw_suspected"))


def test_a_raw_user_id_as_identifier_is_suspected(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """An app that sends the raw id of its end user is told so, and telemetry shows the hash."""
    instrument()
    with end_user("u42"):
        client.responses.create(**ASK, extra_body={"safety_identifier": "u42"})
    (event,) = telemetry.events
    assert (U42, True) == (event["user.hash"], event["openai_safety.identifier.raw_suspected"])
    assert {"raw_suspected": 1} == problems(telemetry)


@pytest.mark.parametrize(
    ("user", "shown"), [("acct_1", "acct_1"), ("jo@example.com", Hasher(KEY).end_user("jo@example.com"))]
)
def test_a_lone_legacy_user_is_recorded(
    user: str, shown: str, client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """`user=` alone is an identifier the provider sees; personal data in it is shown as a hash only."""
    instrument()
    client.chat.completions.create(**CHAT, user=user)
    assert [(shown, "legacy_user", "sent")] == who(telemetry)


def test_legacy_user_leaves_room_for_the_identifier(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """With an end user known, `user=` stays as it is and `safety_identifier` is added beside it."""
    instrument()
    with end_user("u42"):
        client.chat.completions.create(**CHAT, user="acct_1")
    (entry,) = provider.ledger
    assert {"body": U42, "user": "acct_1"} == entry.identifiers


def test_hosts_off_the_list_get_nothing(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """An unlisted host is recorded as not accepting an identifier, and coverage leaves it out."""
    instrument(inject_hosts="api.openai.com")
    with end_user("u42"):
        client.responses.create(**ASK)
    assert [(None, "none")] == wire(provider)
    assert [(U42, "end_user", "not_accepted")] == who(telemetry)


def test_another_providers_header(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """`HOST_IDENTIFIERS` puts the identifier where another provider takes it, and nowhere else."""
    instrument(inject_hosts="api.openai.com", host_identifiers="127.0.0.1=header:X-Their-Identifier")
    with end_user("u42"):
        raw = client.chat.completions.with_raw_response.create(**CHAT)
    assert U42 == raw.http_request.headers["X-Their-Identifier"]
    assert [(None, "none")] == wire(provider)
    assert [(U42, "end_user", "sent")] == who(telemetry)


def test_identifiers_off(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """A single-user app needs no key: outcomes stay, nothing is added, coverage leaves it out."""
    instrument(identifier="off", hmac_key=None)
    client.responses.create(**ASK)
    assert [(None, "none")] == wire(provider)
    assert [(None, "not_used", "none")] == who(telemetry)
    assert {} == problems(telemetry)


KEYS: dict[str, dict[str, Any]] = {
    "absent": {"hmac_key": None},
    "unreadable": {"hmac_key": None, "hmac_key_file": "/nonexistent/key"},
}


@pytest.mark.parametrize("case", KEYS)
def test_a_bad_key_is_one_line_and_counted(
    case: str,
    client: openai.OpenAI,
    provider: Provider,
    telemetry: Telemetry,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A short, absent or unreadable key never harms a call nor lets a raw value out."""
    with caplog.at_level(logging.WARNING):
        instrument(**KEYS[case])
        with end_user("u42"):
            client.responses.create(**ASK)
            client.responses.create(**ASK)
    assert [(None, "none")] * 2 == wire(provider)
    assert [(None, "end_user", "withheld")] * 2 == who(telemetry)
    assert {"no_key": 2} == problems(telemetry)
    assert 1 == sum("hashed identifier" in record.message for record in caplog.records)


def huge() -> str:
    return "x" * 10_000_000


def raising() -> str:
    raise LookupError("who is jo@example.com?")


RESOLVERS: dict[str, tuple[Any, str | None, dict[str, float]]] = {
    "str": (lambda: "u42", U42, {}),
    "user": (lambda: EndUser("u42"), U42, {}),
    "none": (lambda: None, None, {"no_user": 1}),
    "bytes": (lambda: b"u42", None, {"no_user": 1, "resolver_failed": 1}),
    "huge": (huge, None, {"no_user": 1, "resolver_failed": 1}),
    "raises": (raising, None, {"no_user": 1, "resolver_failed": 1}),
    "blocks": (lambda: __import__("time").sleep(0.05) or "u42", U42, {"resolver_slow": 1}),
}


@pytest.mark.parametrize("case", RESOLVERS)
def test_resolvers(
    case: str,
    client: openai.OpenAI,
    telemetry: Telemetry,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A resolver names the user; one that raises, blocks or answers nonsense is counted and says no name."""
    function, value, counted = RESOLVERS[case]
    with caplog.at_level(logging.WARNING):
        instrument(user_resolver=function)
        client.responses.create(**ASK)
    slow = problems(telemetry)
    if case != "blocks":
        slow.pop("resolver_slow", None)  # a busy machine may be slow for any of them
    assert (value, counted) == (telemetry.events[0].get("user.hash"), slow)
    assert "jo@example.com" not in caplog.text


def test_wrong_argument_raises_at_once(instrument: Instrument) -> None:
    """`instrument(…)` refuses an unknown or wrong argument; the environment never raises."""
    with pytest.raises(TypeError, match="unknown setting: spam"):
        instrument(spam="x")
    with pytest.raises(ValueError, match="span: expected one of"):
        instrument(span="sideways")


def test_wrong_environment_is_one_line(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong environment value keeps the default and is logged without its value."""
    monkeypatch.setenv("OPENAI_SAFETY_SPAN", "s3cret-in-the-wrong-place")
    with caplog.at_level(logging.WARNING):
        instrumentor = instrument()
    assert instrumentor.observer is not None
    assert "auto" == instrumentor.observer.settings.span
    assert ["OPENAI_SAFETY_SPAN is ignored: expected one of auto, own, enrich, off"] == [
        record.getMessage() for record in caplog.records
    ]


async def test_tasks_threads_and_executors(
    async_client: openai.AsyncOpenAI, client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Tasks and `to_thread` carry the end user by themselves, executors with `carry`, and none leaks."""
    instrument()
    create: Any = client.responses.create
    with end_user("u42"):
        await asyncio.create_task(async_client.responses.create(**ASK))
        await asyncio.to_thread(create, **ASK)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(carry(create), **ASK).result()
            pool.submit(create, **ASK).result()
    await async_client.responses.create(**ASK)
    assert [U42, U42, U42, None, None] == [value for value, _, _ in who(telemetry)]


def test_decorator_and_nesting() -> None:
    """The decorator and nested blocks set and restore; another context is not touched."""

    @end_user("inner")
    def inside() -> str | None:
        found = current_end_user()
        return found.id if found else None

    with end_user("outer"):
        seen = [inside(), (current_end_user() or EndUser()).id]
        elsewhere = contextvars.Context().run(current_end_user)
    assert ["inner", "outer"] == seen
    assert (None, None) == (elsewhere, current_end_user())
    set_end_user("u1")
    assert EndUser("u1") == current_end_user()
    set_end_user(None)
    assert current_end_user() is None


def named() -> str | None:
    """The id of the end user of the running context."""
    found = current_end_user()
    return found.id if found else None


def test_a_decorated_generator_keeps_its_end_user_to_itself() -> None:
    """Two that take turns, and whoever reads them between their steps, each have their own end user."""

    def made(user: str) -> Any:
        @end_user(user)
        def steps() -> Any:
            told = yield named()
            set_end_user(f"{user}/2")
            try:
                yield told, named()
            except KeyError:
                yield "caught", named()
            return named()

        return steps()

    with end_user("reader"):
        first, second = made("a"), made("b")
        found = [next(first), next(second), named(), first.send("x"), named(), second.send("y"), named()]
        found += [first.throw(KeyError()), named()]
        with pytest.raises(StopIteration) as ended:
            next(first)
        second.close()
        found += [ended.value.value, named()]
    assert found == [
        *("a", "b", "reader", ("x", "a/2"), "reader", ("y", "b/2"), "reader"),
        *(("caught", "a/2"), "reader", "a/2", "reader"),
    ]


async def test_a_decorated_async_generator_keeps_its_end_user_to_itself() -> None:
    """As the plain one; what is thrown in, a cancellation too, is the body's, and closing it closes the body."""
    closed: list[str | None] = []

    def made(user: str) -> Any:
        @end_user(user)
        async def steps() -> Any:
            try:
                told = yield named()
                try:
                    yield told, named()
                except asyncio.CancelledError:
                    yield "cancelled", named()
            finally:
                closed.append(named())

        assert inspect.isasyncgenfunction(steps)
        return steps()

    first, second = made("a"), made("b")
    found = [await anext(first), await anext(second), named(), await first.asend("x"), named()]
    found += [await first.athrow(asyncio.CancelledError()), named(), [one async for one in first]]
    await second.aclose()
    assert found == ["a", "b", None, ("x", "a"), None, ("cancelled", "a"), None, []]
    assert closed == ["a", "b"]


@pytest.mark.parametrize("echo", ["another", U42, Hasher(KEY).session("s9")])
def test_a_fetched_answer_is_of_whom_it_was_made_for(
    echo: str, telemetry: Telemetry, instrument: Instrument, tmp_path: Path
) -> None:
    """Whoever fetches it: a block found in another's answer is not theirs, and suspends the other."""
    path = tmp_path / "suspensions.json"
    new_list(str(path))
    made = instrument(suspensions=str(path), auto_suspend="provider", store=f"{path}.db")
    failed = {"id": "resp_9", "object": "response", "status": "failed", "safety_identifier": echo}
    body = json.dumps({**failed, "error": {"code": "identifier_blocked", "message": "no"}}).encode()
    client = scripted([body], base_url="https://api.openai.com/v1", in_memory=True)
    with end_user("u42", session="s9"):
        client.responses.retrieve("resp_9")
    (event,) = [one for one in telemetry.events if one[c.EVENT_NAME] == c.CALL_EVENT]
    owner = "another" if echo == "another" else U42
    assert (event[c.USER_HASH], event[c.BLOCK_TYPE]) == (owner, "identifier_blocked")
    guard = cast("Any", made.observer).guard
    until(lambda: guard.check(Identity(value=owner)))
    assert set(json.loads(path.read_text())["entries"]) == {owner}


@pytest.mark.parametrize("fetcher", [{}, {"user": "bob"}, {"system": "poller"}], ids=str)
def test_an_answer_without_an_echo_is_of_whoever_asked_for_it(
    fetcher: dict[str, str], telemetry: Telemetry, instrument: Instrument
) -> None:
    """Where no identifier was sent none comes back: this process knows for whom it asked, whoever fetches it."""
    instrument(inject_hosts="api.openai.com")
    queued = {"id": "resp_9", "object": "response", "status": "queued", "background": True, "output": []}
    failed = {**queued, "status": "failed", "error": {"code": "cyber_policy", "message": "no"}}
    with end_user("ann", session="s9"):
        scripted([json.dumps(queued).encode()]).responses.create(
            model="m", input="x", extra_body={"background": True}
        )
    with end_user(**fetcher):
        scripted([json.dumps(queued).encode()]).post("/responses/resp_9/cancel", cast_to=object)
        telemetry.clear()
        scripted([json.dumps(failed).encode()]).responses.retrieve("resp_9")
    ann = Hasher(KEY).end_user("ann")
    found = [(one[c.OUTCOME], one.get(c.USER_HASH), one[c.IDENTIFIER_SOURCE]) for one in telemetry.events]
    assert [("blocked", ann, "end_user")] == found


@pytest.mark.parametrize(
    ("url", "inject", "suspended"),
    [
        ("https://api.openai.com/v1", True, {U42}),
        ("https://api.openai.com/v1", False, set()),
        ("https://gateway.example/v1", True, set()),
    ],
    ids=["sent", "injection off", "a gateway's own"],
)
def test_a_block_suspends_only_whom_the_provider_was_told_of(
    url: str, inject: bool, suspended: set[str], instrument: Instrument, tmp_path: Path
) -> None:
    """What was never sent cannot be what is blocked: a gateway's own identifier suspends none of its users."""
    path = tmp_path / "suspensions.json"
    new_list(str(path))
    settings = {"suspensions": str(path), "auto_suspend": "provider", "store": f"{path}.db"}
    guard = cast("Any", instrument(**settings, inject=inject).observer).guard
    body = json.dumps({"error": {"code": "identifier_blocked", "message": "no"}}).encode()
    client = scripted([body], base_url=url, status=400, in_memory=True)
    with end_user("u42"), pytest.raises(openai.BadRequestError):
        client.responses.create(**ASK)
    done: list[bool] = []
    guard._refresher.ask(lambda _: done.append(True))
    until(lambda: done)
    assert set(json.loads(path.read_text())["entries"]) == suspended


def test_safety_identifier_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`safety_identifier` computes the same value where calls are made that nobody here sees."""
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", KEY.decode())
    assert (U42, Hasher(KEY).session("s9")) == (safety_identifier("u42"), safety_identifier(session="s9"))
    with pytest.raises(TypeError, match="either"):
        safety_identifier()


def test_redteam_lives_in_a_domain_of_its_own(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """A red-team run of an employee never carries the employee's real identifier."""
    instrument(traffic="redteam")
    with end_user("u42"):
        client.responses.create(**ASK)
    (event,) = telemetry.events
    assert (Hasher(KEY, redteam=True).end_user("u42"), "redteam") == (
        event["user.hash"],
        event["openai_safety.traffic"],
    )
    assert event["user.hash"] != U42


def test_key_never_shows() -> None:
    """Neither settings nor the hasher show key material."""
    from openai_safety_otel.contract.settings import Settings

    shown = repr(Settings.resolve({}, hmac_key=KEY)) + repr(Hasher(KEY)) + repr(EndUser("jo@example.com"))
    assert not re.search(rf"{KEY.decode()}|jo@example", shown)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ("u42", False),
        ("a" * 64, False),
        ("550e8400-e29b-41d4-a716-446655440000", False),
        ("jo@example.com", True),
        ("+49 170 1234567", True),
        ("+491701234567", True),
        ("Jo Doe", True),
        ("1700000000000000000", False),
    ],
)
def test_what_looks_like_personal_data(value: str, raw: bool) -> None:
    """E-mail addresses, telephone numbers and names with spaces look raw; opaque ids do not."""
    assert raw == looks_raw(value)


def test_user_is_looked_at_beside_an_end_user(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Personal data in `user=` goes out beside the identifier: counted and marked."""
    instrument()
    with end_user("u42"):
        client.chat.completions.create(**CHAT, user="bob@example.com")
        client.chat.completions.create(**CHAT, user="acct_1")
    assert [(U42, True), (U42, None)] == [
        (event["user.hash"], event.get("openai_safety.identifier.raw_suspected"))
        for event in telemetry.events
    ]
    assert {"raw_suspected": 1} == problems(telemetry)


@pytest.mark.parametrize("blank", [" ", "\t\n", "\u00a0", "\u200b"])
def test_what_cannot_be_seen_is_nobody(
    blank: str, client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """As an end user, a session, the app's own identifier, or `user=`."""
    instrument()
    with end_user(blank, session=blank):
        client.responses.create(**ASK)
    client.responses.create(**ASK, extra_body={"safety_identifier": blank})
    client.chat.completions.create(**CHAT, user=blank)
    assert [(None, "absent", "none"), (None, "caller", "none"), (None, "absent", "none")] == who(telemetry)


def test_long_identifiers_are_hashed_not_cut(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Two that begin alike stay two people in telemetry, and as they are on the wire."""
    instrument()
    sent = ["tenant:" + "x" * 130 + end for end in "ab"]
    for value in sent:
        with end_user(identifier=value):
            client.responses.create(**ASK)
    assert sent == [entry.identifier for entry in provider.ledger]
    assert [Hasher(KEY).end_user(value) for value in sent] == [
        event["user.hash"] for event in telemetry.events
    ]
    assert {} == problems(telemetry)
