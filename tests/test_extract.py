"""What is read from requests, answers, headers and errors, fact by fact."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types import ModerationCreateResponse

from openai_safety_otel.contract.record import CallRecord, ErrorFacts, Leg, Moderation
from openai_safety_otel.contract.vocabulary import CATEGORIES
from openai_safety_otel.contract.words import safe_identifier, safe_model
from openai_safety_otel.instrumentation.extract.error import read_error
from openai_safety_otel.instrumentation.extract.request import read_request
from openai_safety_otel.instrumentation.extract.response import read_headers, read_response
from openai_safety_otel.instrumentation.extract.sse import MAX_BODY, BodyReader
from support.wire import answering, raised

Json = dict[str, Any]
CONTENT = "the user's own words"


def record(api: str = "chat", endpoint: str = "x", operation: str = "chat") -> CallRecord:
    return CallRecord(api, endpoint, operation)


# --- requests --------------------------------------------------------------------------------------

CHAT: Json = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": CONTENT}],
    "stream": True,
    "n": 2,
    "seed": -7,
    "temperature": 1,
    "top_p": 0.5,
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "max_tokens": 10,
    "max_completion_tokens": 20,
    "reasoning_effort": "low",
    "service_tier": "flex",
    "response_format": {"type": "json_schema", "json_schema": {"name": CONTENT}},
    "user": "alice@example.com",
    "safety_identifier": "alice@example.com",
    "metadata": {"person": "alice@example.com"},
}
RESPONSES: Json = {
    "model": "gpt-5",
    "input": CONTENT,
    "stream": False,
    "background": True,
    "max_output_tokens": 30,
    "reasoning": {"effort": "high"},
    "service_tier": "auto",
    "previous_response_id": "resp_0",
    "conversation": {"id": "conv_1"},
    "text": {"format": {"type": "text"}},
}
REQUESTS: list[tuple[str, str, Any, Json]] = [
    (
        "chat",
        "chat.completions.create",
        CHAT,
        {
            "gen_ai.operation.name": "chat",
            "openai.api.type": "chat_completions",
            "gen_ai.request.model": "gpt-5",
            "gen_ai.request.stream": True,
            "gen_ai.request.choice.count": 2,
            "gen_ai.request.seed": -7,
            "gen_ai.request.temperature": 1.0,
            "gen_ai.request.top_p": 0.5,
            "gen_ai.request.frequency_penalty": 0.1,
            "gen_ai.request.presence_penalty": -0.1,
            "gen_ai.request.max_tokens": 20,
            "gen_ai.request.reasoning.level": "low",
            "openai.request.service_tier": "flex",
            "gen_ai.output.type": "json",
        },
    ),
    (
        "responses",
        "responses.create",
        RESPONSES,
        {
            "gen_ai.operation.name": "chat",
            "openai.api.type": "responses",
            "gen_ai.request.model": "gpt-5",
            "gen_ai.request.max_tokens": 30,
            "gen_ai.request.reasoning.level": "high",
            "gen_ai.request.previous_response.id": "resp_0",
            "gen_ai.conversation.id": "conv_1",
            "gen_ai.output.type": "text",
        },
    ),
    (
        "embeddings",
        "embeddings.create",
        {
            "model": "text-embedding-3-small",
            "input": [CONTENT],
            "dimensions": 256,
            "encoding_format": "base64",
        },
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "text-embedding-3-small",
            "gen_ai.embeddings.dimension.count": 256,
            "gen_ai.request.encoding_formats": ("base64",),
        },
    ),
    (
        "images",
        "images.edit",
        {"model": "gpt-image-1", "prompt": CONTENT, "n": 1, "image": b"x", "moderation": "low"},
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-image-1",
            "gen_ai.output.type": "image",
        },
    ),
    (
        "audio",
        "audio.speech.create",
        {"model": "tts-1", "input": CONTENT, "voice": "alloy"},
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "tts-1", "gen_ai.output.type": "speech"},
    ),
    (
        "realtime",
        "realtime.client_secrets.create",
        {"session": {"type": "realtime", "model": "gpt-realtime", "instructions": CONTENT}},
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-realtime"},
    ),
    (
        "responses",
        "responses.retrieve",
        None,
        {"gen_ai.operation.name": "chat", "openai.api.type": "responses"},
    ),
]


@pytest.mark.parametrize(
    ("api", "endpoint", "body", "standard"), REQUESTS, ids=[case[1] for case in REQUESTS]
)
def test_a_request_gives_its_standard_facts_and_no_content(
    api: str, endpoint: str, body: Any, standard: Json
) -> None:
    """Exactly the attributes of the conventions that a request has, of the right types."""
    call = record(api, endpoint)
    read_request(call, body)
    assert call.standard == standard
    kinds = {name: type(value) for name, value in call.standard.items()}
    assert kinds == {name: type(value) for name, value in standard.items()}
    assert (call.request_model, call.streaming, call.background) == (
        standard.get("gen_ai.request.model"),
        body is CHAT,
        body is RESPONSES,
    )


def test_numbers_that_no_backend_can_hold_are_dropped() -> None:
    """Not a number, too large for 64 bits, below zero, or a boolean: no attribute."""
    call = record()
    strange = {"temperature": float("nan"), "top_p": float("inf"), "seed": 2**63, "max_tokens": 2**63}
    read_request(call, {"model": "m", "dimensions": -1, "n": True, "presence_penalty": 2**70} | strange)
    assert set(call.standard) == {"gen_ai.operation.name", "openai.api.type", "gen_ai.request.model"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"model": "omni-moderation-latest"}, Moderation("omni-moderation-latest", "none")),
        ({"model": "o", "policy": {"input": {"mode": "score"}}}, Moderation("o", "score")),
        (
            {"model": "o", "policy": {"input": {"mode": "score"}, "output": {"mode": "block"}}},
            Moderation("o", "block"),
        ),
        ({"model": "o", "policy": {"input": None, "output": None}}, Moderation("o", "none")),
        ({"model": "o", "policy": {"input": {"mode": "of a later day"}}}, Moderation("o", "_OTHER")),
        ("low", Moderation()),
        (None, Moderation()),
    ],
)
def test_the_moderation_asked_for_is_noted(asked: Any, expected: Moderation) -> None:
    """Model and policy, as asked; what the answer says is another fact."""
    call = record()
    read_request(call, {"model": "m", "moderation": asked})
    assert call.moderation == expected


@pytest.mark.parametrize(
    ("name", "exported"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("ft:gpt-4o-mini:org::abc", "ft:gpt-4o-mini:org::abc"),
        ("meta-llama/Llama-3.1-8B:free", "meta-llama/Llama-3.1-8B:free"),
        ("@cf/meta/llama-3", "@cf/meta/llama-3"),
        ("claude-3@20240229", "claude-3@20240229"),
        ("alice@example.com", "_OTHER"),
        ("tell me about alice", "_OTHER"),
        ("x" * 129, "_OTHER"),
        ("", None),
        (None, None),
        (4, None),
    ],
)
def test_a_model_s_name_is_a_name_or_nothing(name: Any, exported: str | None) -> None:
    """Prose and addresses in the place of a model never leave the process."""
    assert safe_model(name) == exported


def test_an_id_that_is_none_is_dropped() -> None:
    """An id joins records; a scrubbed one would join nothing."""
    assert [safe_identifier(value) for value in ("resp_1", "a b", "", None, 7)] == [
        "resp_1",
        None,
        None,
        None,
        None,
    ]


# --- answers ---------------------------------------------------------------------------------------

USAGE: Json = {
    "input_tokens": 10,
    "output_tokens": 20,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 5},
}
TOKENS = {
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 3,
    "gen_ai.usage.cache_write.input_tokens": 4,
    "gen_ai.usage.reasoning.output_tokens": 5,
}


def _response(status: str | None = "completed", **members: Any) -> Json:
    return {"id": "resp_1", "model": "gpt-5", "status": status, "output": [], "usage": USAGE} | members


def test_an_answer_gives_its_standard_facts_and_no_content() -> None:
    """A whole Responses answer, read into exactly what the conventions name."""
    call = record("responses")
    body = _response(
        service_tier="default",
        conversation={"id": "conv_1"},
        output=[{"type": "message", "content": [{"type": "output_text", "text": CONTENT}]}],
        safety_identifier="alice@example.com",
        user="alice@example.com",
    )
    read_response(call, body)
    assert call.standard == TOKENS | {
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.model": "gpt-5",
        "openai.response.service_tier": "default",
        "gen_ai.conversation.id": "conv_1",
        "gen_ai.response.finish_reasons": ("stop",),
    }
    assert (call.response_id, call.response_model, call.status) == ("resp_1", "gpt-5", "completed")
    assert "alice" not in repr(call)
    assert CONTENT not in repr(call)


def test_a_fetched_answer_has_a_status_and_no_tokens() -> None:
    """Tokens belong to the call that made the answer, however often it is fetched."""
    call = record("responses", "responses.retrieve", "fetch_response")
    read_response(call, _response("in_progress"))
    assert call.standard == {
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.model": "gpt-5",
        "gen_ai.response.status": "in_progress",
    }


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        (_response(), ("stop",)),
        (_response(output=[{"type": "reasoning"}, {"type": "function_call"}]), ("tool_calls",)),
        (_response(output=[{"type": "web_search_call"}]), ("stop",)),
        (_response("incomplete", incomplete_details={"reason": "max_output_tokens"}), ("length",)),
        (_response("incomplete", incomplete_details={"reason": "content_filter"}), ("content_filter",)),
        (_response("incomplete", incomplete_details={"reason": "steered"}), ("steered",)),
        (_response("incomplete", incomplete_details={"reason": "alice said so"}), ("_OTHER",)),
        (_response("incomplete", incomplete_details=None), ("error",)),
        (_response("failed", error={"code": "server_error"}), ("error",)),
        (_response("cancelled"), ("cancelled",)),
        (_response("queued"), ()),
        (_response(None), ()),
    ],
)
def test_a_status_becomes_the_finish_reason_of_the_conventions(body: Json, reasons: tuple[str, ...]) -> None:
    """Responses has a status where the standard wants a finish reason."""
    call = record("responses")
    read_response(call, body)
    assert (call.finish_reasons, call.standard.get("gen_ai.response.finish_reasons", ())) == (
        reasons,
        reasons,
    )


def test_finish_reasons_stand_in_the_order_of_the_choices() -> None:
    """One for each choice; a missing one is an error, prose is none."""
    call = record()
    reasons = ["stop", None, "tool_calls", "because alice asked"]
    read_response(call, {"choices": [{"index": at, "finish_reason": why} for at, why in enumerate(reasons)]})
    assert call.finish_reasons == ("stop", "error", "tool_calls", "_OTHER")


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-request-id": "req_1", "apim-request-id": "a"}, "req_1"),
        ({"apim-request-id": "3f1c-aa"}, "3f1c-aa"),
        ({"x-request-id": "a b"}, None),
        ({}, None),
    ],
)
def test_the_request_id_is_read_from_the_headers(headers: dict[str, str], found: str | None) -> None:
    """OpenAI's header first, then Azure's; what is no id is dropped."""
    call = record()
    read_headers(call, headers)
    assert call.provider_request_id == found


# --- moderation ------------------------------------------------------------------------------------


def _scores(value: float = 0.1, **others: float) -> dict[str, float]:
    return dict.fromkeys(CATEGORIES, value) | others


def _result(*, flagged: bool = False, violence: float = 0.1, **members: Any) -> Json:
    return {
        "type": "moderation_result",
        "model": "omni-moderation-2024-09-26",
        "flagged": flagged,
        "categories": dict.fromkeys(CATEGORIES, False) | {"violence": flagged},
        "category_scores": _scores(violence=violence),
        "category_applied_input_types": {"violence": ["text"]},
    } | members


FLAGGED = Leg(True, ("violence",), _scores(violence=0.9))
PASSED = Leg(False, (), _scores())


def test_responses_moderation_is_one_result_on_each_side() -> None:
    """All 13 scores of both sides, and which category was flagged."""
    call = record("responses")
    read_response(
        call, _response(moderation={"input": _result(flagged=True, violence=0.9), "output": _result()})
    )
    assert call.moderation == Moderation(
        "omni-moderation-2024-09-26", None, {"input": FLAGGED, "output": PASSED}
    )


def test_chat_moderation_is_a_list_on_each_side() -> None:
    """The worst of several results is the leg: flagged if one is, the highest score of each category."""
    call = record()
    several = {
        "type": "moderation_results",
        "model": "omni",
        "results": [_result(), _result(flagged=True, violence=0.9), _result(violence=0.5)],
    }
    read_response(call, {"choices": [], "moderation": {"input": several}})
    assert call.moderation == Moderation("omni", None, {"input": FLAGGED})


def test_a_side_that_failed_has_an_error_and_no_verdict() -> None:
    """Not moderated is neither passed nor flagged."""
    call = record("responses")
    sides = {
        "input": {"type": "error", "code": "timeout", "message": CONTENT},
        "output": {"type": "error", "code": CONTENT, "message": CONTENT},
    }
    read_response(call, _response(moderation=sides))
    assert call.moderation.legs == {"input": Leg(error="timeout"), "output": Leg(error="_OTHER")}


def test_categories_of_later_days_are_counted_and_get_no_name() -> None:
    """Unknown categories are counted; a flagged one is ``_other``; scores out of range are dropped."""
    call = record("responses")
    result = _result(
        flagged=True,
        categories={"violence": True, "weapons": True, "spam": False},
        category_scores={"weapons": 1},
    )
    result["category_scores"] |= {"violence": 0.9, "hate": 1.5, "sexual": float("nan"), "harassment": True}
    read_response(call, _response(moderation={"input": result, "output": None}))
    assert call.moderation.legs == {"input": Leg(True, ("violence", "_other"), {"violence": 0.9})}


def test_the_standalone_endpoint_is_read_through_the_sdk_s_attributes() -> None:
    """Its models spell the categories as attributes (``self_harm_intent``); all 13 are found."""
    call = record("moderations", "moderations.create", "moderate")
    body = {"id": "modr-1", "model": "omni", "results": [_result(flagged=True, violence=0.9)]}
    with answering(body) as client:
        answer = client.moderations.create(input=CONTENT)
    assert isinstance(answer, ModerationCreateResponse)
    read_response(call, answer)
    assert call.moderation == Moderation("omni", None, {"input": FLAGGED})


# --- errors ----------------------------------------------------------------------------------------


def test_an_error_s_facts_are_codes_and_its_message_is_not_shown() -> None:
    """Everything that rules look at, from every place of an error body."""
    body = {
        "code": "content_filter",
        "type": "x",
        "param": "prompt",
        "status": 400,
        "message": CONTENT,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"hate": {"filtered": True}, "sexual": {"filtered": False}},
        },
        "moderation_details": {"moderation_stage": "input", "categories": ["violence"]},
        "misalignment": {"error_type": "other"},
        "metadata": {"flagged_input": CONTENT, "reasons": [CONTENT]},
    }
    call = record()
    read_error(call, raised(403, {"error": body}))
    assert call.errors == [
        ErrorFacts(
            code="content_filter",
            type="x",
            param="prompt",
            status=400,
            inner_code="ResponsibleAIPolicyViolation",
            stage="input",
            categories=("violence", "_other", "hate", "other"),
            filtered=True,
            has_misalignment=True,
            flagged_input=True,
            message=CONTENT,
        )
    ]
    assert call.raised == "PermissionDeniedError"
    assert CONTENT not in repr(call)


def test_an_error_of_the_app_s_own_leaves_only_its_class() -> None:
    """A connection that failed, or anything else that was raised, has no code."""
    call = record()
    read_error(call, ValueError(CONTENT))
    assert (call.raised, call.errors) == ("ValueError", [])


def test_the_same_error_twice_is_one_and_their_number_is_bounded() -> None:
    """A retrying gateway's stream of errors does not grow the record."""
    call = record()
    for at in range(50):
        for _ in range(2):
            read_error(call, raised(400, {"error": {"code": f"c{at}", "message": "x"}}))
    assert [facts.code for facts in call.errors] == [f"c{at}" for at in range(16)]


@pytest.mark.parametrize(
    ("error", "reason"),
    [("ContentFilterFinishReasonError", "content_filter"), ("LengthFinishReasonError", "length")],
)
def test_a_helper_s_exception_is_the_finish_reason_it_stands_for(error: str, reason: str) -> None:
    """``.parse()`` raises where a plain call returns: the facts are the same."""
    call = record()
    kind = getattr(openai, error)
    read_error(call, kind.__new__(kind))
    assert (call.finish_reasons, call.standard) == ((reason,), {"gen_ai.response.finish_reasons": (reason,)})


# --- bodies nobody parses --------------------------------------------------------------------------


def test_a_body_too_large_is_counted_and_not_held() -> None:
    """Beyond the bound the facts are dropped, once, and nothing is raised."""
    call = record("embeddings")
    reader = BodyReader({"content-type": "application/json"})
    for piece in (b'{"model":"m","data":"', b"x" * MAX_BODY, b"x" * MAX_BODY, b'"}'):
        reader.feed(call, piece)
    reader.finish(call)
    assert (call.oversized, call.response_model) == (1, None)


def test_an_event_too_large_is_skipped_and_the_next_one_read() -> None:
    """One huge event (a partial image) does not hide the end of its stream."""
    call = record()
    reader = BodyReader({"content-type": "text/event-stream"})
    for piece in (b"data: ", b"x" * MAX_BODY, b"x\n", b"data: x\n\n", b'data: {"id":"c1","choices":[]}\n\n'):
        reader.feed(call, piece)
    reader.finish(call)
    assert (call.oversized, call.response_id) == (1, "c1")


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("application/json; charset=utf-8", b'{"id":"c1"}', "c1"),
        ("", b' \n{"id":"c1"}', "c1"),
        ("", b'\xef\xbb\xbfdata: {"id":"c1"}\n\n', "c1"),
        ("text/plain", b'{"id":"c1"}', "c1"),
        ("audio/mpeg", b'{"id":"c1"}', None),
        ("", b"\x00\x01binary", None),
        ("application/json", b"not json", None),
        ("application/json", b"[1]", None),
    ],
)
def test_a_body_is_read_as_what_it_is(kind: str, body: bytes, found: str | None) -> None:
    """JSON, events, or neither: by the content type, and where that is missing by its beginning."""
    call = record()
    reader = BodyReader({"content-type": kind} if kind else {})
    reader.feed(call, body)
    reader.finish(call)
    assert call.response_id == found
