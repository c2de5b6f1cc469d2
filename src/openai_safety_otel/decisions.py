"""Decisions about an end user: what each action does to the suspension list, and the event that tells it."""

from __future__ import annotations

from openai_safety_otel import conventions as c
from openai_safety_otel.journal.entries import Decision
from openai_safety_otel.record import AttributeValue, SafetyEvent


def decision_event(decision: Decision) -> SafetyEvent:
    """The `openai_safety.decision` event of a decision: the audit trail, without any content."""
    attributes: dict[str, AttributeValue] = {
        c.USER_HASH: decision.identifier,
        c.DECISION_ACTION: decision.action,
        c.DECISION_BY: decision.by,
        c.DECISION_WHY: decision.why,
    }
    if decision.until is not None:
        attributes[c.DECISION_UNTIL] = int(decision.until)
    return SafetyEvent(
        name=c.DECISION_EVENT,
        time_ns=int(decision.at * 1_000_000_000),
        attributes=attributes,
        body=f"{decision.action} decided by {decision.by}",
    )
