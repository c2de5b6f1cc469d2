"""Blocks, refusals and failures that come in the events of a stream."""

from __future__ import annotations

import pytest

from openai_safety_otel.contract.record import Outcome
from openai_safety_otel.instrumentation.extract.stream import fold
from openai_safety_otel.instrumentation.outcome import classify
from support.outcomes import (
    COMPLETED,
    FILTERED,
    USAGE_TEXT,
    Json,
    blocked,
    failed,
    failed_image,
    record,
    response,
)

CREATED = {"type": "response.created", "response": response(status="in_progress")}
DELTA = {"type": "response.output_text.delta", "delta": "x"}
CYBER = {"code": "cyber_policy", "type": "invalid_request", "message": "flagged", "param": None}
STREAMS: list[tuple[str, str, list[Json], Outcome]] = [
    (
        "nested error before any output",
        "responses",
        [CREATED, {"type": "error", "error": CYBER, "status": None}],
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    (
        "nested error after output",
        "responses",
        [CREATED, DELTA, {"type": "error", "error": CYBER}],
        blocked("cyber_policy", "output", "cyber_policy"),
    ),
    (
        "flat error",
        "responses",
        [CREATED, {"type": "error", "code": "misalignment_policy_violation", "message": "x", "param": None}],
        blocked("misalignment", "request", "misalignment_policy_violation"),
    ),
    (
        "an error frame and then response.failed: one halt",
        "responses",
        [
            CREATED,
            {"type": "error", "error": {"code": "server_error", "message": "x"}},
            {"type": "response.failed", "response": response(status="failed", error=CYBER)},
        ],
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    (
        "the first of two codes is kept",
        "responses",
        [
            {"type": "error", "error": {"code": "bio_policy"}},
            {"type": "response.failed", "response": response(status="failed", error=CYBER)},
        ],
        blocked("bio_policy", "request", "bio_policy"),
    ),
    (
        "incomplete for the filter",
        "responses",
        [
            CREATED,
            {
                "type": "response.incomplete",
                "response": response(status="incomplete", incomplete_details={"reason": "content_filter"}),
            },
        ],
        FILTERED,
    ),
    (
        "refusal text",
        "responses",
        [CREATED, {"type": "response.refusal.delta", "delta": "I"}],
        Outcome("refused"),
    ),
    (
        "refusal part",
        "responses",
        [CREATED, {"type": "response.content_part.done", "part": {"type": "refusal", "refusal": "I"}}],
        Outcome("refused"),
    ),
    (
        "a failed image item",
        "responses",
        [CREATED, {"type": "response.output_item.done", "item": failed_image(code="moderation_blocked")}],
        blocked("image_moderation", "request", "moderation_blocked"),
    ),
    (
        "chat filtered",
        "chat",
        [{"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}],
        FILTERED,
    ),
    ("chat refused", "chat", [{"choices": [{"index": 0, "delta": {"refusal": "I"}}]}], Outcome("refused")),
    (
        "chat error line",
        "chat",
        [{"error": {"code": "cyber_policy"}}],
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    (
        "image stream",
        "images",
        [{"type": "image_generation.partial_image"}, {"error": {"code": "moderation_blocked"}}],
        blocked("image_moderation", "request", "moderation_blocked"),
    ),
    (
        "an agent's turn",
        "agents",
        [
            {
                "type": "agent.session.turn.failed",
                "turn": {"status": "failed", "error": {"code": "cyber_policy"}},
            }
        ],
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    (
        "an agent's error event, yielded",
        "agents",
        [{"type": "error", "error": {"type": "x", "code": "misalignment_policy_violation", "message": "x"}}],
        blocked("misalignment", "request", "misalignment_policy_violation"),
    ),
    (
        "Realtime filtered",
        "realtime",
        [
            {
                "type": "response.done",
                "response": {
                    "status": "incomplete",
                    "status_details": {"type": "incomplete", "reason": "content_filter"},
                },
            }
        ],
        FILTERED,
    ),
    (
        "Realtime failed",
        "realtime",
        [
            {
                "type": "response.done",
                "response": {"status": "failed", "status_details": {"error": {"code": "rate_limit"}}},
            }
        ],
        failed("rate_limit"),
    ),
    (
        "Live closed by the safety filter",
        "live",
        [{"type": "session.closed", "reason": "content"}],
        FILTERED,
    ),
    ("Live closed", "live", [{"type": "session.closed", "reason": "close_requested"}], COMPLETED),
    (
        "an assistant's run",
        "assistants",
        [
            {
                "event": "thread.run.failed",
                "data": {"status": "failed", "last_error": {"code": "invalid_prompt", "message": USAGE_TEXT}},
            }
        ],
        blocked("usage_policy", "input", "invalid_prompt", "text"),
    ),
]


@pytest.mark.parametrize(
    ("api", "events", "outcome"), [case[1:] for case in STREAMS], ids=[c[0] for c in STREAMS]
)
def test_a_stream_is_classified_by_its_events(api: str, events: list[Json], outcome: Outcome) -> None:
    """Whichever event brings the bad news, before or after output, the one outcome is the same."""
    call = record(api, streaming=True)
    for event in events:
        if fold(call, event):
            call.output_begun = call.output_begun or event.get("type", "").endswith(".delta")
    assert classify(call) == outcome
