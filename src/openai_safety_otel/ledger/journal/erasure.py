"""What erasing an identifier leaves behind; pure, shared by both stores."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from openai_safety_otel.contract.vocabulary import REFUSING
from openai_safety_otel.ledger.journal.chain import Link
from openai_safety_otel.ledger.journal.entries import Decision, Notice, from_mapping

# That somebody was erased, by whom and why, is the operator's record: a later erasure finds nothing in it.
ERASURE: Final = "erase"
ENDS = ("clear",)
# Fields of a notice that lead to a person.
_LEADING = ("identifier", "request_id", "response_id", "closed_why")


def erased_fields(notice: Notice) -> dict[str, Any]:
    """What changes of a notice about somebody who is erased; its case would name them again, and is not read."""
    pending = {name: state for name, state in notice.pending.items() if name != "look_up"}
    look_up = notice.look_up if notice.look_up == "done" else "none"
    return {**dict.fromkeys(_LEADING), "pending": pending, "look_up": look_up}


class Erasure(NamedTuple):
    """What erasing an identifier does to the chain: entries that lose their content, and the one to append first."""

    goes: list[int]
    new: Decision | None


def erasure(links: Iterable[Link], identifier: str) -> Erasure:
    """Which entries of the chain go, by their places: all of theirs but what an erasure leaves.

    That is who erased them before and why, and the decision that keeps them out, without its reason.
    """
    theirs = {at: one for at, one in enumerate(links) if one.identifier == identifier}
    said = {
        at: from_mapping(Decision, json.loads(one.body))
        for at, one in theirs.items()
        if one.kind == "decision" and one.body is not None
    }
    kept = kept_decision(list(said.values()))
    stays = {at for at, one in said.items() if one.action == ERASURE or one == kept}
    return Erasure([at for at in theirs if at not in stays], None if kept in said.values() else kept)


def kept_decision(decisions: list[Decision]) -> Decision | None:
    """The decision that still keeps this person out, without its reason; None if there is none."""
    ruling = [d for d in decisions if d.action in (*REFUSING, *ENDS)]
    if not ruling or ruling[-1].action in ENDS:
        return None
    return replace(ruling[-1], why="erased", details={})
