"""What erasing an identifier leaves behind; pure, shared by both stores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openai_safety_otel.ledger.journal.entries import Decision

KEEPS_OUT = ("suspend", "revoke")
ENDS = ("clear",)
# Fields of a notice that lead to a person.
ERASED_FIELDS: dict[str, Any] = {
    "identifier": None,
    "request_id": None,
    "response_id": None,
    "closed_why": None,
}


def kept_decision(decisions: list[Decision]) -> Decision | None:
    """The decision that still keeps this person out, without its reason; None if there is none."""
    ruling = [d for d in decisions if d.action in (*KEEPS_OUT, *ENDS)]
    if not ruling or ruling[-1].action in ENDS:
        return None
    return replace(ruling[-1], why="erased", details={})
