from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.operations.page.content import by_day
from openai_safety_otel.operations.report.activity import (
    Activity,
    ApiState,
    CategoryDay,
    DayCount,
    DaySignals,
    Group,
    Hold,
    Ladder,
    Report,
    Rung,
    Totals,
)
from openai_safety_otel.operations.report.build import Known, Window, build_report
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.files import open_files
from support.events import (
    ANN,
    BOB,
    DAY,
    EVE,
    NOON,
    blocked,
    call,
    decided,
    decision,
    event,
    flagged,
    notice,
    noticed,
    write,
)

WEEK = Window(NOON - 7 * DAY, NOON)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Events]:
    """Ann is flagged and blocked, Bob fine, Eve blocked for good in chat; one call has nobody."""
    folder = tmp_path_factory.mktemp("events")
    write(
        folder,
        [
            *(call(ANN, NOON - 100 - number) for number in range(3)),
            flagged(ANN, NOON - 2 * DAY, "illicit", 0.9),
            flagged(ANN, NOON - 3 * DAY, "hate", 0.7, OUTCOME="refused"),
            blocked(ANN, NOON - DAY, "cyber_policy", API="chat"),
            blocked(ANN, NOON - DAY - 60, "cyber_policy", API="chat"),
            blocked(ANN, NOON - 50, "suspended_locally"),
            blocked(ANN, NOON - 60, "content_filter"),
            blocked(ANN, NOON - 9 * DAY, "bio_policy"),
            call(BOB, NOON - 10, REQUEST_MODEL="gpt-4.1", API="chat", IDENTIFIER_DELIVERY="withheld"),
            call(BOB, NOON - 12 * DAY),
            call(BOB, NOON - 5, TRAFFIC="redteam"),
            call(EVE, NOON - 30 * DAY, API="chat"),
            blocked(EVE, NOON - 20 * DAY, "identifier_blocked", API="chat"),
            call(EVE, NOON - 90, API="responses", IDENTIFIER_LINKED="s" * 64),
            call(None, NOON - 40),
            call(None, NOON - 41, IDENTIFIER_SOURCE="system"),
            call(None, NOON - 42, ENDPOINT="responses.retrieve", OPERATION_NAME="fetch_response"),
            notice("warning", NOON - 1.5 * DAY),
            notice("warning", NOON - DAY, "D-1", TRAFFIC="drill"),
            decision(BOB, "watch", NOON - 3600, NOON + DAY),
            event(c.DECISION_EVENT, NOON - 9, {c.USER_HASH: BOB, c.DECISION_ACTION: "whois"}),
        ],
    )
    with open_files([folder], compact=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(events: Events) -> Report:
    return build_report(events, WEEK)


def of(report: Report, identifier: str) -> Activity:
    return next(one for one in report.activities if one.identifier == identifier)


def test_one_identifier_in_full(report: Report) -> None:
    """Counts are of the window, ladder facts of seven days, and every field is what the events say."""
    scores = dict.fromkeys(vocabulary.CATEGORIES, 0.001) | {"illicit": 0.9, "hate": 0.7}
    assert of(report, ANN) == Activity(
        identifier=ANN,
        calls=9,
        apis=["chat", "responses"],
        models=["gpt-5"],
        keys=["key1"],
        outcomes={"completed": 4, "refused": 1, "blocked": 4},
        flagged=2,
        blocked={"cyber_policy": 2, "suspended_locally": 1, "content_filter": 1},
        scores=scores,
        flags={"illicit": 1, "hate": 1},
        first_seen=NOON - 3 * DAY,
        last_seen=NOON - 50,
        last_signal=NOON - DAY,
        recent_flagged=2,
        enforcement_days=1,
        enforcement_blocks=2,
        ladder=Ladder(Rung.ENFORCEMENT, "enforcement blocks on 1 of the last 7 days"),
    )


def test_a_block_for_good_is_remembered_beyond_the_window(report: Report) -> None:
    """The provider's block of an identifier counts whenever it was, for the API it was in."""
    eve = of(report, EVE)
    assert (eve.calls, eve.linked, eve.ladder) == (1, ["s" * 64], Ladder(Rung.BLOCKED, "blocked in chat"))
    assert eve.api_states == [
        ApiState("chat", NOON - 20 * DAY, NOON - 30 * DAY),
        ApiState("responses", None, NOON - 90),
    ]


WORDED = {
    "OUTCOME": "blocked",
    "BLOCK_TYPE": "identifier_blocked",
    "BLOCK_CLASS": "enforcement",
    "BLOCK_CERTAINTY": "text",
    "SERVER_ADDRESS": "api.openai.com",
}


@pytest.mark.parametrize(
    ("times", "changes", "rung"),
    [
        (1, {}, Rung.ENFORCEMENT),
        (2, {}, Rung.ENFORCEMENT),
        (3, {}, Rung.BLOCKED),
        (3, {"SERVER_ADDRESS": "eu.api.openai.com"}, Rung.BLOCKED),
        (9, {"SERVER_ADDRESS": "gateway.example"}, Rung.ENFORCEMENT),
        (1, {"BLOCK_CERTAINTY": "param"}, Rung.BLOCKED),
        (9, {"BLOCK_TYPE": "account_deactivated", "BLOCK_CLASS": "organization"}, Rung.QUIET),
    ],
)
def test_a_block_by_wording_is_believed_when_the_providers_hosts_repeat_it(
    tmp_path: Path, times: int, changes: dict[str, Any], rung: Rung
) -> None:
    """One wording may be a mistake; the organization's loss of access is about nobody."""
    calls = [call(ANN, NOON - 100 - n, **{**WORDED, **changes}) for n in range(times)]
    write(tmp_path, calls)
    with open_files([tmp_path]) as events:
        found = build_report(events, WEEK)
    assert of(found, ANN).ladder.rung is rung
    assert sum(sum(day.values()) for day in by_day(found).values()) == times


def test_order_totals_and_organisation(report: Report) -> None:
    """Riskiest first, nobody last; coverage leaves out system calls and look-ups; drills move nothing."""
    assert [one.identifier for one in report.activities] == [EVE, ANN, BOB, ""]
    assert of(report, BOB).ladder == Ladder(Rung.DECIDED, "decided: watch until 2026-09-30 12:00 UTC")
    assert report.totals == Totals(
        calls=14,
        identifiers=3,
        without_identifier=3,
        flagged=2,
        outcomes={"completed": 9, "refused": 1, "blocked": 4},
        blocked={"cyber_policy": 2, "suspended_locally": 1, "content_filter": 1},
        coverage=10 / 12,
        delivery={"sent": 10, "withheld": 1, "none": 3},
        sources={"end_user": 11, "absent": 2, "system": 1},
    )
    assert report.organisation.text == "day 2 of 7, until 2026-10-05 00:00 UTC"
    assert [one.id for one in report.notices] == ["C-17"]


def test_coverage_leaves_out_what_never_left_and_a_librarys_constant(tmp_path: Path) -> None:
    """A call that was refused before it left needs no identifier; a library's constant names nobody."""
    write(
        tmp_path,
        [
            call(ANN, NOON - 9),
            call(None, NOON - 8, IDENTIFIER_DELIVERY="withheld"),
            blocked(ANN, NOON - 7, "suspended_locally", IDENTIFIER_DELIVERY="not_sent"),
            *(call("openai-guardrails-python", NOON - n, IDENTIFIER_SOURCE="library") for n in (1, 2, 3)),
        ],
    )
    with open_files([tmp_path], compact=False) as opened:
        totals = build_report(opened, WEEK).totals
    assert (0.5, 3) == (totals.coverage, totals.of_library)


def test_days_and_categories(report: Report) -> None:
    """Signals by day and kind, flags and highest scores by day and category, signals of one identifier."""
    assert report.timeline == [
        DayCount("2026-09-26", "flagged", 1),
        DayCount("2026-09-26", "refused", 1),
        DayCount("2026-09-27", "flagged", 1),
        DayCount("2026-09-28", "cyber_policy", 2),
        DayCount("2026-09-29", "content_filter", 1),
        DayCount("2026-09-29", "suspended_locally", 1),
    ]
    assert [cell for cell in report.categories if cell.flagged] == [
        CategoryDay("2026-09-26", "hate", 1, 0.7),
        CategoryDay("2026-09-27", "illicit", 1, 0.9),
    ]
    assert report.daily == {
        ANN: [
            DaySignals("2026-09-26", 0, 0, 0, 1),
            DaySignals("2026-09-27", 0, 0, 0, 1),
            DaySignals("2026-09-28", 2, 0, 0, 0),
            DaySignals("2026-09-29", 0, 1, 1, 0),
        ]
    }


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("api", [("chat", 3, 2, 0, 2), ("responses", 11, 2, 2, 0)]),
        ("model", [("gpt-4.1", 1, 1, 0, 0), ("gpt-5", 13, 2, 2, 2)]),
        ("key", [("key1", 14, 3, 2, 2)]),
        (
            "day",
            [
                ("2026-09-26", 1, 1, 1, 0),
                ("2026-09-27", 1, 1, 1, 0),
                ("2026-09-28", 2, 1, 0, 2),
                ("2026-09-29", 10, 3, 0, 0),
            ],
        ),
        ("category", [("hate", 1, 1, 1, 0), ("illicit", 1, 1, 1, 0)]),
    ],
)
def test_by_something_else(events: Events, by: str, expected: list[tuple[str, int, int, int, int]]) -> None:
    """Calls, identifiers, flags and enforcement blocks by API, model, key, day and category."""
    groups = build_report(events, WEEK, by=by).groups
    assert [(one.key, one.calls, one.identifiers, one.flagged, one.enforcement) for one in groups] == expected


def test_a_group_in_full(events: Events) -> None:
    """One line of a report by API carries every number."""
    assert build_report(events, WEEK, by="api").groups[0] == Group(
        key="chat",
        calls=3,
        identifiers=2,
        flagged=0,
        refused=0,
        failed=0,
        blocked={"cyber_policy": 2},
        enforcement=2,
        highest_score=None,
        first_seen=NOON - DAY - 60,
        last_seen=NOON - 10,
    )


def test_traffic_is_chosen(events: Events) -> None:
    """Red-team calls count only where they are asked for."""
    window = Window(NOON - 7 * DAY, NOON, "redteam")
    assert [(one.identifier, one.calls) for one in build_report(events, window).activities if one.calls] == [
        (BOB, 1)
    ]


def test_a_hold_is_a_late_median_of_enough_streams(tmp_path: Path) -> None:
    """Five slow streams of one identifier are a possible hold; four are not, nor is a slow model."""
    slow = [call(ANN, NOON - 100 - n, TIME_TO_FIRST_OUTPUT=9.0 + n) for n in range(5)]
    few = [call(BOB, NOON - 200 - n, TIME_TO_FIRST_OUTPUT=9.0) for n in range(4)]
    usual = [call(EVE, NOON - 300 - n, TIME_TO_FIRST_OUTPUT=0.5) for n in range(30)]
    model = [call(EVE, NOON - 400 - n, TIME_TO_FIRST_OUTPUT=9.0, REQUEST_MODEL="slow") for n in range(9)]
    write(tmp_path, [*slow, *few, *usual, *model])
    with open_files([tmp_path], compact=False) as opened:
        holds = {one.identifier: one.holds for one in build_report(opened, WEEK).activities}
    assert holds == {ANN: [Hold("gpt-5", 11.0, 0.5, 5)], BOB: [], EVE: []}


def test_the_journal_and_the_list_are_heard(events: Events) -> None:
    """What the journal knows wins over events, each thing once; the suspension list says who is suspended."""
    known = Known(
        notices=(
            noticed("C-17", "warning", NOON - 1.5 * DAY, status="closed"),
            noticed("e-1", "identifier_blocked", NOON - DAY, identifier=BOB),
        ),
        decisions=(
            decided("watch", NOON - 3600.5, NOON + DAY, who=BOB),
            decided("revoke", NOON - 1, who=ANN),
        ),
        suspended=frozenset({EVE}),
    )
    found = build_report(events, WEEK, known)
    assert found.organisation.stage == "quiet"
    assert [(one.id, one.status) for one in found.notices] == [("C-17", "closed"), ("e-1", "open")]
    assert {one.identifier for one in found.activities if one.suspended} == {EVE}
    assert of(found, ANN).ladder.text.startswith("decided: revoke; enforcement blocks")


def test_nothing_is_a_report_too(tmp_path: Path) -> None:
    """No event at all gives zeros, quiet, and no division by zero."""
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with open_files([tmp_path], compact=False) as opened:
        found = build_report(opened, WEEK)
    assert (found.totals, found.activities, found.organisation.stage) == (Totals(), [], "quiet")
