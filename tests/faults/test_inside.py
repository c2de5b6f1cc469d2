"""Faults inside the process: providers that raise, hostile objects, clocks, forks, instrumenting at odd times."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.metrics import NoOpMeter, NoOpMeterProvider
from opentelemetry.trace import NoOpTracer, NoOpTracerProvider

from openai_safety_otel import end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.testing.provider import Provider
from support.event_files import records
from support.scripted import plain, scripted, seen_by_app
from support.telemetry import KEY, Instrument, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}


class Broken(RuntimeError):
    pass


def broken(*_: Any, **__: Any) -> Any:
    raise Broken


class _Span:
    def __getattr__(self, name: str) -> Any:
        return broken


class _Tracer(NoOpTracer):
    start_span = broken


class _SpanTracer(NoOpTracer):
    def start_span(self, *_: Any, **__: Any) -> Any:
        return _Span()


class _Instrument:
    add = record = broken


class _Meter(NoOpMeter):
    create_counter = create_histogram = create_observable_gauge = broken


class _AddMeter(NoOpMeter):
    def create_counter(self, *_: Any, **__: Any) -> Any:
        return _Instrument()

    create_histogram = create_counter


class _Logger:
    emit = broken


def provider_of(base: type, method: str, product: Any) -> Any:
    give = product if product is broken else lambda *_, **__: product
    return type("Provider", (base,), {method: staticmethod(give)})()


# What is broken, and how many spans, events and counted calls are left of one call.
PROVIDERS: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "get_tracer": ({"tracer_provider": provider_of(NoOpTracerProvider, "get_tracer", broken)}, (0, 1, 1)),
    "start_span": ({"tracer_provider": provider_of(NoOpTracerProvider, "get_tracer", _Tracer())}, (0, 1, 1)),
    "span": ({"tracer_provider": provider_of(NoOpTracerProvider, "get_tracer", _SpanTracer())}, (0, 1, 1)),
    "get_meter": ({"meter_provider": provider_of(NoOpMeterProvider, "get_meter", broken)}, (1, 1, 0)),
    "create": ({"meter_provider": provider_of(NoOpMeterProvider, "get_meter", _Meter("m"))}, (1, 1, 0)),
    "add": ({"meter_provider": provider_of(NoOpMeterProvider, "get_meter", _AddMeter("m"))}, (1, 1, 0)),
    "get_logger": ({"logger_provider": provider_of(object, "get_logger", broken)}, (1, 0, 1)),
    "emit": ({"logger_provider": provider_of(object, "get_logger", _Logger())}, (1, 0, 1)),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_providers_that_raise(
    name: str, client: openai.OpenAI, provider: Provider, telemetry: Telemetry
) -> None:
    """Lost: only that provider's own signal; the app sees nothing, and the identifier is sent."""
    before = plain(client.responses.create(**ASK))[0]
    replaced, left = PROVIDERS[name]
    instrumentor = SafetyInstrumentor()
    instrumentor.instrument(
        **{**telemetry.providers, **replaced},
        hmac_key=KEY,
        inject_hosts="+127.0.0.1",
    )
    try:
        with end_user("u1"):
            after = plain(client.responses.create(**ASK))[0]
            streamed = [type(chunk) for chunk in client.responses.create(**ASK, stream=True)]
    finally:
        instrumentor.uninstrument()
    assert (before, True) == (after, len(streamed) > 1)
    assert [None, True, True] == [
        entry.identifier and len(entry.identifier) == 64 for entry in provider.ledger
    ]
    counted = sum(telemetry.points("openai_safety.calls").values())
    assert tuple(2 * one for one in left) == (len(telemetry.spans), len(telemetry.events), counted)


def dropped(telemetry: Telemetry) -> dict[tuple[Any, Any], float]:
    points = telemetry.points("openai_safety.dropped")
    return {(dict(labels)[c.SIGNAL], dict(labels)[c.REASON]): value for labels, value in points.items()}


def test_our_own_failures_are_counted(
    client: openai.OpenAI, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, instrument: Instrument
) -> None:
    """Lost and counted: where our own code raises, the call goes on and `dropped` says where it was lost."""
    instrument()
    monkeypatch.setattr("openai_safety_otel.instrumentation.observer.classify", broken)
    assert "completed" == client.responses.create(**ASK).status
    assert ({("record", "internal_error"): 1}, []) == (dropped(telemetry), telemetry.events)


# --- hostile objects ---------------------------------------------------------------------------------------


class HostileText(str):
    __slots__ = ()
    __repr__ = __str__ = __format__ = __bool__ = __len__ = __hash__ = __eq__ = broken


class HostileThing:
    __repr__ = __str__ = __bool__ = __len__ = __iter__ = __eq__ = __hash__ = __getattr__ = broken


class HostileDict(dict[str, Any]):
    __repr__ = __bool__ = __contains__ = get = items = __getitem__ = __len__ = broken


HOSTILE = {
    "model": lambda: {**ASK, "model": HostileText("gpt-5")},
    "input": lambda: {**ASK, "input": HostileText("hello")},
    "input thing": lambda: {**ASK, "input": [HostileThing()]},
    "metadata": lambda: {**ASK, "metadata": HostileDict(a="b")},
    "extra_body": lambda: {**ASK, "extra_body": HostileDict(a="b")},
    "identifier": lambda: {**ASK, "safety_identifier": HostileText("mine")},
    "identifier thing": lambda: {**ASK, "safety_identifier": HostileThing()},
    "headers": lambda: {**ASK, "extra_headers": {"X-A": HostileText("b")}},
    "moderation": lambda: {**ASK, "moderation": HostileThing()},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arguments(
    name: str, client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Nothing lost: arguments whose every method raises have the same fate as without us; one record."""
    before = seen_by_app(lambda: client.responses.create(**HOSTILE[name]()))
    instrument()
    assert _but_ids(before) == _but_ids(seen_by_app(lambda: client.responses.create(**HOSTILE[name]())))
    recorded = len(telemetry.events)
    assert 1 == recorded + sum(dropped(telemetry).values()) or not _reached_request(before)


def _but_ids(seen: Any) -> Any:
    """Without what differs between two answers of the stub."""
    if isinstance(seen[1], dict):
        return seen[0], sorted(seen[1])
    return seen


def _reached_request(seen: Any) -> bool:
    return bool(seen[0] != "Broken")


class HostileModel(openai.BaseModel):
    def __getattribute__(self, name: str) -> Any:
        if name in {"id", "status", "model", "output", "usage", "moderation", "error", "choices"}:
            raise Broken
        return super().__getattribute__(name)


def test_hostile_answer(client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument) -> None:
    """Nothing of the call is lost: an answer class of the app whose members raise still leaves one record."""
    instrument()
    answer = client.post("/responses", cast_to=HostileModel, body=ASK)
    assert (HostileModel, 1) == (type(answer), len(telemetry.events))


def test_hostile_end_user(client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument) -> None:
    """Lost and counted: a resolver that answers with a hostile object; the call goes on as nobody's."""
    instrument(user_resolver=HostileThing)
    assert "completed" == client.responses.create(**ASK).status
    problems = telemetry.points("openai_safety.identifier.problems")
    assert 1 == problems[frozenset({(c.REASON, "resolver_failed")})]


# --- odd answers -------------------------------------------------------------------------------------------

_DEEP = b'{"output":' + b"[" * 5000 + b"]" * 5000 + b"}"
_HUGE = b'{"id":"resp_1","model":"' + b"m" * 2_000_000 + b'","status":"' + b"s" * 1_000_000 + b'"}'
ANSWERS: dict[str, bytes] = {
    "empty": b"",
    "no fields": b"{}",
    "null": b"null",
    "list": b"[]",
    "text": b'"text"',
    "wrong types": b'{"id":7,"status":[],"output":{"a":1},"usage":"many","moderation":true,"error":"x"}',
    "wrong inside": b'{"output":[null,7,{"content":[null,{"type":7}]}],"usage":{"input_tokens":"a"}}',
    "enormous": _HUGE,
    "deeply nested": _DEEP,
    "not utf-8": b'{"id":"\xff\xfe","status":"\xc3"}',
    "torn": b'{"id":"resp_1","out',
    "surrogates": b'{"id":"\\ud800","model":"\\udfff"}',
    "empty choices": b'{"id":"c1","choices":[],"model":"m"}',
    "null choices": b'{"id":"c1","choices":null}',
    "infinite": b'{"usage":{"input_tokens":1e999},"moderation":{"input":{"category_scores":{"hate":1e999}}}}',
}


def _read_streaming(client: openai.OpenAI) -> bytes:
    with client.responses.with_streaming_response.create(**ASK) as response:
        return bytes(response.read())


WAYS: dict[str, Any] = {
    "plain": lambda client: client.responses.create(**ASK),
    "chat": lambda client: client.chat.completions.create(model="m", messages=[]),
    "raw": lambda client: client.responses.with_raw_response.create(**ASK).http_response.content,
    "raw parsed": lambda client: client.responses.with_raw_response.create(**ASK).parse(),
    "stream": lambda client: list(client.responses.create(**ASK, stream=True)),
    "bytes": _read_streaming,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("status", [200, 400])
def test_odd_answers(status: int, name: str, way: str, telemetry: Telemetry, instrument: Instrument) -> None:
    """Nothing lost: the app sees what it would without us, one record, and every attribute stays short."""
    body = b"data: " + ANSWERS[name] + b"\n\n" if way == "stream" and status == 200 else ANSWERS[name]
    kind = "text/event-stream" if way == "stream" and status == 200 else "application/json"
    client = scripted([body[:7], body[7:]], status=status, content_type=kind)
    before = seen_by_app(lambda: WAYS[way](client))
    instrument()
    assert before == seen_by_app(lambda: WAYS[way](client))
    (event,) = telemetry.events
    long = {
        key: len(value) for key, value in event.items() if isinstance(value, str | tuple) and len(value) > 256
    }
    assert {} == long


def test_a_clock_that_goes_backwards(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing lost: durations and the order of start and end do not come from the wall clock."""
    instrument()
    now = iter(range(2_000_000_000_000_000_000, 0, -3_600_000_000_000))
    monkeypatch.setattr(time, "time_ns", lambda: next(now))
    for _ in client.responses.create(**ASK, stream=True):
        pass
    (span,), (event,) = telemetry.spans, telemetry.events
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 60e9
    assert event["openai_safety.time_to_first_output"] > 0


# --- instrumenting at odd times ----------------------------------------------------------------------------


def test_instrumented_twice(client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument) -> None:
    """Nothing lost, nothing twice: a second `instrument()` changes nothing."""
    instrument()
    instrument()
    client.responses.create(**ASK)
    assert 1 == len(telemetry.events)


def test_uninstrumented_while_calls_run(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Every call succeeds; none is recorded twice; what runs while the hooks are away is the app's own wish."""
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not over.is_set():
                client.responses.create(**ASK)
                for _ in client.responses.create(**ASK, stream=True):
                    pass
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(15):
        instrumentor = instrument()
        time.sleep(0.05)
        instrumentor.uninstrument()
    over.set()
    for worker in workers:
        worker.join()
    requests = [event[c.PROVIDER_REQUEST_ID] for event in telemetry.events if c.PROVIDER_REQUEST_ID in event]
    known = {entry.request_id for entry in provider.ledger}
    assert ([], len(requests), True) == (failures, len(set(requests)), set(requests) <= known)
    assert requests


def test_a_stream_outlives_uninstrumenting(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Nothing lost: the stream goes on for the app, and its record is there, ended when the hooks left."""
    whole = [type(chunk) for chunk in client.responses.create(**ASK, stream=True)]
    instrumentor = instrument()
    stream = iter(client.responses.create(**ASK, stream=True))
    seen = [type(next(stream))]
    instrumentor.uninstrument()
    seen += [type(chunk) for chunk in stream]
    assert (whole, ["abandoned"]) == (seen, [event[c.OUTCOME] for event in telemetry.events])


# --- forks -------------------------------------------------------------------------------------------------


def test_a_fork_in_mid_stream(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument, tmp_path: Path
) -> None:
    """Nothing lost, nothing twice: a child that drops its copy of the stream tells nothing; the parent does."""
    instrument(file_dir=str(tmp_path))
    stream = client.responses.create(**ASK, stream=True)
    next(stream)
    child = os.fork()
    if not child:
        try:
            del stream
            gc.collect()
            SafetyInstrumentor().uninstrument()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    list(stream)
    SafetyInstrumentor().uninstrument()
    assert ["completed"] == [event[c.OUTCOME] for event in records(tmp_path)]


def test_a_call_in_a_child(
    client: openai.OpenAI, provider: Provider, instrument: Instrument, tmp_path: Path
) -> None:
    """Nothing lost: a child forked while another thread emits has calls and a file of its own."""
    instrument(file_dir=str(tmp_path))
    client.responses.create(**ASK)
    child = os.fork()
    if not child:
        code = 1
        try:
            with openai.OpenAI(api_key="k", base_url=provider.url) as own:
                own.responses.create(**ASK)
            SafetyInstrumentor().uninstrument()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    client.responses.create(**ASK)
    SafetyInstrumentor().uninstrument()
    written = sorted(path.read_bytes().count(b'"logRecords"') for path in tmp_path.iterdir())
    assert (0, 3, [1, 2]) == (status, len(provider.ledger), written)


# --- leaving -----------------------------------------------------------------------------------------------


async def test_a_closed_coroutine(provider: Provider, telemetry: Telemetry, instrument: Instrument) -> None:
    """Nothing lost: `GeneratorExit` into a call passes untouched and leaves one record, as abandoned."""
    instrument()
    async with openai.AsyncOpenAI(api_key="k", base_url=provider.url) as client:
        running = client.responses.create(**ASK)
        running.send(None)
        running.close()
        await asyncio.sleep(0)
    assert ["abandoned"] == [event[c.OUTCOME] for event in telemetry.events]


async def test_async_streams_left_behind(
    provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Nothing lost: streams broken off and collected later leave a record each, and the loop has no complaint."""
    instrument()
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    for _ in range(5):
        async with openai.AsyncOpenAI(api_key="k", base_url=provider.url) as client:
            async for _chunk in await client.responses.create(**ASK, stream=True):
                break
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.1)
    assert (["abandoned"] * 5, []) == ([event[c.OUTCOME] for event in telemetry.events], complaints)


def test_system_exit_from_a_callback(
    provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Nothing lost: an exception that is no `Exception` passes untouched, once recorded."""
    from support.http import http_library

    def leave(_request: Any) -> Any:
        raise SystemExit(3)

    instrument()
    http = http_library.Client(transport=http_library.MockTransport(leave))
    client = openai.OpenAI(api_key="k", base_url=provider.url, http_client=http)
    with client, pytest.raises(SystemExit) as raised:
        client.responses.create(**ASK)
    assert (3, 1) == (raised.value.code, len(telemetry.events))
