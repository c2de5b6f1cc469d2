"""What each chunk or event of a stream means, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from openai_safety_otel.contract.record import CallRecord, Leg
from openai_safety_otel.instrumentation.extract.stream import PLAIN_DELTAS, Seen, fold
from support.outcomes import response

Json = dict[str, Any]
NOTHING, OUTPUT, TERMINAL = Seen.NOTHING, Seen.OUTPUT, Seen.TERMINAL


def _chunk(delta: Any = None, reason: str | None = None, index: int = 0, **members: Any) -> Json:
    choice = {"index": index, "delta": {} if delta is None else delta, "finish_reason": reason}
    return {"id": "chatcmpl-1", "model": "gpt-5", "choices": [choice]} | members


def _seen(api: str, *chunks: Any) -> list[Seen]:
    """What each chunk meant, with ``output_begun`` set as the call sets it."""
    call = CallRecord(api, "x", "chat", streaming=True)
    return [_fold(call, chunk) for chunk in chunks]


def _fold(call: CallRecord, chunk: Any) -> Seen:
    seen = fold(call, chunk)
    call.output_begun = call.output_begun or bool(seen & OUTPUT)
    return seen


CHAT: list[tuple[str, list[Json], list[Seen]]] = [
    (
        "a role is no output, content is, once",
        [_chunk({"role": "assistant", "content": ""}), _chunk({"content": "a"}), _chunk({"content": "b"})],
        [NOTHING, OUTPUT, NOTHING],
    ),
    ("reasoning", [_chunk({"reasoning_content": "hm"})], [OUTPUT]),
    ("a tool call", [_chunk({"content": None, "tool_calls": [{"index": 0}]})], [OUTPUT]),
    ("an empty list of tool calls", [_chunk({"content": None, "tool_calls": []})], [NOTHING]),
    ("a refusal", [_chunk({"refusal": "I"})], [OUTPUT]),
    (
        "usage after the end",
        [_chunk({"content": "a"}), _chunk(reason="stop"), _chunk(choices=[], usage={"prompt_tokens": 1})],
        [OUTPUT, TERMINAL, TERMINAL],
    ),
    ("the first output ends it too", [_chunk({"content": "a"}, "stop")], [OUTPUT | TERMINAL]),
    ("Azure's first chunk", [_chunk(choices=[], id="", model="", prompt_filter_results=[])], [NOTHING]),
    ("no delta at all", [{"choices": [{"index": 0, "delta": None}]}], [NOTHING]),
    ("no choices at all", [{"id": "c1"}], [NOTHING]),
    ("a legacy completion", [{"choices": [{"index": 0, "text": "a"}]}], [OUTPUT]),
]


@pytest.mark.parametrize("shape", ["dictionary", "sdk"])
@pytest.mark.parametrize(("chunks", "seen"), [case[1:] for case in CHAT], ids=[case[0] for case in CHAT])
def test_a_chat_chunk_is_output_an_end_or_nothing(chunks: list[Json], seen: list[Seen], shape: str) -> None:
    """The same for dictionaries and the SDK's objects."""
    made = [construct_type(type_=ChatCompletionChunk, value=chunk) for chunk in chunks]
    assert _seen("chat", *(made if shape == "sdk" else chunks)) == seen


def test_two_choices_end_when_both_have() -> None:
    """With ``n=2`` the stream goes on after the first finish reason; both stand in order."""
    call = CallRecord("chat", "x", "chat", standard={"gen_ai.request.choice.count": 2})
    seen = [_fold(call, _chunk(reason="length", index=1)), _fold(call, _chunk(reason="stop", index=0))]
    assert (seen, call.finish_reasons) == ([NOTHING, TERMINAL], ("stop", "length"))


def test_chat_s_moderation_chunk_comes_after_the_end() -> None:
    """One extra chunk, perhaps without choices, carries the scores."""
    call = CallRecord("chat", "x", "chat")
    verdict = {"type": "moderation_results", "model": "omni", "results": [{"flagged": False}]}
    chunks = [_chunk({"content": "a"}, "stop"), _chunk(choices=[], moderation={"output": verdict})]
    assert [_fold(call, chunk) for chunk in chunks] == [OUTPUT | TERMINAL, TERMINAL]
    assert call.moderation.legs == {"output": Leg(flagged=False)}


def test_azure_s_verdicts_on_chunks_are_read_from_the_sdk_s_objects_too() -> None:
    """A filter that fires in the middle of a stream is noted, before any finish reason."""
    call = CallRecord("chat", "x", "chat")
    chunk = _chunk({"content": "a"})
    chunk["choices"][0]["content_filter_results"] = {"violence": {"filtered": True}}
    fold(call, construct_type(type_=ChatCompletionChunk, value=chunk))
    assert call.filtered_stages == ("output",)


# --- events ----------------------------------------------------------------------------------------

CREATED = {"type": "response.created", "response": response(status="in_progress")}
EVENTS: list[tuple[str, str, list[Json], list[Seen]]] = [
    (
        "created says nothing, the first delta is output",
        "responses",
        [
            CREATED,
            {"type": "response.in_progress", "response": response(status="in_progress")},
            {"type": "response.output_item.added", "item": {"type": "message"}},
            {"type": "response.output_text.delta", "delta": "a"},
            {"type": "response.output_text.delta", "delta": "b"},
            {"type": "response.output_text.done", "text": "ab"},
            {"type": "response.completed", "response": response()},
        ],
        [NOTHING, NOTHING, NOTHING, OUTPUT, NOTHING, NOTHING, TERMINAL],
    ),
    ("reasoning", "responses", [{"type": "response.reasoning_summary_text.delta"}], [OUTPUT]),
    ("a tool's arguments", "responses", [{"type": "response.function_call_arguments.delta"}], [OUTPUT]),
    (
        "a refusal",
        "responses",
        [{"type": "response.refusal.delta"}, {"type": "response.refusal.delta"}],
        [OUTPUT, NOTHING],
    ),
    ("an error", "responses", [{"type": "error", "code": "x", "message": "y"}], [TERMINAL]),
    ("an event of a later day", "responses", [{"type": "response.something.new"}], [NOTHING]),
    (
        "an image",
        "images",
        [{"type": "image_generation.partial_image"}, {"type": "image_generation.completed"}],
        [OUTPUT, TERMINAL],
    ),
    ("an image in one piece", "images", [{"type": "image_edit.completed"}], [OUTPUT | TERMINAL]),
    ("speech", "audio", [{"type": "speech.audio.delta"}, {"type": "speech.audio.done"}], [OUTPUT, TERMINAL]),
    (
        "an agent",
        "agents",
        [
            {"type": "agent.session.created", "session": {"id": "s1"}},
            {"type": "agent.session.turn.output_text.delta"},
            {"type": "agent.session.turn.completed", "turn": {"id": "t1", "status": "completed"}},
        ],
        [NOTHING, OUTPUT, TERMINAL],
    ),
    (
        "an assistant",
        "assistants",
        [
            {"event": "thread.run.created", "data": {"id": "run_1"}},
            {"event": "thread.message.delta", "data": {}},
            {"event": "thread.run.completed", "data": {"id": "run_1", "status": "completed"}},
        ],
        [NOTHING, OUTPUT, TERMINAL],
    ),
]


@pytest.mark.parametrize(("api", "events", "seen"), [case[1:] for case in EVENTS], ids=[c[0] for c in EVENTS])
def test_an_event_is_output_an_end_or_nothing(api: str, events: list[Json], seen: list[Seen]) -> None:
    """Time to first output starts at content, reasoning or a tool call, not at the first frame."""
    assert _seen(api, *events) == seen


def test_events_that_an_older_sdk_wraps_are_read_inside() -> None:
    """In openai 1.66 a stream hands over an event whose name it does not know as a thread's: a name and its data."""
    events: list[Json] = [
        {"type": "image_generation.completed", "usage": {"input_tokens": 3, "output_tokens": 5}},
        {"type": "agent.session.budget_reached", "session": {"id": "sess_1"}},
    ]
    plain, wrapped = (CallRecord("images", "x", "y", streaming=True) for _ in range(2))
    seen = [fold(plain, event) for event in events]
    assert (
        [OUTPUT | TERMINAL, TERMINAL]
        == seen
        == [fold(wrapped, {"event": one["type"], "data": one}) for one in events]
    )
    assert plain == wrapped


def test_events_of_the_sdk_are_read_like_dictionaries() -> None:
    """The typed events of a stream give what their dictionaries give."""
    events = [event for name, _, events, _ in EVENTS[:1] for event in events if name]
    made = [construct_type(type_=ResponseStreamEvent, value=event) for event in events]
    assert _seen("responses", *made) == EVENTS[0][3]


@pytest.mark.parametrize("kind", sorted(PLAIN_DELTAS))
def test_a_plain_delta_leaves_the_record_as_it_was(kind: str) -> None:
    """Nothing of a delta is kept, before or after output has begun."""
    call = CallRecord("responses", "x", "chat")
    assert fold(call, {"type": kind, "delta": "the user's own words"}) is OUTPUT
    call.output_begun = True
    assert fold(call, {"type": kind, "delta": "the user's own words"}) is NOTHING
    assert call == CallRecord("responses", "x", "chat", output_begun=True)


def test_what_a_stream_said_before_it_was_abandoned_is_kept() -> None:
    """Id and model are known from the first frame of either API."""
    calls = [CallRecord("responses", "x", "chat"), CallRecord("chat", "x", "chat")]
    fold(calls[0], CREATED)
    fold(calls[1], _chunk({"role": "assistant"}))
    assert [(call.response_id, call.response_model) for call in calls] == [
        ("resp_1", "m"),
        ("chatcmpl-1", "gpt-5"),
    ]
