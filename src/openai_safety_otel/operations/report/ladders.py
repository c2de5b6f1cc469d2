"""The two ladders, and a report's order by risk.

A notice moves the ladder of whom it concerns; filters and our own suspensions move neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.moments import DAY
from openai_safety_otel.ledger.journal import Notice
from openai_safety_otel.operations.report.activity import (
    Activity,
    ApiState,
    Ladder,
    OrganisationLadder,
    Rung,
)
from openai_safety_otel.operations.store.blocked import SEVERAL

DEADLINE_DAYS = 7
WINDOW_DAYS = 7
HOLD_STREAMS = 5
HOLD_TIMES = 3.0
HOLD_SECONDS = 5.0

LADDER_RULE = (
    f"An identifier's ladder looks at the last {WINDOW_DAYS} days: quiet, flagged, enforcement blocks on n "
    f"days, possibly held (median time to first output of at least {HOLD_STREAMS} streams over "
    f"{HOLD_SECONDS:.0f} s and over {HOLD_TIMES:.0f} times the model's median), warned (an open notice warns "
    "about the identifier), blocked (the provider blocked the identifier in an API, by more than its wording or by "
    f"{SEVERAL} requests to OpenAI's own hosts, and has not answered it "
    "there since, whenever that was), deactivated (by an open notice), decided (a decision in force, and no "
    "flag, enforcement block or notice after it). Content filters and local suspensions move no ladder. The "
    "organisation's ladder is moved by notices that name no identifier, and by answers that say its access is "
    "gone; a notice whose case is not read counts as possibly the organisation's."
)
RISK_RULE = (
    "Sorted by risk: deactivated or blocked by the provider, warned, possibly held, enforcement blocks, "
    "flagged, decided, quiet; among equals by open notices, days with enforcement blocks, enforcement blocks, "
    "flagged calls, highest score, calls. Calls without an identifier come last."
)
MOVING = ("warning", "deactivation", "identifier_blocked")


@dataclass(frozen=True, slots=True)
class LostAccess:
    """The provider answered that the organisation's access is gone, and nothing else since."""

    type: str
    at: float


def organisation_ladder(
    notices: Iterable[Notice], now: float, lost: LostAccess | None = None
) -> OrganisationLadder:
    """The organisation's step: the worst of what is certain, else of what is possibly its own.

    Args:
        notices: everybody's; those about an identifier are left out here.
        now: Unix seconds.
        lost: what the wire says of its access.
    """
    if lost is not None:
        return OrganisationLadder("deactivated", f"access lost since {moments.day(lost.at)} ({lost.type})")
    opened = [one for one in notices if one.open and one.subject != "identifier" and one.received_at <= now]
    certain = _step([one for one in opened if one.subject == "organization"], now)
    possible = _step([one for one in opened if one.subject == "unknown"], now)
    if _SEVERITY[possible.stage] <= _SEVERITY[certain.stage]:
        return certain
    return replace(possible, text=f"possibly {possible.text}", possibly=True)


_SEVERITY = {stage: at for at, stage in enumerate(("quiet", "warned", "day", "overdue", "deactivated"))}


def _step(opened: list[Notice], now: float) -> OrganisationLadder:
    deactivations = [notice for notice in opened if notice.type == "deactivation"]
    if deactivations:
        first = min(deactivations, key=lambda notice: notice.received_at)
        text = f"deactivated since {moments.day(first.received_at)}"
        return OrganisationLadder("deactivated", text, notices=_ids(deactivations))
    warnings = [notice for notice in opened if notice.type == "warning"]
    if not warnings:
        return OrganisationLadder()
    return _warned(min(warnings, key=deadline_of), _ids(warnings), now)


def deadline_of(notice: Notice) -> float:
    """When a warning's time is over: as stated, else seven days after it came."""
    return notice.deadline_at or notice.received_at + DEADLINE_DAYS * DAY


def _by(deadline: float) -> str:
    """To the minute: of a deadline at midnight the day alone would say a day too much."""
    return f"{moments.minute(deadline)} UTC"


def _warned(notice: Notice, ids: tuple[str, ...], now: float) -> OrganisationLadder:
    deadline = deadline_of(notice)
    days = max(1, math.ceil((deadline - notice.received_at) / DAY))
    day = min(days, int((now - notice.received_at) // DAY) + 1)
    if now >= deadline:
        text = f"warned, deadline passed on {_by(deadline)}"
        return OrganisationLadder("overdue", text, days, days, deadline, ids)
    if day == 1:
        text = f"warned, {counted(days, 'day')} until {_by(deadline)}"
        return OrganisationLadder("warned", text, day, days, deadline, ids)
    text = f"day {day} of {days}, until {_by(deadline)}"
    return OrganisationLadder("day", text, day, days, deadline, ids)


def identifier_ladder(activity: Activity, now: float) -> Ladder:
    """An identifier's rung and its words."""
    below = next(_standing(activity), Ladder())
    decision = activity.decision
    if decision is None or not decision.in_force(now) or (activity.last_signal or 0.0) > decision.at:
        return below
    ends = f" until {_by(decision.until)}" if decision.until else ""
    before = "" if below.rung is Rung.QUIET else f"; {below.text}"
    return Ladder(Rung.DECIDED, f"decided: {decision.action}{ends}{before}")


def _standing(activity: Activity) -> Iterator[Ladder]:
    """Every rung they stand on, the highest first."""
    said = {notice.type: notice for notice in activity.notices if notice.open}
    if gone := said.get("deactivation"):
        yield Ladder(Rung.DEACTIVATED, f"deactivated on {moments.day(gone.received_at)}, by notice {gone.id}")
    if blocked_in := [state.api for state in activity.api_states if state.blocked]:
        yield Ladder(Rung.BLOCKED, f"blocked in {', '.join(blocked_in)}")
    if "identifier_blocked" in said:
        yield Ladder(Rung.BLOCKED, "blocked, by notice (API not stated)")
    if warned := said.get("warning"):
        answer = f", answer by {_by(warned.deadline_at)}" if warned.deadline_at else ""
        yield Ladder(
            Rung.WARNED, f"warned on {moments.day(warned.received_at)}, by notice {warned.id}{answer}"
        )
    if activity.holds:
        worst = max(activity.holds, key=lambda hold: hold.median)
        text = f"possibly held: {worst.model} begins after {worst.median:.1f} s, usually {worst.usual:.1f} s"
        yield Ladder(Rung.HELD, text)
    if activity.enforcement_days:
        text = f"enforcement blocks on {activity.enforcement_days} of the last {WINDOW_DAYS} days"
        yield Ladder(Rung.ENFORCEMENT, text)
    if activity.recent_flagged:
        yield Ladder(Rung.FLAGGED, f"flagged ({activity.recent_flagged})")


def reachable(state: ApiState) -> str:
    """What is known about one API in a few words."""
    if state.blocked and state.blocked_at is not None:
        return f"blocked by the provider on {moments.day(state.blocked_at)}"
    if state.blocked_at is not None:
        return f"blocked on {moments.day(state.blocked_at)}, answered again since"
    return "reachable"


def risk(activity: Activity) -> tuple[object, ...]:
    """Sort key of a report, by `RISK_RULE`: the riskiest first."""
    top = activity.top_score
    return (
        not activity.identifier,
        -activity.ladder.rung,
        -activity.open_notices,
        -activity.enforcement_days,
        -activity.enforcement_blocks,
        -activity.recent_flagged,
        -activity.flagged,
        -(top[1] if top else 0.0),
        -activity.calls,
        activity.identifier,
    )


def _ids(notices: Iterable[Notice]) -> tuple[str, ...]:
    return tuple(notice.id for notice in notices)
