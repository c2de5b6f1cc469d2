"""Evidence: the user's own last turn, masked and cut, and only where a setting or a watch asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import CallRecord, Identity, Leg, Outcome
from openai_safety_otel.contract.settings import EvidenceMode
from openai_safety_otel.instrumentation.evidence import (
    MAX_CHARS,
    MAX_WATCHED_EVENTS,
    Collector,
    Evidence,
    last_turn,
    shortened,
)
from openai_safety_otel.instrumentation.extract.error import read_error
from openai_safety_otel.instrumentation.extract.response import read_response
from openai_safety_otel.instrumentation.masking import mask
from openai_safety_otel.instrumentation.outcome import classify
from support.wire import raised

COMPLETED = Outcome("completed")
BLOCKED_INPUT = Outcome("blocked", "usage_policy", "input", "invalid_prompt", "invalid_prompt")
BLOCKED_OUTPUT = Outcome("blocked", "content_filter", "output", "content_filter", "content_filter")
SUSPENDED = Outcome("blocked", "suspended_locally", "request")
FLAGGED = Leg(flagged=True, categories=("violence",), scores={"violence": 0.9})
PASSED = Leg(flagged=False, scores={"violence": 0.1})


def record(**legs: Leg) -> CallRecord:
    made = CallRecord("responses", "responses.create", "chat", identity=Identity("u" * 64, "end_user"))
    made.moderation.legs.update(legs)  # type: ignore[arg-type]
    made.response_id = made.standard[c.RESPONSE_ID] = "resp_1"
    made.ended_ns = 7
    return made


def collected(evidence: Evidence, *, watched: bool = False) -> Collector | None:
    found = evidence.collector({"input": "what they wrote"}, watched=watched)
    if found is not None:
        found.add("what it ")
        found.add("answered")
    return found


@pytest.mark.parametrize(
    ("body", "turn"),
    [
        ({"input": "plain"}, ("plain",)),
        ({"input": [{"role": "user", "content": "one"}]}, ("one",)),
        (
            {
                "instructions": "system",
                "input": [
                    {"role": "user", "content": "earlier"},
                    {"role": "assistant", "content": [{"type": "output_text", "text": "answer"}]},
                    {
                        "role": "user",
                        "content": [{"type": "input_text", "text": "a"}, {"type": "input_image"}],
                    },
                    {"role": "user", "content": "b"},
                    {"type": "function_call_output", "call_id": "1", "output": "tool's"},
                ],
            },
            ("a", "b"),
        ),
        (
            {
                "messages": [
                    {"role": "system", "content": "rules"},
                    {"role": "user", "content": "earlier"},
                    {"role": "assistant", "content": "answer"},
                    {"role": "user", "content": [{"type": "text", "text": "now"}]},
                ]
            },
            ("now",),
        ),
        ({"messages": [{"role": "system", "content": "rules"}]}, ()),
        ({"prompt": "draw"}, ("draw",)),
        ({"prompt": ["one", "two"]}, ("one", "two")),
        ({"prompt": [1, 2, 3]}, ()),
        ({"prompt": {"id": "pmpt_1"}}, ()),
        ({"input": ["embed", "these"]}, ("embed", "these")),
        ({"input": [[1, 2], [3]]}, ()),
        ({"input": [{"type": "text", "text": "moderate"}, {"type": "image_url"}]}, ("moderate",)),
        ({"thread": {"messages": [{"role": "user", "content": "assist"}]}}, ("assist",)),
        ({}, ()),
        ({"messages": None, "input": 7, "prompt": None}, ()),
        (
            {
                "messages": [
                    None,
                    7,
                    {"role": "user"},
                    {"role": "user", "content": [None, 3, {"type": "text"}]},
                ]
            },
            (),
        ),
    ],
)
def test_the_last_turn_is_the_users_own(body: dict[str, Any], turn: tuple[str, ...]) -> None:
    """Of each API's body: the last run of user texts; no system text, tool output or earlier turn."""
    assert turn == last_turn(body)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mail Jörg.Müller+x@exämple.co.uk, or ann@x.io.", "mail [EMAIL], or [EMAIL]."),
        ("call +49 (0)30 1234-5678 or 415-555-2671 or 4155552671", "call [PHONE] or [PHONE] or [PHONE]"),
        ("order 12345678 of 2024 for 1,250.00", "order 12345678 of 2024 for 1,250.00"),
        ("card 4111 1111 1111 1111 and 5500-0000-0000-0004", "card [CARD] and [CARD]"),
        ("pay DE89 3704 0044 0532 0130 00 or GB33BUKB20201555555555", "pay [IBAN] or [IBAN]"),
        ("sk-proj-abcdefghijklmnop123456", "[SECRET]"),
        ("AKIAIOSFODNN7EXAMPLE, ghp_abcdefghijklmnopqrstuvwxyz0123", "[SECRET], [SECRET]"),
        ("Authorization: Bearer abc.def.ghi-123", "Authorization: [SECRET]"),
        ("my password is hunter2, api_key=XYZ123", "my [SECRET], [SECRET]"),
        ("postgres://app:pa55@db.example.com/x", "postgres://[SECRET]@db.example.com/x"),
        ("10.0.0.1 2001:db8::1 fe80:0:0:0:1:2:3:4", "[IP] [IP] [IP]"),
        ("at 12:30:45, version 1.2.3, std::vector", "at 12:30:45, version 1.2.3, std::vector"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9", "[TOKEN]"),
        ("d41d8cd98f00b204e9800998ecf8427e", "[TOKEN]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- rest", "[PRIVATE_KEY] rest"),
        ("SSN 123-45-6789", "SSN [SSN]"),
        (
            "a supercalifragilisticexpialidocious-word-without-digits",
            "a supercalifragilisticexpialidocious-word-without-digits",
        ),
    ],
)
def test_secrets_and_personal_data_are_masked(text: str, masked: str) -> None:
    """Each kind is replaced by its name, and what only looks similar stays."""
    assert masked == mask(text)


def test_what_is_cut_is_masked_first() -> None:
    """A secret that lies across the cut leaves no half of itself."""
    secret = "sk-" + "a1" * 100
    for before in (MAX_CHARS - 1, MAX_CHARS - 50, MAX_CHARS - 203):
        text = shortened("x" * (before - 1) + " " + secret + " tail " * 2000)
        assert (True, False) == (len(text) <= MAX_CHARS, "a1a1" in text)


@pytest.mark.parametrize(
    ("mode", "outcome", "legs", "kept"),
    [
        ("off", BLOCKED_INPUT, {}, None),
        ("blocked", COMPLETED, {"input": FLAGGED}, None),
        ("blocked", BLOCKED_INPUT, {}, ("what they wrote", None)),
        ("blocked", BLOCKED_OUTPUT, {}, ("what they wrote", "what it answered")),
        ("blocked", SUSPENDED, {}, None),
        ("flagged", COMPLETED, {"input": PASSED, "output": PASSED}, None),
        ("flagged", COMPLETED, {"input": FLAGGED, "output": PASSED}, ("what they wrote", None)),
        ("flagged", COMPLETED, {"input": PASSED, "output": FLAGGED}, ("what they wrote", "what it answered")),
        ("flagged", BLOCKED_INPUT, {}, ("what they wrote", None)),
        ("flagged", Outcome("refused"), {}, None),
        ("flagged", Outcome("failed", error_type="server_error"), {}, None),
    ],
)
def test_only_what_the_mode_asks_for_is_kept(
    mode: EvidenceMode, outcome: Outcome, legs: dict[str, Leg], kept: tuple[str, str | None] | None
) -> None:
    """Off keeps nothing; blocked and flagged keep the last turn, and the output where that was the matter."""
    evidence = Evidence(mode)
    event = evidence.event(record(**legs), outcome, collected(evidence))
    texts = event and (event.attributes.get(c.EVIDENCE_INPUT), event.attributes.get(c.EVIDENCE_OUTPUT))
    assert kept == texts


def test_the_event_is_of_its_own_scope_and_joins_the_call() -> None:
    """Name, scope and the ids by which an investigation finds the call; nothing else of the request."""
    evidence = Evidence("blocked")
    event = evidence.event(record(), BLOCKED_INPUT, collected(evidence), (1, 2, 1))
    assert event is not None
    assert ("openai_safety.evidence", "openai_safety_otel.instrumentation.evidence", 7, 1, 2, 1) == (
        event.name,
        event.scope,
        event.time_ns,
        event.trace_id,
        event.span_id,
        event.trace_flags,
    )
    assert {
        c.RESPONSE_ID: "resp_1",
        c.API: "responses",
        c.ENDPOINT: "responses.create",
        c.OUTCOME: "blocked",
        c.BLOCK_TYPE: "usage_policy",
        c.BLOCK_CLASS: "enforcement",
        c.BLOCK_SOURCE: "input",
        c.BLOCK_CODE: "invalid_prompt",
        c.ERROR_TYPE: "invalid_prompt",
        c.USER_HASH: "u" * 64,
        c.IDENTIFIER_SOURCE: "end_user",
        c.IDENTIFIER_DELIVERY: "none",
        c.TRAFFIC: "production",
        c.EVIDENCE_INPUT: "what they wrote",
    } == event.attributes


@pytest.mark.parametrize(
    "made",
    [
        record(
            input=Leg(flagged=True, categories=("sexual", "sexual/minors"), scores={"sexual/minors": 0.8})
        ),
        record(output=Leg(flagged=False, scores={"sexual/minors": 0.2})),
    ],
    ids=["flagged", "score"],
)
@pytest.mark.parametrize("watched", [False, True])
def test_minors_leave_scores_and_ids_only(made: CallRecord, watched: bool) -> None:
    """Where sexual/minors is flagged or likely there is an event, with scores and ids, and never a text."""
    evidence = Evidence("flagged")
    event = evidence.event(made, BLOCKED_OUTPUT, collected(evidence, watched=watched))
    assert event is not None
    found = {name for name in event.attributes if "evidence" in name}
    scores = {value for name, value in event.attributes.items() if name.endswith("scores.sexual/minors")}
    assert (set(), "resp_1", 1) == (found, event.attributes[c.RESPONSE_ID], len(scores))


VIOLATIONS = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at "
    "help.openai.com and include the request ID 6b0e. safety_violations=[{}]."
)
NAMES_MINORS: list[tuple[str, dict[str, Any]]] = [
    ("OpenAI's details", {"moderation_details": {"categories": ["sexual/minors"]}}),
    ("OpenAI's message alone", {"message": VIOLATIONS.format("sexual/minors")}),
    ("the second of two", {"message": VIOLATIONS.format("violence, sexual/minors")}),
    (
        "Azure's filter",
        {"innererror": {"content_filter_result": {"sexual_minors": {"filtered": True, "severity": "high"}}}},
    ),
    (
        "Azure's filter of images",
        {"inner_error": {"content_filter_results": {"csam": {"filtered": True, "detected": True}}}},
    ),
    ("a word nobody knows yet", {"moderation_details": {"categories": ["child_safety"]}}),
    ("a text", {"moderation_details": {"categories": "sexual, sexual/minors"}}),
    ("verdicts", {"moderation_details": {"categories": {"sexual": False, "sexual/minors": True}}}),
    ("words in words", {"moderation_details": {"categories": [{"category": "sexual/minors", "score": 1}]}}),
    ("another member", {"moderation_details": {"violations": ["sexual/minors"]}}),
    ("a gateway's reason", {"metadata": {"reasons": {"sexual/minors": True}}}),
    ("a message with blanks", {"message": "rejected, safety_violations = [ sexual/minors ]"}),
    ("a message with JSON", {"message": 'rejected {"safety_violations": ["sexual/minors"]}'}),
    ("a sentence", {"message": "Rejected: it may contain sexual content involving minors."}),
    ("xAI's check", {"message": "Content violates usage guidelines. Failed: SAFETY_CHECK_TYPE_CSAM"}),
]


@pytest.mark.parametrize(
    "error", [error for _, error in NAMES_MINORS], ids=[name for name, _ in NAMES_MINORS]
)
@pytest.mark.parametrize("way", ["raised", "failed item"])
def test_an_error_that_names_minors_leaves_no_text(error: dict[str, Any], way: str) -> None:
    """Each provider's own spelling, in an error or in the failed image of a completed response."""
    made = record()
    body = {
        "type": "image_generation_user_error",
        "code": "moderation_blocked",
        "message": "rejected",
    } | error
    if way == "raised":
        read_error(made, raised(400, {"error": body}))
    else:
        read_response(
            made, {"output": [{"type": "image_generation_call", "status": "failed", "error": body}]}
        )
    evidence = Evidence("blocked")
    event = evidence.event(made, classify(made), collected(evidence))
    assert event is not None
    assert c.EVIDENCE_INPUT not in event.attributes


def test_a_prompt_that_azure_filtered_for_minors_leaves_no_text() -> None:
    """The verdict stands in an answer here, not in an error."""
    made = record()
    verdict = {"sexual": {"filtered": False}, "sexual/minors": {"filtered": True, "severity": "medium"}}
    source = {"blocked": True, "source_type": "prompt", "content_filter_results": verdict}
    read_response(made, {"content_filters": [source]})
    evidence = Evidence("blocked")
    event = evidence.event(made, classify(made), collected(evidence))
    assert event is not None
    assert c.EVIDENCE_INPUT not in event.attributes
    assert event.attributes[c.BLOCK_CATEGORIES] == ("sexual/minors:medium",)


def test_a_category_of_later_days_about_minors_leaves_no_text() -> None:
    """A moderation model may name it otherwise tomorrow; it is exported as ``_other`` and keeps the text away."""
    made = record()
    result = {
        "flagged": True,
        "categories": {"minors/grooming": True},
        "category_scores": {"minors/grooming": 0.7},
    }
    read_response(made, {"moderation": {"input": {"type": "moderation_result", "model": "o", **result}}})
    evidence = Evidence("flagged")
    event = evidence.event(made, classify(made), collected(evidence))
    assert event is not None
    assert c.EVIDENCE_INPUT not in event.attributes
    assert event.attributes[c.FLAGGED_CATEGORIES["input"]] == ("_other",)


def test_an_error_that_names_something_else_leaves_its_text() -> None:
    """The twin: the same error for violence keeps the masked turn."""
    made = record()
    read_error(
        made, raised(400, {"error": {"code": "moderation_blocked", "message": VIOLATIONS.format("violence")}})
    )
    evidence = Evidence("blocked")
    event = evidence.event(made, classify(made), collected(evidence))
    assert event is not None
    assert c.EVIDENCE_INPUT in event.attributes


def test_a_watch_keeps_evidence_whatever_the_mode_up_to_a_cap() -> None:
    """With evidence off, a watched identifier's calls leave evidence, a bounded number of times."""
    evidence = Evidence("off")
    unwatched = collected(evidence)
    watched = [
        evidence.event(record(input=PASSED), COMPLETED, collected(evidence, watched=True))
        for _ in range(MAX_WATCHED_EVENTS + 5)
    ]
    made = [event.attributes[c.EVIDENCE_INPUT] for event in watched if event is not None]
    assert (None, ["what they wrote"] * MAX_WATCHED_EVENTS) == (unwatched, made)


def test_output_is_collected_from_chunks_up_to_a_bound() -> None:
    """Chat and Responses deltas add up; an endless answer adds no more memory after the bound."""
    chat = Collector({}, watched=False)
    for piece in ("Hel", "lo"):
        chat.chunk({"choices": [{"index": 0, "delta": {"content": piece}}]})
    responses = Collector({}, watched=False)
    for kind in ("response.created", "response.output_text.delta", "response.reasoning_text.delta"):
        responses.chunk({"type": kind, "delta": "Hello"})
    endless = Collector({}, watched=False)
    for _ in range(20_000):
        endless.chunk({"type": "response.output_text.delta", "delta": "x" * 10})
    assert ("Hello", "Hello", True) == (
        chat.output(),
        responses.output(),
        len(endless.output()) < 2 * MAX_CHARS,
    )


def test_output_is_collected_from_a_whole_answer() -> None:
    """A plain answer's text, of Responses and of Chat."""
    responses, chat = Collector({}, watched=False), Collector({}, watched=False)
    responses.result(
        {"output": [{"type": "reasoning"}, {"content": [{"type": "output_text", "text": "yes"}]}]}
    )
    chat.result({"choices": [{"message": {"content": "no"}}, {"text": "never"}]})
    assert ("yes", "nonever") == (responses.output(), chat.output())
