from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.operations.investigation.case import open_case
from openai_safety_otel.operations.reconcile.ours import batched, recorded
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.store import case_questions, clickhouse, questions
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.operations.store.schema import COLUMNS, RETENTION_DAYS
from support.clickhouse import ClickHouse
from support.events import ANN, BOB, DAY, EVE, NOON, blocked, call, decision, flagged, notice, write

pytest.importorskip("chdb.session", reason="make test-columns installs it")

WEEK = Window(NOON - 7 * DAY, NOON)
EVENTS = [
    *(call(ANN, NOON - 100 - n, TIME_TO_FIRST_OUTPUT=9.0) for n in range(5)),
    *(call(BOB, NOON - 100 - n, TIME_TO_FIRST_OUTPUT=0.5, RESPONSE_ID=f"resp_{n}") for n in range(25)),
    flagged(ANN, NOON - 2 * DAY, "hate", 0.9, RESPONSE_ID="resp_it's"),
    flagged(ANN, NOON - 3 * DAY, "illicit", 0.8, OUTCOME="refused"),
    *(blocked(ANN, NOON - DAY - n, "cyber_policy") for n in range(3)),
    blocked(EVE, NOON - DAY, "identifier_blocked", API="chat"),
    blocked(EVE, NOON - 2 * DAY, "account_deactivated"),
    call(EVE, NOON - 10, IDENTIFIER_LINKED=BOB),
    call(None, NOON - 11, IDENTIFIER_DELIVERY="withheld"),
    notice("warning", NOON - DAY),
    decision(ANN, "watch", NOON - 5, NOON + DAY, DECISION_CHAIN="0" * 64),
]


class Both(Events):
    """Asks both engines every question, and notes where an answer differs."""

    def __init__(self, events: Events, other: ClickHouse) -> None:
        super().__init__(_Views(events, other), events.origin, events.skipped, events.held)  # type: ignore[arg-type]
        self.events = events
        self.other = other
        self.asked = 0
        self.different: list[tuple[str, Any, Any]] = []

    def stream(self, sql: str, **values: Any) -> Iterator[dict[str, Any]]:
        found = list(self.events.stream(sql, **values))
        theirs = self.other.rows(sql, **values)
        self.asked += 1
        if plain(found) != plain(theirs):
            self.different.append((sql, found, theirs))
        return iter(found)

    def bound_memory(self, megabytes: int) -> None:
        pass


class _Views:
    """Makes a view in both engines."""

    def __init__(self, events: Events, other: ClickHouse) -> None:
        self._events = events
        self._other = other

    def execute(self, sql: str) -> None:
        self._events.database.execute(sql)
        self._other.execute(sql)


def plain(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Rows in one order; lists as sets without NULL, of which an empty one is NULL; numbers as numbers."""
    return sorted([repr(_value(row[name])) for name in sorted(row)] for row in rows)


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(one for one in value if one is not None) or None
    return float(value) if isinstance(value, int | float) else value


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The same events in DuckDB and in ClickHouse, where some came twice."""
    folder = tmp_path_factory.mktemp("events")
    write(folder, EVENTS)
    with open_files([folder], compact=False) as events:
        file = folder / "events.parquet"
        names = ", ".join(column.name for column in COLUMNS)
        events.database.execute(f"COPY (SELECT {names} FROM events) TO '{file}' (FORMAT parquet)")
        other = ClickHouse(tmp_path_factory.mktemp("clickhouse"))
        other.insert(file)
        other.insert(file)
        yield Both(events, other)
        other.close()


@pytest.mark.parametrize("by", ["identifier", "category", "api", "model", "key", "day"])
def test_every_question_of_the_report_has_one_answer(engines: Both, by: str) -> None:
    """ClickHouse answers each question of each report as DuckDB does, over the same events."""
    build_report(engines, WEEK, by=by)
    assert [] == engines.different
    assert engines.asked > 15


def test_every_question_of_the_queue_and_of_a_case_has_one_answer(engines: Both) -> None:
    """So it does for the queue, and for everything that a case asks about one identifier."""
    engines.rows(questions.WAITING, since=int((NOON - 7 * DAY) * 1e9), since_day="2026-09-22")
    engines.rows(case_questions.SESSIONS, forms=[BOB])
    engines.rows(case_questions.BEGINNING_WITH, beginning="AAAA")
    for identifier in (ANN, EVE):
        case = open_case(engines, identifier, WEEK)
        assert (case.happened(10)[1] > 0, len(list(case.timeline())) > 0, len(case.ids()) > 0) == (
            True,
            True,
            True,
        )
        case.signals(5)
        case.near(2, ["responses"], 9)
        engines.rows(case_questions.RULES, after=0, before=int(NOON * 1e9))
    assert [] == engines.different


def test_the_questions_about_the_journal_coverage_and_the_providers_count_have_one_answer(
    engines: Both,
) -> None:
    """So it does for what `verify` asks of the decision events, and an appeal and `reconcile` of all calls."""
    assert len(engines.rows(questions.CHAIN_HEADS)) == 1
    assert len(engines.rows(case_questions.DELIVERED, **WEEK.bound)) > 1
    assert sum(one.possible for one in recorded(engines, NOON - 7 * DAY, NOON, ["api.openai.com"])) > 30
    assert batched(engines, NOON - 7 * DAY, NOON) == set()
    assert [] == engines.different


def test_an_event_that_came_twice_is_one_and_keeps_its_stream(engines: Both) -> None:
    """Each stream counts as many events as DuckDB's, though every event was inserted twice."""
    engines.rows("SELECT stream, day, count(*) AS n FROM events GROUP BY 1, 2")
    assert [] == engines.different


def test_the_shipped_statements_are_these() -> None:
    """deploy/clickhouse/events.sql makes the table and the view that the questions read; every stream has its time."""
    shipped = Path(__file__).parents[2] / "deploy" / "clickhouse" / "events.sql"
    assert shipped.read_text() == clickhouse.statements()
    assert all(f"DELETE WHERE stream = '{stream}'" in shipped.read_text() for stream in RETENTION_DAYS)
