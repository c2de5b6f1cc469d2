"""Blocks, refusals and failures that come in an answer of status 200."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openai_safety_otel.contract.record import Outcome
from openai_safety_otel.instrumentation.extract.response import read_response
from openai_safety_otel.instrumentation.outcome import classify
from support.outcomes import (
    COMPLETED,
    DETAILS,
    FILTERED,
    FILTERED_INPUT,
    REFUSAL,
    TEXT,
    USAGE_TEXT,
    Json,
    blocked,
    chat,
    failed,
    failed_image,
    record,
    response,
)

ANSWERS: list[tuple[str, str, Json, Outcome]] = [
    ("plain", "responses", response(output=[TEXT]), COMPLETED),
    ("refused", "responses", response(output=[TEXT, REFUSAL]), Outcome("refused")),
    (
        "cut",
        "responses",
        response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        COMPLETED,
    ),
    (
        "steered",
        "responses",
        response(status="incomplete", incomplete_details={"reason": "steered"}),
        COMPLETED,
    ),
    (
        "filtered",
        "responses",
        response(status="incomplete", incomplete_details={"reason": "content_filter"}),
        FILTERED,
    ),
    (
        "filtered after a refusal",
        "responses",
        response(status="incomplete", incomplete_details={"reason": "content_filter"}, output=[REFUSAL]),
        FILTERED,
    ),
    (
        "failed for bio",
        "responses",
        response(status="failed", error={"code": "bio_policy", "message": "flagged"}),
        blocked("bio_policy", "request", "bio_policy"),
    ),
    (
        "failed for its prompt",
        "responses",
        response(status="failed", error={"code": "invalid_prompt", "message": USAGE_TEXT}),
        blocked("usage_policy", "input", "invalid_prompt", "text"),
    ),
    (
        "failed for nothing of ours",
        "responses",
        response(status="failed", error={"code": "server_error", "message": "sorry"}),
        failed("server_error"),
    ),
    ("failed without a word", "responses", response(status="failed"), failed("_OTHER")),
    ("cancelled", "responses", response(status="cancelled"), Outcome("cancelled")),
    ("in the background", "responses", response(status="queued", background=True), COMPLETED),
    (
        "a blocked image in a completed response",
        "responses",
        response(output=[failed_image(code="moderation_blocked", moderation_details=DETAILS), TEXT]),
        blocked("image_moderation", "output", "moderation_blocked", categories=("violence",)),
    ),
    (
        "an image that only failed",
        "responses",
        response(output=[failed_image(code="server_error"), TEXT]),
        COMPLETED,
    ),
    (
        "Azure's verdict on a prompt",
        "responses",
        response(content_filters=[{"blocked": True, "source_type": "prompt"}]),
        FILTERED_INPUT,
    ),
    (
        "Azure's verdict on an answer",
        "responses",
        response(content_filters=[{"blocked": False, "source_type": "prompt"}, {"blocked": True}]),
        FILTERED,
    ),
    (
        "flagged by a block policy, answered all the same",
        "responses",
        response(
            output=[TEXT], moderation={"input": {"type": "moderation_result", "flagged": True, "model": "o"}}
        ),
        COMPLETED,
    ),
    ("chat", "chat", chat(), COMPLETED),
    ("chat cut", "chat", chat("length"), COMPLETED),
    ("chat filtered", "chat", chat("content_filter"), FILTERED),
    (
        "one choice of two filtered",
        "chat",
        chat(
            choices=[{"index": 0, "finish_reason": "stop"}, {"index": 1, "finish_reason": "content_filter"}]
        ),
        FILTERED,
    ),
    (
        "chat refused",
        "chat",
        chat(choices=[{"index": 0, "finish_reason": "stop", "message": {"refusal": "I can't."}}]),
        Outcome("refused"),
    ),
    (
        "an empty refusal is none",
        "chat",
        chat(choices=[{"index": 0, "finish_reason": "stop", "message": {"refusal": ""}}]),
        COMPLETED,
    ),
    (
        "Azure: a filter fired on the choice",
        "chat",
        chat(
            choices=[
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "content_filter_results": {"violence": {"filtered": True, "severity": "high"}},
                }
            ]
        ),
        replace(FILTERED, categories=("violence:high",)),
    ),
    (
        "Azure: a filter that failed is open",
        "chat",
        chat(
            choices=[
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "content_filter_results": {"error": {"code": "content_filter_error", "message": "x"}},
                }
            ]
        ),
        COMPLETED,
    ),
    (
        "Azure: a filter fired on the prompt",
        "chat",
        chat(
            prompt_filter_results=[
                {
                    "prompt_index": 0,
                    "content_filter_results": {"hate": {"filtered": True, "severity": "high"}},
                }
            ]
        ),
        replace(FILTERED_INPUT, categories=("hate:high",)),
    ),
    (
        "OpenRouter: 200 with an error",
        "chat",
        {"error": {"code": 502, "message": "Provider returned error"}},
        failed("502"),
    ),
    (
        "OpenRouter: 200 with a moderation error",
        "chat",
        {"error": {"code": 403, "message": "flagged", "metadata": {"flagged_input": "words"}}},
        blocked("moderation_policy", "input", "403", "shape"),
    ),
    (
        "OpenRouter: a choice that failed",
        "chat",
        chat(choices=[{"index": 0, "finish_reason": "error", "error": {"code": "cyber_policy"}}]),
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    (
        "completions filtered",
        "completions",
        {"choices": [{"index": 0, "text": "", "finish_reason": "content_filter"}]},
        FILTERED,
    ),
    (
        "a decision refused",
        "decisions",
        {"answers": [{"type": "predicate", "probability": 0.5}, {"type": "refusal", "name": "q1"}]},
        Outcome("refused"),
    ),
    (
        "a video blocked",
        "videos",
        {"id": "video_1", "status": "failed", "error": {"code": "misalignment_policy_violation"}},
        blocked("misalignment", "request", "misalignment_policy_violation"),
    ),
    (
        "an agent's turn blocked",
        "agents",
        {"id": "turn_1", "status": "failed", "error": {"code": "cyber_policy", "message": "x"}},
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    (
        "an agent's session failed in prose",
        "agents",
        {"id": "s_1", "object": "agent.session", "status": "failed", "error": "Alice's laptop is gone"},
        failed("_OTHER"),
    ),
    (
        "an assistant's run blocked",
        "assistants",
        {"id": "run_1", "status": "failed", "last_error": {"code": "invalid_prompt", "message": USAGE_TEXT}},
        blocked("usage_policy", "input", "invalid_prompt", "text"),
    ),
    ("a batch that expired", "batches", {"id": "batch_1", "status": "expired"}, failed("_OTHER")),
]


@pytest.mark.parametrize(
    ("api", "body", "outcome"), [case[1:] for case in ANSWERS], ids=[c[0] for c in ANSWERS]
)
def test_an_answer_is_classified_by_its_shape(api: str, body: Json, outcome: Outcome) -> None:
    """Blocks hidden in a 200 are found; what a model wrote, flags and cut answers are no block."""
    call = record(api)
    read_response(call, body)
    assert classify(call) == outcome
