"""Small bodies of answers, and the outcomes they are to give."""

from __future__ import annotations

from typing import Any

from openai_safety_otel.contract.record import CallRecord, Outcome

Json = dict[str, Any]


def record(api: str = "responses", **facts: Any) -> CallRecord:
    """A record of one call."""
    return CallRecord(api, f"{api}.x", "chat", **facts)


def blocked(
    block: Any, source: Any, code: str, certainty: Any = "code", categories: tuple[str, ...] = ()
) -> Outcome:
    """Blocked, with the code as the error's type."""
    return Outcome("blocked", block, source, code, code, certainty, categories)


def failed(error_type: str, access: Any = None) -> Outcome:
    """Failed, for no reason of safety."""
    return Outcome("failed", error_type=error_type, access=access)


def response(**members: Any) -> Json:
    """An answer of the Responses API."""
    return {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": []} | members


def chat(reason: str | None = "stop", **members: Any) -> Json:
    """A chat completion with one choice."""
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": "x"}}
    return {"id": "chatcmpl-1", "model": "m", "choices": [choice]} | members


def failed_image(**error: Any) -> Json:
    """An image item that failed."""
    return {"type": "image_generation_call", "id": "ig_1", "status": "failed", "result": None, "error": error}


USAGE_TEXT = "Invalid prompt: your prompt was flagged as potentially violating our usage policy."
DETAILS = {"moderation_stage": "output", "categories": ["violence"]}
REFUSAL = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]}
TEXT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "cyber_policy"}]}
FILTERED = blocked("content_filter", "output", "content_filter", "shape")
FILTERED_INPUT = blocked("content_filter", "input", "content_filter", "shape")
COMPLETED = Outcome("completed")
