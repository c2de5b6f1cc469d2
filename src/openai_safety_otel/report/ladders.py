"""The two ladders. Notices alone move the organisation's; filters and our own suspensions move neither."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timezone

from openai_safety_otel.report.activity import Activity, ApiState, Ladder, Notice, OrganisationLadder, Rung

DAY = 86_400.0
DEADLINE_DAYS = 7
WINDOW_DAYS = 7
HOLD_STREAMS = 5
HOLD_TIMES = 3.0
HOLD_SECONDS = 5.0

LADDER_RULE = (
    f"An identifier's ladder looks at the last {WINDOW_DAYS} days: quiet, flagged, enforcement blocks on n "
    f"days, possibly held (median time to first output of at least {HOLD_STREAMS} streams over "
    f"{HOLD_SECONDS:.0f} s and over {HOLD_TIMES:.0f} times the model's median), blocked (the provider "
    "blocked the identifier in an API and has not answered it there since, whenever that was), decided (a "
    "decision in force, and no flag or enforcement block after it). Content filters and local suspensions "
    "move no ladder. The organisation's ladder is moved by notices only."
)


def organisation_ladder(notices: Iterable[Notice], now: float) -> OrganisationLadder:
    """The organisation's step: the worst of its open warnings and deactivations."""
    opened = [notice for notice in notices if notice.status != "closed" and notice.received_at <= now]
    deactivations = [notice for notice in opened if notice.type == "deactivation"]
    if deactivations:
        first = min(deactivations, key=lambda notice: notice.received_at)
        text = f"deactivated since {day_of(first.received_at)}"
        return OrganisationLadder("deactivated", text, notices=_ids(deactivations))
    warnings = [notice for notice in opened if notice.type == "warning"]
    if not warnings:
        return OrganisationLadder()
    return _warned(min(warnings, key=deadline_of), _ids(warnings), now)


def deadline_of(notice: Notice) -> float:
    """When a warning's time is over: as stated, else seven days after it came."""
    return notice.deadline_at or notice.received_at + DEADLINE_DAYS * DAY


def _warned(notice: Notice, ids: tuple[str, ...], now: float) -> OrganisationLadder:
    deadline = deadline_of(notice)
    days = max(1, math.ceil((deadline - notice.received_at) / DAY))
    day = min(days, int((now - notice.received_at) // DAY) + 1)
    if now >= deadline:
        text = f"warned, deadline passed on {day_of(deadline)}"
        return OrganisationLadder("overdue", text, days, days, deadline, ids)
    if day == 1:
        text = f"warned, {days} days until {day_of(deadline)}"
        return OrganisationLadder("warned", text, day, days, deadline, ids)
    text = f"day {day} of {days}, until {day_of(deadline)}"
    return OrganisationLadder("day", text, day, days, deadline, ids)


def identifier_ladder(activity: Activity, now: float) -> Ladder:
    """An identifier's rung and its words."""
    below = _below_decided(activity)
    decision = activity.decision
    if decision is None or not decision.in_force(now) or (activity.last_signal or 0.0) > decision.at:
        return below
    ends = f" until {moment(decision.until)}" if decision.until else ""
    before = "" if below.rung is Rung.QUIET else f"; {below.text}"
    return Ladder(Rung.DECIDED, f"decided: {decision.action}{ends}{before}")


def _below_decided(activity: Activity) -> Ladder:
    blocked_in = [state.api for state in activity.api_states if state.blocked]
    named = [notice for notice in activity.notices if notice.type == "identifier_blocked"]
    if blocked_in:
        return Ladder(Rung.BLOCKED, f"blocked in {', '.join(blocked_in)}")
    if any(notice.status != "closed" for notice in named):
        return Ladder(Rung.BLOCKED, "blocked, by notice (API not stated)")
    if activity.holds:
        worst = max(activity.holds, key=lambda hold: hold.median)
        text = f"possibly held: {worst.model} begins after {worst.median:.1f} s, usually {worst.usual:.1f} s"
        return Ladder(Rung.HELD, text)
    if activity.enforcement_days:
        text = f"enforcement blocks on {activity.enforcement_days} of the last {WINDOW_DAYS} days"
        return Ladder(Rung.ENFORCEMENT, text)
    if activity.recent_flagged:
        return Ladder(Rung.FLAGGED, f"flagged ({activity.recent_flagged})")
    return Ladder()


def reachable(state: ApiState) -> str:
    """What is known about one API in a few words."""
    if state.blocked and state.blocked_at is not None:
        return f"blocked by the provider on {day_of(state.blocked_at)}"
    if state.blocked_at is not None:
        return f"blocked on {day_of(state.blocked_at)}, answered again since"
    return "reachable"


def day_of(seconds: float) -> str:
    """The UTC day of a time."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")


def moment(seconds: float) -> str:
    """The UTC minute of a time."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M")


def _ids(notices: Iterable[Notice]) -> tuple[str, ...]:
    return tuple(notice.id for notice in notices)
