"""How a call ended, whatever else is known of it; and what the table of rules holds."""

from __future__ import annotations

from typing import Any

import pytest

from openai_safety_otel.contract.blocks import BLOCK_TYPES
from openai_safety_otel.contract.record import ErrorFacts, Outcome
from openai_safety_otel.contract.words import safe_code
from openai_safety_otel.instrumentation.blocks import RULES, reachable_blocks
from openai_safety_otel.instrumentation.extract.endpoints import ENDPOINTS
from openai_safety_otel.instrumentation.outcome import classify, pending
from support.outcomes import COMPLETED, Json, blocked, failed, record

CYBER_FACTS = ErrorFacts(code="cyber_policy")
PRECEDENCE: list[tuple[str, dict[str, Any], Outcome]] = [
    ("returned", {}, COMPLETED),
    ("abandoned", {"end": "abandoned"}, Outcome("abandoned")),
    ("cancelled", {"end": "cancelled"}, Outcome("cancelled")),
    ("raised", {"end": "raised", "raised": "APIConnectionError"}, failed("APIConnectionError")),
    ("raised namelessly", {"end": "raised"}, failed("_OTHER")),
    ("abandoned after a refusal", {"end": "abandoned", "refused": True}, Outcome("refused")),
    (
        "cancelled after a block",
        {"end": "cancelled", "errors": [CYBER_FACTS]},
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    ("raised after a refusal", {"end": "raised", "raised": "APIError", "refused": True}, failed("APIError")),
    (
        "refused and blocked",
        {"refused": True, "errors": [CYBER_FACTS]},
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    (
        "cut, and the helper raised for it",
        {"end": "raised", "raised": "LengthFinishReasonError", "finish_reasons": ("length",)},
        COMPLETED,
    ),
    (
        "suspended here",
        {"end": "raised", "raised": "EndUserSuspended", "local_block": "suspended_locally"},
        blocked("suspended_locally", "request", "suspended_locally"),
    ),
    (
        "filtered here",
        {"end": "raised", "local_block": "filtered_locally"},
        blocked("filtered_locally", "input", "filtered_locally"),
    ),
    (
        "closed by the type where there is no code",
        {"errors": [ErrorFacts(type="server_error")]},
        failed("server_error"),
    ),
]


@pytest.mark.parametrize(
    ("facts", "outcome"), [case[1:] for case in PRECEDENCE], ids=[c[0] for c in PRECEDENCE]
)
def test_blocked_wins_over_failed_over_refused_over_how_reading_ended(facts: Json, outcome: Outcome) -> None:
    """The order of the contract, whatever else the record holds."""
    assert classify(record(**facts)) == outcome


@pytest.mark.parametrize(
    ("status", "waiting"),
    [("queued", True), ("in_progress", True), ("completed", False), ("failed", False), (None, False)],
)
def test_an_answer_that_is_not_ready_is_pending(status: str | None, waiting: bool) -> None:
    """A poll that came too early has no outcome of its own to count."""
    assert pending(record(status=status)) is waiting


@pytest.mark.parametrize(
    ("code", "exported"),
    [
        ("cyber_policy", "cyber_policy"),
        ("a.b:c-d_9", "a.b:c-d_9"),
        (403, "403"),
        (None, None),
        ("", None),
        ("a b", "_OTHER"),
        ("x" * 65, "_OTHER"),
        ("alice@example.com", "_OTHER"),
        ("naïve", "_OTHER"),
        ("code\n", "_OTHER"),
        (10**12, "_OTHER"),
        (True, None),
        (["x"], None),
    ],
)
def test_only_what_is_a_code_is_exported(code: object, exported: str | None) -> None:
    """Prose in the place of a code may hold a person: it becomes ``_OTHER``."""
    assert safe_code(code) == exported


def test_every_kind_of_block_has_a_rule_and_every_rule_a_name_of_its_own() -> None:
    """The table covers the contract's kinds, the two local ones apart, which are no errors."""
    ruled = {rule.block for rule in RULES} | {"suspended_locally", "filtered_locally"}
    assert ruled == set(BLOCK_TYPES)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_reachable_blocks_are_few_and_of_the_contract() -> None:
    """The series that start at zero stay under the cap, all APIs together, and none is invented."""
    kinds = [kind for api in {endpoint.api for _, _, endpoint in ENDPOINTS} for kind in reachable_blocks(api)]
    assert len(kinds) <= 60
    assert {block for block, _ in kinds} <= set(BLOCK_TYPES)
    assert {source for _, source in kinds} == {"request", "input", "output"}
