from __future__ import annotations

import random
from dataclasses import replace

import pytest

from openai_safety_otel.ledger.journal import Notice
from openai_safety_otel.operations.report.activity import (
    Activity,
    ApiState,
    Hold,
    Ladder,
    OrganisationLadder,
    Rung,
)
from openai_safety_otel.operations.report.ladders import (
    LostAccess,
    identifier_ladder,
    organisation_ladder,
    risk,
)
from support.events import DAY, NOON, decided, noticed

WARNING = noticed("C-17", "warning", NOON, subject="organization")


@pytest.mark.parametrize(
    ("notices", "now", "expected"),
    [
        ([], NOON, OrganisationLadder()),
        (
            [WARNING],
            NOON + 60,
            OrganisationLadder(
                "warned", "warned, 7 days until 2026-10-06 12:00 UTC", 1, 7, NOON + 7 * DAY, ("C-17",)
            ),
        ),
        (
            [WARNING],
            NOON + DAY,
            OrganisationLadder(
                "day", "day 2 of 7, until 2026-10-06 12:00 UTC", 2, 7, NOON + 7 * DAY, ("C-17",)
            ),
        ),
        (
            [WARNING],
            NOON + 6.9 * DAY,
            OrganisationLadder(
                "day", "day 7 of 7, until 2026-10-06 12:00 UTC", 7, 7, NOON + 7 * DAY, ("C-17",)
            ),
        ),
        (
            [WARNING],
            NOON + 7 * DAY,
            OrganisationLadder(
                "overdue", "warned, deadline passed on 2026-10-06 12:00 UTC", 7, 7, NOON + 7 * DAY, ("C-17",)
            ),
        ),
        (
            [replace(WARNING, id="C-2", deadline_at=int(NOON + 3 * DAY))],
            NOON + 1.5 * DAY,
            OrganisationLadder(
                "day", "day 2 of 3, until 2026-10-02 12:00 UTC", 2, 3, NOON + 3 * DAY, ("C-2",)
            ),
        ),
        (
            [WARNING, replace(WARNING, type="deactivation", received_at=int(NOON + DAY))],
            NOON + 2 * DAY,
            OrganisationLadder("deactivated", "deactivated since 2026-09-30", notices=("C-17",)),
        ),
        ([replace(WARNING, status="closed")], NOON + DAY, OrganisationLadder()),
        (
            [
                replace(WARNING, type="deactivation", subject="identifier", identifier="a" * 64),
                replace(WARNING, subject="identifier", identifier="a" * 64),
            ],
            NOON + DAY,
            OrganisationLadder(),
        ),
        (
            [replace(WARNING, subject="unknown")],
            NOON + 60,
            OrganisationLadder(
                "warned",
                "possibly warned, 7 days until 2026-10-06 12:00 UTC",
                1,
                7,
                NOON + 7 * DAY,
                ("C-17",),
                possibly=True,
            ),
        ),
        (
            [WARNING, replace(WARNING, id="C-18", subject="unknown")],
            NOON + 60,
            OrganisationLadder(
                "warned", "warned, 7 days until 2026-10-06 12:00 UTC", 1, 7, NOON + 7 * DAY, ("C-17",)
            ),
        ),
        (
            [WARNING, replace(WARNING, id="C-18", type="deactivation", subject="unknown")],
            NOON + 60,
            OrganisationLadder(
                "deactivated", "possibly deactivated since 2026-09-29", notices=("C-18",), possibly=True
            ),
        ),
        ([WARNING], NOON - 1, OrganisationLadder()),
        (
            [noticed("x", kind, NOON) for kind in ("identifier_blocked", "alert", "org_alert", "unknown")],
            NOON + DAY,
            OrganisationLadder(),
        ),
    ],
)
def test_notices_that_name_nobody_move_the_organisation(
    notices: list[Notice], now: float, expected: OrganisationLadder
) -> None:
    """Quiet, warned, day n of the stated deadline (seven by default), overdue, deactivated; closed is quiet."""
    assert organisation_ladder(notices, now) == expected


def test_lost_access_moves_the_organisation() -> None:
    """What the wire says of the organisation's access is certain, whatever its notices say."""
    lost = LostAccess("access_terminated", NOON)
    ladder = organisation_ladder([WARNING], NOON + 60, lost)
    assert ladder == OrganisationLadder("deactivated", "access lost since 2026-09-29 (access_terminated)")


def person(**facts: object) -> Activity:
    return Activity("a" * 64, **facts)  # type: ignore[arg-type]


SUSPENDED = decided("suspend", NOON - 60, NOON + DAY)
HELD = [Hold("gpt-5", 9.0, 0.5, 6)]


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        (person(calls=9), Ladder(Rung.QUIET, "quiet")),
        (person(blocked={"suspended_locally": 5, "content_filter": 7}), Ladder(Rung.QUIET, "quiet")),
        (person(recent_flagged=2), Ladder(Rung.FLAGGED, "flagged (2)")),
        (
            person(recent_flagged=2, enforcement_days=3),
            Ladder(Rung.ENFORCEMENT, "enforcement blocks on 3 of the last 7 days"),
        ),
        (
            person(enforcement_days=3, holds=HELD),
            Ladder(Rung.HELD, "possibly held: gpt-5 begins after 9.0 s, usually 0.5 s"),
        ),
        (
            person(holds=HELD, api_states=[ApiState("chat", NOON - 9), ApiState("images", None, NOON)]),
            Ladder(Rung.BLOCKED, "blocked in chat"),
        ),
        (person(api_states=[ApiState("chat", NOON - 9, NOON - 5)]), Ladder(Rung.QUIET, "quiet")),
        (
            person(notices=[noticed("e", "identifier_blocked", NOON)]),
            Ladder(Rung.BLOCKED, "blocked, by notice (API not stated)"),
        ),
        (
            person(holds=HELD, notices=[noticed("C-1", "warning", NOON)]),
            Ladder(Rung.WARNED, "warned on 2026-09-29, by notice C-1"),
        ),
        (
            person(notices=[noticed("C-1", "warning", NOON, NOON + 3 * DAY)]),
            Ladder(Rung.WARNED, "warned on 2026-09-29, by notice C-1, answer by 2026-10-02 12:00 UTC"),
        ),
        (
            person(
                api_states=[ApiState("chat", NOON - 9)],
                notices=[noticed("C-1", "deactivation", NOON), noticed("C-1", "warning", NOON)],
            ),
            Ladder(Rung.DEACTIVATED, "deactivated on 2026-09-29, by notice C-1"),
        ),
        (person(notices=[noticed("C-1", "deactivation", NOON, status="closed")]), Ladder()),
        (
            person(enforcement_days=1, last_signal=NOON - 90, decision=SUSPENDED),
            Ladder(
                Rung.DECIDED,
                "decided: suspend until 2026-09-30 12:00 UTC; enforcement blocks on 1 of the last 7 days",
            ),
        ),
        (
            person(enforcement_days=1, last_signal=NOON - 30, decision=SUSPENDED),
            Ladder(Rung.ENFORCEMENT, "enforcement blocks on 1 of the last 7 days"),
        ),
        (
            person(recent_flagged=1, decision=decided("suspend", NOON - 9, NOON - 1)),
            Ladder(Rung.FLAGGED, "flagged (1)"),
        ),
        (
            person(decision=decided("clear", NOON - 9)),
            Ladder(Rung.DECIDED, "decided: clear"),
        ),
    ],
)
def test_an_identifier_climbs_by_flags_and_enforcement_only(activity: Activity, expected: Ladder) -> None:
    """Each rung in its words; filters and local suspensions move nothing; a decision counts until news."""
    assert identifier_ladder(activity, NOON) == expected


def test_the_order_is_the_stated_rule() -> None:
    """Undecided trouble first by rung, then by the numbers of the rule; no identifier comes last."""

    def one(name: str, rung: Rung, **facts: object) -> Activity:
        return Activity(name, ladder=Ladder(rung, ""), **facts)  # type: ignore[arg-type]

    expected = [
        one("deactivated", Rung.DEACTIVATED),
        one("blocked", Rung.BLOCKED),
        one("warned", Rung.WARNED),
        one("held", Rung.HELD),
        one("noticed", Rung.ENFORCEMENT, notices=[WARNING]),
        one("three-days", Rung.ENFORCEMENT, enforcement_days=3),
        one("many", Rung.ENFORCEMENT, enforcement_days=1, enforcement_blocks=9),
        one("few", Rung.ENFORCEMENT, enforcement_days=1, enforcement_blocks=2),
        one("flagged", Rung.FLAGGED, recent_flagged=4),
        one("decided", Rung.DECIDED, enforcement_days=7),
        one("high", Rung.QUIET, scores={"hate": 0.4}),
        one("busy", Rung.QUIET, calls=9),
        one("a", Rung.QUIET),
        one("b", Rung.QUIET),
        one("", Rung.BLOCKED),
    ]
    assert [
        each.identifier for each in sorted(random.Random(1).sample(expected, len(expected)), key=risk)
    ] == [each.identifier for each in expected]
