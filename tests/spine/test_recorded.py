"""What an answer says besides its outcome: withheld input, access programmes, late tokens, budgets, requests' ids."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import openai
import pytest

from openai_safety_otel.testing.provider import Provider
from support.scripted import scripted
from support.telemetry import Instrument, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}
TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")


@pytest.fixture(autouse=True)
def _on(instrument: Instrument) -> None:
    instrument()


def answer(**members: Any) -> dict[str, Any]:
    facts = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "output": [],
        "tools": [],
    }
    facts |= {"parallel_tool_calls": True, "tool_choice": "auto", "status": "completed", "usage": USAGE}
    return {**facts, **members}


def frame(**data: Any) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (
            {
                "input_transformations": [
                    {"id": "rs_1", "action": "removed", "reason": "end_user_mismatch", "type": "reasoning"},
                    {"id": "rs_2", "action": "removed", "reason": "end_user_mismatch", "type": "reasoning"},
                    {"id": "rs_3", "action": "removed", "reason": "model_mismatch", "type": "reasoning"},
                ],
                "access_programs": {"cyber": "daybreak_blue"},
            },
            (("end_user_mismatch", "model_mismatch"), "daybreak_blue"),
        ),
        (
            {
                "input_transformations": [{"reason": "jane@example.com wrote this"}],
                "access_programs": {"cyber": "jane@example.com"},
            },
            (("_OTHER",), "_OTHER"),
        ),
        ({"input_transformations": [], "access_programs": None}, (None, None)),
        ({"input_transformations": "no", "access_programs": "no"}, (None, None)),
    ],
    ids=["known", "unknown words", "empty", "odd"],
)
def test_withheld_input_and_programmes(
    telemetry: Telemetry, members: dict[str, Any], expected: tuple[Any, ...], stream: bool
) -> None:
    """Why input was withheld, and the cyber programme, stand on event and span in known words only."""
    body = answer(**members)
    whole = [frame(type="response.completed", sequence_number=1, response=body)]
    kind = "text/event-stream" if stream else "application/json"
    client = scripted(whole if stream else [json.dumps(body).encode()], content_type=kind)
    found = client.responses.create(**ASK, stream=stream)
    _ = list(found) if stream else None
    names = ("openai_safety.input_transformations", "openai_safety.access_programs.cyber")
    (event,), (span,) = telemetry.events, telemetry.spans
    assert [expected, expected] == [
        tuple(said.get(name) for name in names) for said in (event, dict(span.attributes or {}))
    ]


@pytest.mark.parametrize(
    ("path", "body", "tokens"),
    [
        ("/responses/resp_1", answer(background=True), (3, 2)),
        ("/responses/resp_1", answer(background=False), (None, None)),
        ("/responses/resp_1", answer(), (None, None)),
        (
            "/threads/thread_1/runs/run_1",
            {"id": "run_1", "status": "completed", "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
            (3, 2),
        ),
    ],
    ids=["background", "made at once", "unsaid", "run"],
)
def test_tokens_of_work_that_was_only_begun(
    telemetry: Telemetry, path: str, body: dict[str, Any], tokens: tuple[Any, ...]
) -> None:
    """Tokens that the submission could not know come once, with the retrieve that finds it done."""
    client = scripted([json.dumps(body).encode()])
    for _ in range(3):
        client.get(path, cast_to=object)
    assert [tokens] == telemetry.facts(*TOKENS)
    counted = telemetry.points("gen_ai.client.token.usage")
    assert (2 if tokens[0] else 0) == len(counted)


def test_a_budget_that_is_reached(telemetry: Telemetry) -> None:
    """An agent's session that pauses at its spending limit ends the stream's record once, and is no block."""
    session = {"id": "sess_1", "object": "agent.session", "status": "budget_reached"}
    events = [
        frame(type="agent.session.created", session={**session, "status": "in_progress"}),
        frame(type="agent.session.budget_reached", session=session),
    ]
    client = scripted(events, content_type="text/event-stream")
    stream = client.get(
        "/agents/sessions/sess_1/events", cast_to=object, stream=True, stream_cls=openai.Stream[object]
    )
    with stream as opened:
        for event in opened:
            if "budget" in str(event):
                break
    names = ("openai_safety.outcome", "openai_safety.block.type", "openai_safety.stream.terminal_seen")
    assert [("completed", None, True)] == telemetry.facts(*names)


@pytest.mark.parametrize(
    ("status", "raises"), [(200, None), (404, openai.NotFoundError), (500, openai.APIError)]
)
def test_http_status_and_duration(telemetry: Telemetry, status: int, raises: Any) -> None:
    """The wide event says how the request was answered and how long it took."""
    client = scripted([json.dumps(answer()).encode()], status=status)
    with pytest.raises(raises) if raises else contextlib.nullcontext():
        client.responses.create(**ASK)
    (event,) = telemetry.events
    assert [status, True] == [
        event["http.response.status_code"],
        0 < event["openai_safety.duration"] < 60,
    ]


def test_no_status_without_an_answer(telemetry: Telemetry) -> None:
    """A call that nobody answered has no status."""
    with pytest.raises(openai.APIConnectionError):
        openai.OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=0).responses.create(**ASK)
    assert ["http.response.status_code" in event for event in telemetry.events] == [False]


@pytest.mark.filterwarnings("ignore:.*must be used as a context manager:DeprecationWarning")
@pytest.mark.parametrize("is_async", [False, True])
async def test_the_handshake_s_request_id(telemetry: Telemetry, provider: Provider, is_async: bool) -> None:
    """The records of a socket carry the request id of its handshake."""
    kind = openai.AsyncOpenAI if is_async else openai.OpenAI
    client: Any = kind(api_key="k", base_url=provider.url)
    if not hasattr(client, "realtime"):
        pytest.skip(f"openai {openai.__version__} has no realtime outside of beta")
    manager = client.realtime.connect(model="gpt-realtime")
    if is_async:
        async with manager as connection:
            await connection.recv()
    else:
        with manager as connection:
            connection.recv()
    assert [provider.ledger[0].request_id] == [
        event["openai_safety.provider.request_id"] for event in telemetry.events
    ]
