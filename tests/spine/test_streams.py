"""A stream ends exactly once, wherever its end is; what it told until then is kept."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import textwrap
import time
import weakref
from typing import Any

import openai
import pytest

from openai_safety_otel import SafetyInstrumentor, end_user
from openai_safety_otel.instrumentation.passing import current
from openai_safety_otel.testing.provider import Provider
from support.http import http_library
from support.telemetry import Instrument, Telemetry
from support.waiting import until

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(autouse=True)
def _on(instrument: Instrument) -> None:
    instrument()


def outcomes(telemetry: Telemetry) -> list[str]:
    gc.collect()
    until(lambda: telemetry.events)  # what was collected is told on a thread of its own
    return [event["openai_safety.outcome"] for event in telemetry.events]


def test_break_without_with(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """A loop left by `break` ends its record when the stream is dropped: abandoned."""
    for _ in client.responses.create(**ASK, stream=True):
        break
    assert ["abandoned"] == outcomes(telemetry)


def test_never_iterated(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """A stream nobody iterates still ends when it is collected."""
    client.responses.create(**ASK, stream=True)
    assert ["abandoned"] == outcomes(telemetry)


def test_closed_twice(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """Closing twice is one record."""
    stream = client.responses.create(**ASK, stream=True)
    next(stream)
    stream.close()
    stream.close()
    assert ["abandoned"] == outcomes(telemetry)


def test_with_exit(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """Leaving the `with` early ends the record at once, with the connection closed."""
    with client.responses.create(**ASK, stream=True) as stream:
        next(stream)
    assert [True, "abandoned"] == [stream.response.is_closed, *outcomes(telemetry)]


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_helper_left_early(client: openai.OpenAI, telemetry: Telemetry, api: str) -> None:
    """Leaving the SDK's stream helper early ends the record, once."""
    chat = (
        client.chat.completions
        if hasattr(client.chat.completions, "stream")
        else client.beta.chat.completions
    )
    manager: Any = client.responses.stream(**ASK) if api == "responses" else chat.stream(**CHAT)
    with manager as stream:
        next(iter(stream))
    assert ["abandoned"] == outcomes(telemetry)


def test_closed_after_the_terminal_chunk(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """A caller who stops at the terminal chunk has read it all: completed."""
    with client.responses.create(**ASK, stream=True) as stream:
        for event in stream:
            if event.type == "response.completed":
                break
    assert ["completed"] == outcomes(telemetry)


def test_connection_dropped(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """A connection cut in mid-stream is a failure that keeps the response id it had seen."""
    with (
        pytest.raises((openai.APIConnectionError, http_library.RemoteProtocolError)) as caught,
        end_user("u1"),
    ):
        list(client.responses.create(model="gpt-5", input="[[drop]]", stream=True))
    (event,) = telemetry.events
    assert ("failed", type(caught.value).__name__, True) == (
        event["openai_safety.outcome"],
        event["error.type"],
        event["gen_ai.response.id"].startswith("resp_"),
    )


def test_error_in_mid_stream(client: openai.OpenAI, telemetry: Telemetry, provider: Provider) -> None:
    """A policy's error frame after output began is a block of the output; the exception is the SDK's."""
    with pytest.raises(openai.APIError) as caught:
        list(client.responses.create(model="gpt-5", input="[[cyber-frame]]", stream=True))
    (event,) = telemetry.events
    assert ("cyber_policy", openai.APIError, "blocked", "cyber_policy", "output") == (
        caught.value.code,
        type(caught.value),
        event["openai_safety.outcome"],
        event["openai_safety.block.type"],
        event["openai_safety.block.source"],
    )


def test_exception_of_the_app(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """The app's own exception inside the loop passes untouched and leaves an abandoned stream."""
    with pytest.raises(ZeroDivisionError), client.responses.create(**ASK, stream=True) as stream:
        for _ in stream:
            raise ZeroDivisionError
    assert ["abandoned"] == outcomes(telemetry)


def test_keyboard_interrupt(
    client: openai.OpenAI, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C inside a call passes untouched; the record says cancelled."""

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(client._client, "send", interrupt)
    with pytest.raises(KeyboardInterrupt):
        client.responses.create(**ASK)
    assert ["cancelled"] == outcomes(telemetry)


async def test_cancelled_call(
    async_client: openai.AsyncOpenAI, telemetry: Telemetry, provider: Provider
) -> None:
    """A task cancelled while it waits for the answer leaves one cancelled record."""
    task = asyncio.create_task(async_client.responses.create(model="gpt-5", input="[[slow:60]]"))
    assert await asyncio.to_thread(until, lambda: len(provider.ledger))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["cancelled"] == outcomes(telemetry)


async def test_cancelled_reader(async_client: openai.AsyncOpenAI, telemetry: Telemetry) -> None:
    """A task cancelled while it reads a stream leaves one cancelled record."""
    stream = await async_client.responses.create(model="gpt-5", input="[[slow:5]]", stream=True)

    async def read() -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0)  # it waits for the stream's next event by now
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["cancelled"] == outcomes(telemetry)


async def test_closed_from_another_task(async_client: openai.AsyncOpenAI, telemetry: Telemetry) -> None:
    """A generator of the app, opened in one task and closed in another, raises nothing of ours."""

    async def app() -> Any:
        async with end_user("u1"):
            stream = await async_client.responses.create(**ASK, stream=True)
            async for event in stream:
                yield event

    generator = app()
    await anext(generator)
    await asyncio.create_task(generator.aclose())
    await asyncio.sleep(0)
    assert ["abandoned"] == outcomes(telemetry)


async def test_async_break_closes_the_connection_as_before(
    async_client: openai.AsyncOpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Closing the SDK's iterator closes the response if, and only if, it does so unobserved."""

    async def closed() -> bool:
        stream = await async_client.responses.create(**ASK, stream=True)
        iterator: Any = stream._iterator
        await anext(iterator)
        await iterator.aclose()
        return bool(stream.response.is_closed)

    observed = await closed()
    assert ["abandoned"] == outcomes(telemetry)
    SafetyInstrumentor().uninstrument()
    assert observed == await closed()


def test_collected_stream_ends_at_its_last_chunk(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """The end time of a dropped stream is its last chunk's, not the garbage collector's."""
    stream = client.responses.create(**ASK, stream=True)
    next(stream)
    time.sleep(0.3)
    del stream
    gc.collect()
    (span,) = until(lambda: telemetry.spans)
    assert span.end_time is not None
    assert span.start_time is not None
    assert [True, span.end_time] == [
        time.time_ns() - span.end_time > 0.3e9,
        telemetry.log_records[0].timestamp,
    ]


def test_without_a_stream_class(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """`stream=True` without a stream class works as the SDK has it, and is read from the bytes."""
    stream: Any = client.post("/responses", cast_to=object, body={**ASK, "stream": True}, stream=True)
    assert len(list(stream)) > 1
    assert ["completed"] == outcomes(telemetry)


def test_parsed_to_another_class(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """A raw stream parsed to the app's own class is read from the bytes, once."""
    raw = client.responses.with_raw_response.create(**ASK, stream=True)
    assert len(list(raw.parse(to=openai.Stream[openai.types.responses.Response]))) > 1
    assert ["completed"] == outcomes(telemetry)


def test_one_class_per_base(client: openai.OpenAI) -> None:
    """The observing subclass is made once, so that calls leave no classes behind."""
    first = client.responses.create(**ASK, stream=True)
    second = client.responses.create(**ASK, stream=True)
    assert type(first) is type(second)
    named = (type(first).__name__, type(first).__module__, isinstance(first, openai.Stream))
    assert (openai.Stream.__name__, openai.Stream.__module__, True) == named


def test_process_exit_ends_open_calls(provider: Provider) -> None:
    """A stream still open at exit is emitted as abandoned before the SDK shuts down."""
    code = f"""
        from opentelemetry import trace, _logs
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter
        provider = LoggerProvider()
        provider.add_log_record_processor(BatchLogRecordProcessor(ConsoleLogRecordExporter()))
        _logs.set_logger_provider(provider)
        from openai_safety_otel import SafetyInstrumentor
        SafetyInstrumentor().instrument(identifier="off", span="off")
        import openai
        client = openai.OpenAI(api_key="k", base_url="{provider.url}")
        stream = client.responses.create(model="gpt-5", input="hi", stream=True)
        next(stream)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert 1 == done.stdout.count('"openai_safety.outcome": "abandoned"'), done.stdout + done.stderr


@pytest.mark.parametrize("read", ["nothing", "a line"])
def test_an_unread_response_is_abandoned(
    read: str, client: openai.OpenAI, telemetry: Telemetry, provider: Provider
) -> None:
    """What the caller does not read is not read for them: abandoned, with identifier and request id."""
    with end_user("u1"), client.responses.with_streaming_response.create(**ASK, stream=True) as response:
        if read == "a line":
            next(iter(response.iter_lines()))
    (event,) = telemetry.events
    assert ("abandoned", provider.ledger[0].request_id, 64) == (
        event["openai_safety.outcome"],
        event["openai_safety.provider.request_id"],
        len(event["user.hash"]),
    )


def test_collected_while_the_telemetry_is_locked(client: openai.OpenAI, telemetry: Telemetry) -> None:
    """The collector may run while its thread is inside the telemetry SDK: it must not wait for itself."""
    stream = client.responses.create(**ASK, stream=True)
    next(stream)
    never = client.responses.create(**ASK, stream=True)
    with telemetry.span_exporter._lock:
        del stream, never
        gc.collect()
    assert ["abandoned"] * 2 == until(lambda: outcomes(telemetry) if len(telemetry.events) == 2 else [])


@pytest.mark.parametrize("mode", ["plain", "stream", "stream held", "failing"])
def test_nothing_of_a_request_outlives_its_call(
    client: openai.OpenAI, instrument: Instrument, telemetry: Telemetry, mode: str
) -> None:
    """A context that outlives a call, as a connection's may, holds no body of it; a stream that is open neither."""
    seen: list[Any] = []

    class Body(dict[str, Any]):
        """A dictionary that can be referred to weakly."""

    def call() -> Any:
        body = Body(
            model="gpt-5", input="[[drop]]" if mode == "failing" else "hello", stream="stream" in mode
        )
        seen.append(weakref.ref(body))
        kind: Any = {"stream": True, "stream_cls": openai.Stream[object]} if "stream" in mode else {}
        original = client._client.send

        def send(*args: Any, **kwargs: Any) -> Any:
            seen.append(contextvars.copy_context())
            return original(*args, **kwargs)

        client._client.send = send  # type: ignore[method-assign]
        answer = client.with_options(max_retries=0).post("/responses", cast_to=object, body=body, **kind)
        if mode == "stream":
            list(answer)
        return seen[-1][current]

    if mode == "failing":
        with pytest.raises(openai.APIError):
            call()
        running = seen[-1][current]
    else:
        running = call()
    gc.collect()
    assert [None, None] == [seen[0](), running._answer]
