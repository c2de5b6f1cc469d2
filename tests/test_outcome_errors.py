"""Blocks that are HTTP errors, through the exceptions of the SDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from openai_safety_otel.contract.record import Outcome
from openai_safety_otel.instrumentation.extract.error import read_error
from openai_safety_otel.instrumentation.outcome import classify
from support.outcomes import DETAILS, USAGE_TEXT, Json, blocked, failed, record
from support.wire import raised


@dataclass(frozen=True)
class Http:
    name: str
    status: int
    body: object
    outcome: Outcome
    api: str = "responses"
    host: str = "api.openai.com"


def _error(**members: Any) -> Json:
    return {
        "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None} | members
    }


INNER = {
    "code": "ResponsibleAIPolicyViolation",
    "content_filter_result": {
        "hate": {"filtered": False, "severity": "safe"},
        "sexual": {"filtered": True, "severity": "high"},
        "jailbreak": {"filtered": False, "detected": False},
    },
}
AZURE_TEXT = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
)
XAI_TEXT = "Content violates usage guidelines. Team: x. Failed check: SAFETY_CHECK_TYPE_"
LIMITED_TEXT = "Invalid prompt: we've limited access to this content for safety reasons."
IDENTIFIER = blocked("identifier_blocked", "request", "identifier_blocked")
HTTP = [
    Http("identifier code", 403, _error(code="identifier_blocked"), IDENTIFIER),
    Http(
        "identifier code of another project",
        400,
        _error(code="safety_identifier_blocked"),
        blocked("identifier_blocked", "request", "safety_identifier_blocked"),
        api="chat",
    ),
    Http(
        "identifier code with a dot",
        403,
        _error(code="safety_identifier.blocked"),
        blocked("identifier_blocked", "request", "safety_identifier.blocked"),
    ),
    Http(
        "identifier phrase with a code that says nothing",
        400,
        _error(code="invalid_request", message="Identifier blocked. Contact support."),
        blocked("identifier_blocked", "request", "invalid_request", "text"),
    ),
    Http(
        "identifier phrase turned round, no code",
        403,
        _error(message="We have blocked requests with this safety identifier."),
        blocked("identifier_blocked", "request", "identifier_blocked", "text"),
    ),
    Http(
        "identifier phrase as plain text",
        403,
        "identifier_blocked for this organization",
        blocked("identifier_blocked", "request", "identifier_blocked", "text"),
    ),
    Http(
        "blocked because no identifier was sent",
        400,
        _error(code="missing_identifier", message="Your request was blocked because no identifier was sent"),
        failed("missing_identifier"),
    ),
    Http(
        "misalignment",
        403,
        _error(code="misalignment_policy_violation", misalignment={"error_type": "other"}),
        blocked("misalignment", "request", "misalignment_policy_violation", categories=("other",)),
    ),
    Http(
        "misalignment member with a new code",
        403,
        _error(code="stopped", misalignment={"steer": {"message": "x"}}),
        blocked("misalignment", "request", "stopped", "shape"),
    ),
    Http(
        "cyber",
        400,
        _error(code="cyber_policy", type="invalid_request"),
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    Http("bio", 400, _error(code="bio_policy"), blocked("bio_policy", "request", "bio_policy")),
    Http(
        "invalid prompt that is safety",
        400,
        _error(code="invalid_prompt", message=USAGE_TEXT),
        blocked("usage_policy", "input", "invalid_prompt", "text"),
        api="chat",
    ),
    Http(
        "invalid prompt of older days",
        400,
        _error(code="invalid_prompt", message=LIMITED_TEXT),
        blocked("usage_policy", "input", "invalid_prompt", "text"),
    ),
    Http(
        "invalid prompt that is validation",
        400,
        _error(code="invalid_prompt", message="Invalid prompt: the prompt id does not exist."),
        failed("invalid_prompt"),
    ),
    Http(
        "invalid prompt that speaks of an identifier",
        400,
        _error(code="invalid_prompt", message="Invalid prompt: unknown placeholder identifier blocked."),
        failed("invalid_prompt"),
    ),
    Http(
        "input image",
        400,
        _error(code="image_content_policy_violation"),
        blocked("input_image_policy", "input", "image_content_policy_violation"),
    ),
    Http(
        "image of the prompt",
        400,
        _error(
            type="image_generation_user_error",
            code="moderation_blocked",
            moderation_details={"moderation_stage": "input", "categories": ["sexual"]},
        ),
        blocked("image_moderation", "input", "moderation_blocked", categories=("sexual",)),
        api="images",
    ),
    Http(
        "image made",
        400,
        _error(code="moderation_blocked", moderation_details=DETAILS),
        blocked("image_moderation", "output", "moderation_blocked", categories=("violence",)),
        api="images",
    ),
    Http(
        "image without details",
        400,
        _error(code="moderation_blocked"),
        blocked("image_moderation", "request", "moderation_blocked"),
        api="images",
    ),
    Http(
        "image details without a code",
        400,
        _error(type="image_generation_user_error", moderation_details=DETAILS),
        blocked("image_moderation", "output", "image_moderation", "shape", ("violence",)),
        api="images",
    ),
    Http(
        "image of the DALL-E era",
        400,
        _error(code="content_policy_violation"),
        blocked("image_moderation", "request", "content_policy_violation"),
        api="images",
    ),
    Http(
        "the same code on chat",
        403,
        _error(code="content_policy_violation"),
        blocked("usage_policy", "input", "content_policy_violation"),
        api="chat",
    ),
    Http(
        "Azure with innererror",
        400,
        {
            "error": {
                "message": AZURE_TEXT,
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": INNER,
            }
        },
        blocked("content_filter", "input", "content_filter", categories=("sexual:high",)),
        api="chat",
    ),
    Http(
        "Azure without innererror, type, param and status",
        400,
        {"error": {"message": AZURE_TEXT, "code": "content_filter"}},
        blocked("content_filter", "input", "content_filter"),
        api="chat",
    ),
    Http(
        "Azure with the inner code alone",
        400,
        {"error": {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        blocked("content_filter", "input", "ResponsibleAIPolicyViolation"),
        api="embeddings",
    ),
    Http(
        "Azure as text",
        400,
        AZURE_TEXT,
        blocked("content_filter", "input", "content_filter", "text"),
        api="chat",
    ),
    Http(
        "xAI usage",
        403,
        {"code": "The caller does not have permission to execute the operation", "error": XAI_TEXT + "CSAM"},
        blocked("usage_policy", "input", "usage_policy", "text", ("csam",)),
        api="chat",
        host="api.x.ai",
    ),
    Http(
        "xAI bio",
        403,
        {"code": "permission-denied", "error": XAI_TEXT + "BIO"},
        blocked("bio_policy", "input", "bio_policy", "text", ("bio",)),
        api="chat",
        host="api.x.ai",
    ),
    Http(
        "xAI without access",
        403,
        {"code": "permission-denied", "error": "Your team has no access to this model."},
        failed("PermissionDeniedError", "forbidden"),
        api="chat",
        host="api.x.ai",
    ),
    Http(
        "OpenRouter moderation",
        403,
        {
            "error": {
                "code": 403,
                "message": "Your chosen model requires moderation and your input was flagged",
                "metadata": {
                    "reasons": ["violence"],
                    "flagged_input": "the user's words",
                    "provider_name": "x",
                },
            }
        },
        blocked("moderation_policy", "input", "403", "shape", ("violence",)),
        api="chat",
        host="openrouter.ai",
    ),
    Http(
        "a gateway's refusal",
        400,
        _error(type="refusal"),
        Outcome("refused"),
        api="chat",
        host="openrouter.ai",
    ),
    Http(
        "a policy of later days",
        403,
        _error(code="weapons_policy_violation"),
        blocked("other_policy", "request", "weapons_policy_violation"),
    ),
    Http(
        "a block of later days",
        403,
        _error(code="conversation_blocked"),
        blocked("other_policy", "request", "conversation_blocked"),
    ),
    Http(
        "a wrong policy of the caller's",
        400,
        _error(code="invalid_moderation_policy"),
        failed("invalid_moderation_policy"),
    ),
    Http("no such model", 404, _error(code="model_not_found"), failed("model_not_found", "model_not_found")),
    Http("too fast", 429, _error(code="rate_limit_exceeded"), failed("rate_limit_exceeded")),
    Http("a server's error without a code", 500, _error(type="server_error"), failed("InternalServerError")),
    Http("a proxy's page", 502, "<html>Bad gateway</html>", failed("InternalServerError")),
    Http("forbidden, no reason", 403, _error(), failed("PermissionDeniedError", "forbidden")),
    Http("prose for a code", 400, _error(code="alice@example.com said no"), failed("_OTHER")),
]


@pytest.mark.parametrize("case", HTTP, ids=lambda case: case.name)
def test_an_http_error_is_classified_by_what_it_says(case: Http) -> None:
    """Each documented or recorded error body gives its one outcome."""
    call = record(case.api, host=case.host, end="raised")
    kind = "text/plain" if isinstance(case.body, str) else "application/json"
    read_error(call, raised(case.status, case.body, kind))
    assert classify(call) == case.outcome


@pytest.mark.parametrize(
    ("delivery", "outcome"),
    [
        ("sent", blocked("identifier_blocked", "request", "identifier_blocked", "text")),
        ("none", failed("PermissionDeniedError", "forbidden")),
    ],
)
def test_perplexity_forbids_a_blocked_identifier(delivery: Any, outcome: Outcome) -> None:
    """Its 403 means the identifier only where one was sent: the body is not documented."""
    call = record("chat", host="api.perplexity.ai", end="raised", delivery=delivery)
    read_error(call, raised(403, {"detail": "Forbidden"}))
    assert classify(call) == outcome
