"""How reading ended is told from what came: the last event, the bytes' end, or a body that is no stream at all."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest

from support.scripted import LOOPBACK, scripted, scripted_async
from support.telemetry import Instrument, Telemetry

OPENAI = "https://eu.api.openai.com/v1"
AZURE = "https://mine.openai.azure.com/openai/v1"
EVENTS = "text/event-stream; charset=utf-8"
ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
TALK: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(autouse=True)
def _on(instrument: Instrument) -> None:
    instrument()


def frame(**data: Any) -> bytes:
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


def response(**members: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }
    facts = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "output": [],
        "tools": [],
    }
    facts |= {"parallel_tool_calls": True, "tool_choice": "auto", "status": "completed", "usage": usage}
    return {**facts, **members}


def piece(content: str | None = None, reason: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": {"content": content} if content else {}, "finish_reason": reason}
    return frame(id="c1", object="chat.completion.chunk", created=1, model="gpt-5", choices=[choice])


CREATED = frame(
    type="response.created", sequence_number=0, response=response(status="in_progress", usage=None)
)
DELTA = frame(type="response.output_text.delta", sequence_number=1, delta="hi", item_id="m", output_index=0)
COMPLETED = frame(type="response.completed", sequence_number=2, response=response())
CUT = frame(
    type="response.incomplete",
    sequence_number=2,
    response=response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
)
DONE = b"data: [DONE]\n\n"
Told = tuple[Any, ...]


def told(telemetry: Telemetry) -> Told:
    """Outcome, error type, whether the last event was seen and the severity of the only event."""
    (event,), (record,) = telemetry.events, telemetry.log_records
    names = ("openai_safety.outcome", "error.type", "openai_safety.stream.terminal_seen")
    return (*(event.get(name) for name in names), record.severity_text)


WHOLE = ("completed", None, True, "INFO")
TRUNCATED = ("failed", "stream_truncated", False, "WARN")
CARELESS = ("completed", None, False, "INFO")
RESPONSES: dict[str, tuple[tuple[bytes, ...], Told]] = {
    "whole": ((CREATED, DELTA, COMPLETED), WHOLE),
    "cut by its token limit": ((CREATED, DELTA, CUT), WHOLE),
    "created only": ((CREATED,), TRUNCATED),
    "in the middle": ((CREATED, DELTA), TRUNCATED),
    "nothing at all": ((b"",), TRUNCATED),
    "comments only": ((b": ping\n\n", b": ping\n\n"), TRUNCATED),
}
CHAT: dict[str, tuple[tuple[bytes, ...], Told]] = {
    "whole": ((piece("hi"), piece(reason="stop"), DONE), WHOLE),
    "a reason only": ((piece("hi"), piece(reason="stop")), WHOLE),
    "done only": ((piece("hi"), DONE), WHOLE),
    "done in two pieces": ((piece("hi"), b"data: [DO", b"NE]\n\n"), WHOLE),
    "done without a blank line": ((piece("hi"), b"data:[DONE]"), WHOLE),
    "neither": ((piece("hi"), piece("ho")), TRUNCATED),
    "said by the model": ((piece("hi"), piece("\ndata: [DONE]\n\n")), TRUNCATED),
    "nothing at all": ((b"",), TRUNCATED),
}
CASES = [
    pytest.param(api, *case, id=f"{api}-{name}")
    for api, cases in (("responses", RESPONSES), ("chat", CHAT))
    for name, case in cases.items()
]


def create(client: Any, api: str) -> tuple[Any, dict[str, Any]]:
    return (client.responses, ASK) if api == "responses" else (client.chat.completions, TALK)


@pytest.mark.parametrize("in_memory", [False, True], ids=["pieces", "in memory"])
@pytest.mark.parametrize("base_url", [OPENAI, AZURE])
@pytest.mark.parametrize(("api", "pieces", "expected"), CASES)
def test_the_last_event(
    telemetry: Telemetry, api: str, pieces: tuple[bytes, ...], expected: Told, base_url: str, in_memory: bool
) -> None:
    """At OpenAI's own hosts and Azure's a stream that ends without its last event is no completed call."""
    client = scripted(pieces, content_type=EVENTS, base_url=base_url, in_memory=in_memory)
    resource, ask = create(client, api)
    list(resource.create(**ask, stream=True))
    assert expected == told(telemetry)


@pytest.mark.parametrize(("api", "pieces", "expected"), CASES)
async def test_the_last_event_async(
    telemetry: Telemetry, api: str, pieces: tuple[bytes, ...], expected: Told
) -> None:
    """The same for an async client."""
    resource, ask = create(scripted_async(pieces, content_type=EVENTS, base_url=OPENAI), api)
    _ = [chunk async for chunk in await resource.create(**ask, stream=True)]
    assert expected == told(telemetry)


@pytest.mark.parametrize(("api", "pieces", "expected"), CASES)
def test_the_last_event_of_raw_bytes(
    telemetry: Telemetry, api: str, pieces: tuple[bytes, ...], expected: Told
) -> None:
    """A caller that reads the bytes itself is told the same of."""
    resource, ask = create(scripted(pieces, content_type=EVENTS, base_url=OPENAI), api)
    list(resource.with_raw_response.create(**ask, stream=True).http_response.iter_lines())
    assert expected == told(telemetry)


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("base_url", [LOOPBACK, "https://api.openai.com.evil.example/v1"])
def test_careless_hosts(telemetry: Telemetry, api: str, base_url: str) -> None:
    """Elsewhere a stream without its last event stays completed, and says what it did not see."""
    client = scripted(
        (CREATED if api == "responses" else piece("hi"),), content_type=EVENTS, base_url=base_url
    )
    resource, ask = create(client, api)
    list(resource.create(**ask, stream=True))
    assert told(telemetry) == CARELESS


@pytest.mark.parametrize(
    ("asked", "encoding"),
    [({"background": True}, "identity"), ({}, "zstd")],
    ids=["made in the background", "unreadable"],
)
def test_unknown_ends(telemetry: Telemetry, asked: dict[str, Any], encoding: str) -> None:
    """Neither an answer that lives on without its stream nor bytes that cannot be read are called cut off."""
    headers = {"content-encoding": encoding} if encoding != "identity" else {}
    client = scripted((CREATED,), content_type=EVENTS, base_url=OPENAI, **headers)
    raw = client.responses.with_raw_response.create(**ASK, extra_body=asked, stream=True)
    list(raw.http_response.iter_raw())
    assert "completed" == told(telemetry)[0]


def test_a_resumed_stream(telemetry: Telemetry) -> None:
    """A stream that is read again and ends before its answer is done was an early poll: nothing is counted."""
    client = scripted((DELTA,), content_type=EVENTS, base_url=OPENAI)
    list(
        client.get(
            "/responses/resp_1?stream=true&starting_after=1",
            cast_to=object,
            stream=True,
            stream_cls=openai.Stream[object],
        )
    )
    assert telemetry.events == []


def test_compressed(telemetry: Telemetry) -> None:
    """A compressed stream's closing line is seen, too."""
    packed = gzip.compress(piece("hi") + DONE)
    client = scripted(
        (packed[:20], packed[20:]), content_type=EVENTS, base_url=OPENAI, **{"content-encoding": "gzip"}
    )
    list(client.chat.completions.create(**TALK, stream=True))
    assert told(telemetry) == WHOLE


def test_deflated_without_a_header(telemetry: Telemetry) -> None:
    """Servers call two formats deflate: the bare one is read as well."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(piece("hi") + DONE) + packer.flush()
    client = scripted((packed,), content_type=EVENTS, base_url=OPENAI, **{"content-encoding": "deflate"})
    list(client.chat.completions.create(**TALK, stream=True))
    assert told(telemetry) == WHOLE


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_cannot_be_decompressed_is_passed_on(telemetry: Telemetry, encoding: str) -> None:
    """Bytes that are not what their header says reach the caller as they came, and are no failure of ours."""
    pieces = (b"not packed at all", b"and more")
    client = scripted(pieces, content_type=EVENTS, base_url=OPENAI, **{"content-encoding": encoding})
    raw = client.responses.with_raw_response.create(**ASK, stream=True)
    assert list(raw.http_response.iter_raw()) == list(pieces)
    assert told(telemetry)[0] == "completed"


# --- a body that is no stream -------------------------------------------------------------------------


BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "an answer": ("responses", response()),
    "a policy's error": (
        "responses",
        {"error": {"code": "cyber_policy", "message": "no", "type": "invalid_request", "param": None}},
    ),
    "a filtered answer": (
        "chat",
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-5",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": ""},
                    "finish_reason": "content_filter",
                }
            ],
        },
    ),
}
NOT_COMPARED = ("gen_ai.request.stream", "openai_safety.duration", "openai_safety.time_to_first_output")


@pytest.mark.parametrize("in_memory", [False, True], ids=["pieces", "in memory"])
@pytest.mark.parametrize("named", ["application/json", EVENTS, "text/plain", ""])
@pytest.mark.parametrize(("api", "body"), BODIES.values(), ids=BODIES)
def test_a_gateway_that_does_not_stream(
    telemetry: Telemetry, api: str, body: dict[str, Any], named: str, in_memory: bool
) -> None:
    """JSON where a stream was asked for is read as the same body is without streaming."""
    pieces = (b" \n", json.dumps(body, indent=1).encode())
    found = []
    for asked in ({}, {"stream": True}):
        content_type = named if asked else "application/json"
        client = scripted(pieces, content_type=content_type, base_url=OPENAI, in_memory=in_memory)
        resource, ask = create(client, api)
        answer = resource.create(**ask, **asked)
        _ = list(answer) if asked else None
        (event,) = telemetry.events
        found.append({name: value for name, value in event.items() if name not in NOT_COMPARED})
        telemetry.clear()
    assert found[0] == found[1]


async def test_an_async_gateway_that_does_not_stream(telemetry: Telemetry) -> None:
    """The same for an async client."""
    body = json.dumps(BODIES["a policy's error"][1]).encode()
    client = scripted_async((body,), base_url=OPENAI)
    _ = [chunk async for chunk in await client.responses.create(**ASK, stream=True)]
    assert ("blocked", "cyber_policy", None, "WARN") == told(telemetry)


# --- what the caller reads itself --------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [False, True], ids=["pieces", "in memory"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda _: None, "abandoned"),
        (lambda response: response.parse(), "completed"),
        (lambda response: response.read(), "completed"),
        (lambda response: list(response.iter_lines()), "completed"),
        (lambda response: response.http_response.read(), "completed"),
    ],
    ids=["nothing", "parse", "read", "lines", "http"],
)
def test_a_response_that_was_never_read(
    telemetry: Telemetry, read: Callable[[Any], Any], expected: str, stream: bool, in_memory: bool
) -> None:
    """A response whose body the caller did not read is abandoned, with or without streaming."""
    pieces = (CREATED, DELTA, COMPLETED) if stream else (json.dumps(response()).encode(),)
    kind = EVENTS if stream else "application/json"
    client = scripted(pieces, content_type=kind, base_url=OPENAI, in_memory=in_memory)
    asked: dict[str, Any] = {"stream": True} if stream else {}
    with client.responses.with_streaming_response.create(**ASK, **asked) as answer:
        found = read(answer)
        if isinstance(found, openai.Stream):
            list(found)
    assert [expected] == [event["openai_safety.outcome"] for event in telemetry.events]


@pytest.mark.parametrize("in_memory", [False, True], ids=["pieces", "in memory"])
@pytest.mark.parametrize(
    "read", [lambda _: None, lambda answer: answer.parse(), lambda answer: answer.read()]
)
async def test_an_async_response_that_was_never_read(
    telemetry: Telemetry, read: Callable[[Any], Awaitable[Any] | None], in_memory: bool
) -> None:
    """The same for an async client."""
    client = scripted_async((json.dumps(response()).encode(),), base_url=OPENAI, in_memory=in_memory)
    async with client.responses.with_streaming_response.create(**ASK) as answer:
        reading = read(answer)
        if reading is not None:
            await reading
    expected = "abandoned" if reading is None else "completed"
    assert [expected] == [event["openai_safety.outcome"] for event in telemetry.events]


@pytest.mark.parametrize("in_memory", [False, True], ids=["pieces", "in memory"])
def test_raw_lines_leave_their_record_when_the_bytes_end(telemetry: Telemetry, in_memory: bool) -> None:
    """A raw stream whose lines the app reads is recorded when they end, while the response is still held."""
    client = scripted((CREATED, DELTA, COMPLETED), content_type=EVENTS, base_url=OPENAI, in_memory=in_memory)
    raw = client.responses.with_raw_response.create(**ASK, stream=True)
    assert [8, WHOLE] == [len([line for line in raw.http_response.iter_lines() if line]) + 2, told(telemetry)]
