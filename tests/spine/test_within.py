"""Calls made inside other calls, and past the outer hook: each answer belongs to its own call."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import sys
import threading
import types
import weakref
from typing import Any, cast

import openai
import pytest
from openai._base_client import SyncAPIClient

from openai_safety_otel import EndUserSuspended, SafetyInstrumentor, end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.ledger.suspensions import ListEntry, open_suspensions
from openai_safety_otel.who.identifier import Hasher
from support.http import http_library
from support.telemetry import KEY, Instrument, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
CHAT = {
    "id": "chatcmpl-outer",
    "object": "chat.completion",
    "created": 0,
    "model": "gpt-5",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
}
FLAGGED = {"id": "modr-inner", "model": "omni-inner", "results": [{"flagged": True, "categories": {}}]}
FAILED = {"error": {"message": "down", "type": "server_error", "code": "server_error", "param": None}}
UNKNOWN = {"error": {"message": "The model does not exist", "type": "x", "code": "model_not_found"}}


def answering(routes: dict[str, tuple[int, Any]], **options: Any) -> openai.OpenAI:
    """A client whose transport answers by the end of the path, with a request id of the path's."""

    def answer(request: Any) -> Any:
        for end, (status, body) in routes.items():
            if request.url.path.endswith(end):
                return http_library.Response(status, json=body, headers={"x-request-id": f"req{end}"})
        raise AssertionError(request.url)

    hooks = options.pop("event_hooks", {})
    http = http_library.Client(transport=http_library.MockTransport(answer), event_hooks=hooks)
    chosen = {"api_key": "sk-test", "base_url": "http://127.0.0.1:9/v1", "max_retries": 0, **options}
    return openai.OpenAI(http_client=http, **chosen)


def facts(event: dict[str, Any]) -> tuple[Any, ...]:
    names = ("openai_safety.outcome", "error.type", "gen_ai.response.id", "openai_safety.provider.request_id")
    return tuple(event.get(name) for name in names)


OUTER = ("completed", None, "chatcmpl-outer", "req/chat/completions")


@pytest.fixture
def filtered(tmp_path: Any, instrument: Instrument) -> None:
    """u42 is under a filter decision."""
    path = str(tmp_path / "list.json")
    open_suspensions(path).create({Hasher(KEY).end_user("u42"): ListEntry("filter", None, "test", "")})
    instrument(suspensions=path)


def test_a_filter_that_fails_open_leaves_the_call_its_own_record(
    filtered: None, telemetry: Telemetry
) -> None:
    """The moderation answers 500, the chat call succeeds: its record is the chat call's alone."""
    client = answering({"/moderations": (500, FAILED), "/chat/completions": (200, CHAT)})
    with end_user("u42"):
        client.chat.completions.create(**ASK)
    assert [OUTER] == [facts(event) for event in telemetry.events]


async def test_an_async_filter_that_fails_open(filtered: None, telemetry: Telemetry) -> None:
    """The same with an async client, whose filter runs in the caller's own task."""

    def answer(request: Any) -> Any:
        inner = request.url.path.endswith("/moderations")
        headers = {"x-request-id": "req/chat/completions" if not inner else "inner"}
        return http_library.Response(500 if inner else 200, json=FAILED if inner else CHAT, headers=headers)

    http = http_library.AsyncClient(transport=http_library.MockTransport(answer))
    async with openai.AsyncOpenAI(
        api_key="sk-test", base_url="http://127.0.0.1:9/v1", http_client=http, max_retries=0
    ) as client:
        with end_user("u42"):
            await client.chat.completions.create(**ASK)
    assert [OUTER] == [facts(event) for event in telemetry.events]


def test_a_filters_refusal_carries_nothing_of_its_moderation(filtered: None, telemetry: Telemetry) -> None:
    """The moderation flags: the refusal has neither its response id nor its model nor its request id."""
    client = answering({"/moderations": (200, FLAGGED)})
    with end_user("u42"), pytest.raises(EndUserSuspended):
        client.chat.completions.create(**ASK)
    (event,) = telemetry.events
    assert ("blocked", None, None) == (facts(event)[0], *facts(event)[2:])
    assert "gen_ai.response.model" not in event


def test_an_unrecorded_call_inside_a_recorded_one(instrument: Instrument, telemetry: Telemetry) -> None:
    """An `api_key` function and an event hook look up a model that does not exist: the chat call is completed."""
    instrument()
    other = answering({"/models/nosuch": (404, UNKNOWN)})

    def look(*_: Any) -> str:
        with pytest.raises(openai.NotFoundError):
            other.models.retrieve("nosuch")
        return "sk-looked-up"

    answering({"/chat/completions": (200, CHAT)}, event_hooks={"request": [look]}).chat.completions.create(
        **ASK
    )
    if "Callable" in str(openai.OpenAI.__init__.__annotations__["api_key"]):  # openai 2 and later
        answering({"/chat/completions": (200, CHAT)}, api_key=look).chat.completions.create(**ASK)
    assert {OUTER} == {facts(event) for event in telemetry.events}


def test_the_error_of_a_call_made_inside_is_not_the_outer_calls(
    instrument: Instrument, telemetry: Telemetry
) -> None:
    """A block of a recorded call inside an event hook breaks the outer call: one call was blocked, not two."""
    instrument()
    blocked = {"error": {"message": "no", "type": "invalid_request_error", "code": "cyber_policy"}}
    other = answering({"/responses": (400, blocked)})

    def ask(_: Any) -> None:
        other.responses.create(model="gpt-5", input="x")

    client = answering({"/chat/completions": (200, CHAT)}, event_hooks={"request": [ask]})
    with pytest.raises(openai.OpenAIError):
        client.chat.completions.create(**ASK)
    outcomes = sorted(
        (event["openai_safety.api"], event["openai_safety.outcome"]) for event in telemetry.events
    )
    assert [("chat", "failed"), ("responses", "blocked")] == outcomes


def taken_over(client: Any) -> None:
    """What logfire does to one client: its own wrapper around the method that the class had then."""
    original = client.request

    @functools.wraps(original)
    def request(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    client.request = request


def test_a_client_taken_over_before_us_is_recorded(
    instrument: Instrument, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Plain, raw, refused and streamed calls leave one record each, without an identifier; said once."""
    refused = {"error": {"message": "no", "type": "invalid_request_error", "code": "cyber_policy"}}
    client = answering({"/chat/completions": (200, CHAT), "/responses": (400, refused), "/models": (200, {})})
    taken_over(client)
    instrument()
    with end_user("u42"):
        client.chat.completions.create(**ASK)
        client.chat.completions.with_raw_response.create(**ASK)
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="gpt-5", input="x")
    outcomes = [(event["openai_safety.outcome"], event["gen_ai.request.model"]) for event in telemetry.events]
    assert [("completed", "gpt-5"), ("completed", "gpt-5"), ("blocked", "gpt-5")] == outcomes
    assert {"withheld"} == {event["openai_safety.identifier.delivery"] for event in telemetry.events}
    assert 1 == len({event["user.hash"] for event in telemetry.events})
    assert 1 == sum("instrumented before openai-safety-otel" in line for line in caplog.messages)


def test_a_stream_of_a_client_taken_over_before_us(
    client: openai.OpenAI, instrument: Instrument, telemetry: Telemetry
) -> None:
    """Its stream ends as one record, with what its chunks said."""
    taken_over(client)
    instrument()
    chunks = list(client.chat.completions.create(**ASK, stream=True))
    (event,) = telemetry.events
    assert ("completed", chunks[0].id) == (event["openai_safety.outcome"], event["gen_ai.response.id"])


def test_taken_over_inside_a_recorded_call(instrument: Instrument, telemetry: Telemetry) -> None:
    """Such a client, used inside another's call, leaves a record of its own and nothing in the other."""
    inner = answering({"/responses": (404, UNKNOWN)})
    taken_over(inner)
    instrument()

    def ask(_: Any) -> None:
        with pytest.raises(openai.NotFoundError):
            inner.responses.create(model="nosuch", input="x")

    outer = answering({"/chat/completions": (200, CHAT)}, event_hooks={"request": [ask]})
    outer.chat.completions.create(**ASK)
    found = {event["openai_safety.api"]: facts(event) for event in telemetry.events}
    assert found == {"chat": OUTER, "responses": ("failed", "model_not_found", None, "req/responses")}


def test_instrumenting_again_and_again_keeps_one_observer() -> None:
    """What was uninstrumented is let go of, also where the SDK's socket modules are not loaded yet."""
    instrumentor = SafetyInstrumentor()
    observers: list[weakref.ref[Observer]] = []
    for _ in range(20):
        instrumentor.instrument(hmac_key=KEY)
        assert instrumentor.observer is not None
        observers.append(weakref.ref(instrumentor.observer))
        instrumentor.uninstrument()
    gc.collect()
    assert [] == [alive for reference in observers if (alive := reference()) is not None]
    assert not hasattr(SyncAPIClient._process_response, "_self_wrapper")


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_a_filter_leaves_behind_is_no_filter(
    is_async: bool,
    tmp_path: Any,
    telemetry: Telemetry,
    instrument: Instrument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A task or a thread that the filter began and that goes on calls for itself: recorded, identified, refused."""
    go, left = threading.Event(), []
    client = answering({"/chat/completions": (200, CHAT)})

    def work() -> None:
        go.wait(60)
        with end_user("ann"):
            client.chat.completions.create(**ASK)
        with end_user("mal"), pytest.raises(EndUserSuspended):
            client.chat.completions.create(**ASK)

    def check(text: str) -> bool:
        context = contextvars.copy_context()
        left.append(threading.Thread(target=context.run, args=(work,)))
        left[0].start()
        return True

    async def check_async(text: str) -> bool:
        return check(text)

    module: Any = types.ModuleType("left_behind")
    module.check = check_async if is_async else check
    monkeypatch.setitem(sys.modules, "left_behind", module)
    path = str(tmp_path / "list.json")
    rows = {"u42": "filter", "mal": "suspend"}
    entries = {
        Hasher(KEY).end_user(name): ListEntry(cast("Any", what), None, "test", "")
        for name, what in rows.items()
    }
    open_suspensions(path).create(entries)
    instrument(suspensions=path, filter="left_behind:check")
    http = http_library.AsyncClient(
        transport=http_library.MockTransport(lambda _: http_library.Response(200, json=CHAT))
    )
    async with openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", http_client=http) as calling:
        with end_user("u42"):
            await calling.chat.completions.create(**ASK)
    go.set()
    await asyncio.to_thread(left[0].join)
    names = (c.OUTCOME, c.USER_HASH)
    expected = [("completed", "u42"), ("completed", "ann"), ("blocked", "mal")]
    assert [(outcome, Hasher(KEY).end_user(name)) for outcome, name in expected] == [
        tuple(event.get(name) for name in names) for event in telemetry.events
    ]
