"""The order of a report: by risk, with the rule in words beside it."""

from __future__ import annotations

from openai_safety_otel.operations.report.activity import Activity, Rung

_RANK = {
    Rung.DEACTIVATED: 7,
    Rung.BLOCKED: 6,
    Rung.WARNED: 5,
    Rung.HELD: 4,
    Rung.ENFORCEMENT: 3,
    Rung.FLAGGED: 2,
    Rung.DECIDED: 1,
    Rung.QUIET: 0,
}

RISK_RULE = (
    "Sorted by risk: deactivated or blocked by the provider, warned, possibly held, enforcement blocks, "
    "flagged, decided, quiet; among equals by open notices, days with enforcement blocks, enforcement blocks, "
    "flagged calls, highest score, calls. Calls without an identifier come last."
)


def risk(activity: Activity) -> tuple[object, ...]:
    """Sort key: the riskiest first."""
    top = activity.top_score
    return (
        not activity.identifier,
        -_RANK[activity.ladder.rung],
        -activity.open_notices,
        -activity.enforcement_days,
        -activity.enforcement_blocks,
        -activity.recent_flagged,
        -activity.flagged,
        -(top[1] if top else 0.0),
        -activity.calls,
        activity.identifier,
    )
