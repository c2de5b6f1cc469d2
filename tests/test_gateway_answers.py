"""What gateways and other providers answer: their words for a filter, their lists of errors, and what is neither."""

from __future__ import annotations

from typing import Any

import pytest

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.extract.error import read_error
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
