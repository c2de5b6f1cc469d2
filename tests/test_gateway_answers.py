"""What gateways and other providers answer: their words for a filter, their lists of errors, and what is neither."""

from __future__ import annotations

from typing import Any

import pytest

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.extract.error import add_error, facts_of, read_error
from openai_safety_otel.instrumentation.extract.response import read_response
from openai_safety_otel.instrumentation.extract.stream import fold
from openai_safety_otel.instrumentation.outcome import classify
from support.outcomes import Json, chat, record
from support.wire import raised


def whole(reason: str) -> CallRecord:
    found = record("chat", host="gateway.example")
    read_response(found, chat(reason))
    return found


def streamed(reason: str) -> CallRecord:
    found = record("chat", host="gateway.example", streaming=True)
    fold(found, {"id": "x", "choices": [{"index": 0, "delta": {"content": "y"}}]})
    fold(found, {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return found


@pytest.mark.parametrize("read", [whole, streamed])
@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("content_filter", "blocked"),
        ("content_filter: SAFETY", "blocked"),
        ("CONTENT_FILTER", "blocked"),
        ("SAFETY", "blocked"),
        ("safety", "blocked"),
        ("PROHIBITED_CONTENT", "blocked"),
        ("BLOCKLIST", "blocked"),
        ("SPII", "blocked"),
        ("IMAGE_SAFETY", "blocked"),
        ("IMAGE_PROHIBITED_CONTENT", "blocked"),
        ("guardrail_intervened", "blocked"),
        ("STOP", "completed"),
        ("MAX_TOKENS", "completed"),
        ("safety_margin", "completed"),
        ("stop: SAFETY", "completed"),
        ("RECITATION", "completed"),
    ],
)
def test_a_filter_by_another_name(read: Any, reason: str, outcome: str) -> None:
    """Google's own reasons come through its compatible endpoint as they are: the answer was filtered, not completed."""
    found = classify(read(reason))
    expected = ("blocked", "content_filter", "output", "shape")
    assert (found.name, found.block_type, found.block_source, found.certainty) == (
        expected if outcome == "blocked" else (outcome, None, None, None)
    )


BLOCK = {"code": "identifier_blocked", "message": "no"}


def outcome_of(body: Any, status: int = 400) -> tuple[Any, ...]:
    call = record("chat", host="gateway.example", end="raised")
    read_error(call, raised(status, body))
    found = classify(call)
    return found.name, found.block_type, found.certainty


@pytest.mark.parametrize(
    "body",
    [
        [{"error": BLOCK}],
        [BLOCK],
        {"error": [BLOCK]},
        {"errors": [BLOCK]},
        {"success": False, "errors": [BLOCK]},
    ],
    ids=str,
)
def test_an_error_in_a_list_is_read(body: Any) -> None:
    """Google answers with a list, Cloudflare with a list of errors."""
    assert outcome_of(body) == ("blocked", "identifier_blocked", "code")


@pytest.mark.parametrize("body", [[], [1], {"error": []}, {"errors": {}}, [[BLOCK]]], ids=str)
def test_a_list_without_an_error_is_none(body: Any) -> None:
    """Nor is what lies deeper."""
    assert outcome_of(body) == ("failed", None, None)


def test_an_empty_list_of_errors_in_an_answer_is_no_error() -> None:
    """Cloudflare's answers carry one."""
    found = record("chat")
    read_response(found, chat("stop", errors=[], error=[]))
    assert classify(found).name == "completed"


def reasons(**members: Any) -> Json:
    return {"error": {"message": "no", "metadata": {"reasons": ["x"], "provider_name": "y"}, **members}}


@pytest.mark.parametrize("status", [402, 408, 429, 500, 502, 503])
@pytest.mark.parametrize("coded", [True, False])
def test_reasons_for_something_else_are_no_moderation(status: int, coded: bool) -> None:
    """OpenRouter names reasons where it flagged an input; money, speed and outages have reasons as well."""
    assert outcome_of(reasons(code=status) if coded else reasons(), status) == ("failed", None, None)
    frame = record("chat", host="openrouter.ai", end="raised")
    read_error(frame, raised(400, reasons(code=status)))
    assert classify(frame).name == "failed"
    assert outcome_of(reasons(code=403), 403) == ("blocked", "moderation_policy", "shape")


@pytest.mark.parametrize(
    "code", ["image_download_blocked", "fetch_blocked", "robots_policy", "bot_blocked", "crawler_blocked"]
)
def test_what_a_strangers_site_blocked_is_no_policy_of_the_providers(code: str) -> None:
    """An image that cannot be fetched is about its site."""
    assert outcome_of({"error": {"code": code, "message": "no"}}) == ("failed", None, None)


TEXTS = [
    "our site is violating our usage policies",
    "flagged for possible cybersecurity risk",
    "flagged for biology",
    "Your access was terminated due to violation of our policies",
    "the account has been deactivated",
    "content management policy",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("param", "heard"),
    [
        (None, True),
        ("prompt", True),
        ("input", True),
        ("messages[3].content", True),
        ("tools", False),
        ("tools[0].server_url", False),
        ("input[0].content[1].image_url", False),
        ("input[0].content[1].file_id", False),
    ],
)
def test_what_a_strangers_server_says_is_no_word_of_the_providers(
    text: str, param: str | None, heard: bool
) -> None:
    """An error about a tool, an address or a file tells what was found there."""
    body = {
        "error": {"message": f"Error: {text}", "type": "invalid_request_error", "param": param, "code": None}
    }
    assert (outcome_of(body)[0] == "blocked") is heard


def test_a_rejected_image_is_one_wherever_it_stood() -> None:
    """The provider's own words about the image itself."""
    error = {"type": "invalid_request_error", "param": "input[0].content[1].image_url", "code": None}
    said = {"error": {**error, "message": "Your image was rejected by the safety system."}}
    assert outcome_of(said) == ("blocked", "image_moderation", "text")


QUOTED = "your safety identifier has been blocked"


@pytest.mark.parametrize(
    "marks",
    [
        "\u201e\u201c",
        "\u201e\u201d",
        "\u201a\u2018",
        "\u2039\u203a",
        "「」",
        "『』",
        "«»",
        "»«",
        "\u201c\u201d",
        '""',
    ],
)
def test_what_is_quoted_in_any_language_is_the_users(marks: str) -> None:
    """A message that quotes the prompt tells nothing of whoever wrote it; what stands outside is heard."""
    before, after = marks[0], marks[1]
    error = {"type": "invalid_request_error", "param": None, "code": None}
    assert (
        outcome_of({"error": {**error, "message": f"Cannot parse {before}{QUOTED}{after} here."}})[0]
        == "failed"
    )
    assert (
        outcome_of({"error": {**error, "message": f"Rejected {before}x{after}: {QUOTED}."}})[0] == "blocked"
    )


DENIED = {
    "error": {
        "message": "The guardrail checks defined in the config failed. You can find more information in the "
        "`hook_results` object.",
        "type": "hooks_failed",
        "param": None,
        "code": None,
    }
}
FAILED = [
    {"verdict": False, "id": "g1", "checks": [{"verdict": False, "id": "default.contains"}], "deny": True}
]
PASSED = [{"verdict": True, "id": "g1", "checks": [], "deny": True}]


def portkey(before: Any, after: Any) -> Json:
    return {"hook_results": {"before_request_hooks": before, "after_request_hooks": after}}


def cloudflare(code: int, message: str) -> Json:
    error = {"code": code, "message": message}
    return {"success": False, "error": [error], "name": "AiGatewayError", "internalCode": code, **error}


@pytest.mark.parametrize(
    ("status", "body", "side", "certainty"),
    [
        (446, DENIED | portkey(FAILED, []), "input", "type"),
        (446, DENIED | portkey(PASSED, FAILED), "output", "type"),
        (446, DENIED | portkey(FAILED, None), "input", "type"),
        (446, DENIED, "request", "type"),
        (424, cloudflare(2016, "Prompt blocked due to security configurations"), "input", "code"),
        (424, cloudflare(2017, "Response blocked due to security configurations"), "output", "code"),
    ],
)
def test_what_a_gateways_guardrail_stopped_is_a_filters_block(
    status: int, body: Any, side: str, certainty: str
) -> None:
    """Portkey's and Cloudflare's: of the prompt or of the answer, and never the provider's enforcement."""
    expected = ("blocked", "moderation_policy", side, certainty)
    assert expected == guarded(raised(status, body))
    call = record("chat", host="gateway.example", end="raised")
    add_error(call.errors, facts_of(body, status=status))  # as LiteLLM's door reads it
    found = classify(call)
    assert expected == (found.name, found.block_type, found.block_source, found.certainty)


def guarded(error: Any) -> tuple[Any, ...]:
    call = record("chat", host="gateway.example", end="raised")
    read_error(call, error)
    found = classify(call)
    return found.name, found.block_type, found.block_source, found.certainty


def test_an_error_whose_response_is_no_json_is_still_read() -> None:
    """Portkey's word without what it found: where it was stopped is not known."""
    error: Any = raised(446, DENIED)
    error.response = None
    assert guarded(error) == ("blocked", "moderation_policy", "request", "type")


def test_an_error_beside_checks_that_failed_and_denied_nothing_is_what_it_says() -> None:
    """The provider's own error through Portkey: its checks are told beside it, and stopped nothing."""
    body = {"error": {"message": "Invalid value", "type": "invalid_request_error", "code": "invalid_value"}}
    call = record("images", host="gateway.example", end="raised")
    add_error(call.errors, facts_of(body | portkey(FAILED, FAILED), status=400))
    assert (classify(call).name, classify(call).block_type) == ("failed", None)


def test_an_answer_that_only_failed_its_checks_is_completed() -> None:
    """Portkey's 246: the checks failed and nothing was denied."""
    call = record("chat", host="gateway.example")
    read_response(call, chat("stop") | portkey(FAILED, FAILED))
    assert (classify(call).name, classify(call).block_type) == ("completed", None)
