"""Ask the questions of the store and put the answers together into a report."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import moments, vocabulary
from openai_safety_otel.instrumentation.extract.endpoints import ENDPOINTS
from openai_safety_otel.ledger.decisions import ACTIONS
from openai_safety_otel.ledger.journal import Decision, Notice, notice_key
from openai_safety_otel.operations.report import ladders
from openai_safety_otel.operations.report.activity import (
    Activity,
    ApiState,
    CategoryDay,
    DayCount,
    DaySignals,
    Group,
    Hold,
    Report,
    Totals,
)
from openai_safety_otel.operations.store import questions
from openai_safety_otel.operations.store.events import Events

NS = 1_000_000_000
# Operations that neither generate nor open a session: they do not count for coverage.
LOOKS = sorted({endpoint.name for _, _, endpoint in ENDPOINTS if not endpoint.inference})
_SAME_DECISION_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Window:
    """What a report is about: Unix seconds from ``since`` (inclusive) to ``until`` (exclusive)."""

    since: float
    until: float
    traffic: str = "production"

    @property
    def bound(self) -> dict[str, Any]:
        """The values of the queries' ``$names``."""
        recent = self.until - ladders.WINDOW_DAYS * moments.DAY
        times = {"since": self.since, "until": self.until, "recent": recent}
        return {
            **{f"{name}_ns": int(at * NS) for name, at in times.items()},
            **{f"{name}_day": moments.day(at) for name, at in times.items()},
            "traffic": self.traffic,
            "looks": LOOKS,
            "hold_streams": ladders.HOLD_STREAMS,
            "hold_times": ladders.HOLD_TIMES,
            "hold_seconds": ladders.HOLD_SECONDS,
        }


@dataclass(frozen=True, slots=True)
class Known:
    """What is known besides the events: the journal's notices and decisions, and the suspension list.

    ``suspended`` is None where there is no list to ask; decisions speak then.
    """

    notices: tuple[Notice, ...] = ()
    decisions: tuple[Decision, ...] = ()
    suspended: frozenset[str] | None = None


@dataclass(slots=True)
class _Building:
    events: Events
    window: Window
    known: Known
    found: dict[str, Activity] = field(default_factory=dict)

    def ask(self, sql: str, **more: Any) -> list[dict[str, Any]]:
        return self.events.rows(sql, **self.window.bound, **more)

    def of(self, identifier: str) -> Activity:
        return self.found.setdefault(identifier, Activity(identifier))


def build_report(
    events: Events,
    window: Window,
    known: Known | None = None,
    *,
    by: str = "identifier",
    only: str | None = None,
) -> Report:
    """The report on these events.

    Args:
        events: what to read.
        window: the time it is about.
        known: notices, decisions and suspensions from elsewhere.
        by: ``identifier``, or ``category``, ``api``, ``model``, ``key``, ``day``.
        only: one identifier, to report on its calls alone, which are in the table ``theirs``.
    """
    building = _Building(events, window, known or Known())
    for view in questions.calls_views(only):
        events.database.execute(view)
    notices = all_notices(building.ask(questions.NOTICES), building.known.notices)
    _read_calls(building)
    _read_ladder_facts(building)
    _read_decisions(building, notices)
    for activity in building.found.values():
        activity.ladder = ladders.identifier_ladder(activity, window.until)
    return Report(
        since=window.since,
        until=window.until,
        traffic=window.traffic,
        origin=events.origin,
        skipped=events.skipped.as_dict(),
        totals=_totals(building),
        organisation=ladders.organisation_ladder(notices, window.until, _lost_access(building)),
        notices=notices,
        activities=sorted(building.found.values(), key=ladders.risk),
        rule=f"{ladders.RISK_RULE} {ladders.LADDER_RULE}",
        timeline=[DayCount(row["day"], row["kind"], row["n"]) for row in building.ask(questions.TIMELINE)],
        categories=_category_days(building),
        daily=_daily(building),
        by=by,
        groups=_groups(building, by) if by != "identifier" else [],
        comparison=_comparison(building),
    )


def _read_calls(building: _Building) -> None:
    for row in building.ask(questions.PER_IDENTIFIER):
        one = building.of(row["identifier"])
        one.calls, one.flagged = row["calls"], row["flagged"]
        one.first_seen, one.last_seen = row["first_ns"] / NS, row["last_ns"] / NS
        one.scores = {name: row[name] for name in vocabulary.CATEGORIES if row[name] is not None}
    for row in building.ask(questions.USED):
        one = building.of(row.pop("identifier"))
        for name, value in row.items():
            if value and value not in (seen := getattr(one, name)):
                insort(seen, value)
    for row in building.ask(questions.OUTCOMES):
        building.of(row["identifier"]).outcomes[row["outcome"]] = row["n"]
    for row in building.ask(questions.BLOCKS):
        building.of(row["identifier"]).blocked[row["type"]] = row["n"]
    for row in building.ask(questions.FLAGS):
        building.of(row["identifier"]).flags[row["category"]] = row["n"]


def _read_ladder_facts(building: _Building) -> None:
    for row in building.ask(questions.RECENT):
        one = building.of(row["identifier"])
        one.recent_flagged, one.enforcement_days = row["flagged"], row["days"]
        one.enforcement_blocks, one.last_signal = row["blocks"], row["signal_ns"] / NS
    for (identifier, api), (blocked, answered) in sorted(_blocked_and_answered(building).items()):
        one = building.of(identifier)
        one.api_states.append(ApiState(api, blocked, answered))
        one.last_signal = max(one.last_signal or 0.0, blocked or 0.0) or None
    for row in building.ask(questions.HOLDS):
        hold = Hold(row["model"] or "", row["median"], row["usual"], row["streams"])
        building.of(row["identifier"]).holds.append(hold)


def _blocked_and_answered(building: _Building) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """When each identifier that is blocked anywhere was last blocked and answered, by identifier and API."""
    blocks = {
        (row["identifier"], row["api"]): row["blocked_ns"] / NS for row in building.ask(questions.BLOCKED_IN)
    }
    if not blocks:
        return {}
    asked = questions.answered_in(sorted({identifier for identifier, _ in blocks}))
    answers = {(row["identifier"], row["api"]): row["answered_ns"] / NS for row in building.ask(asked)}
    return {key: (blocks.get(key), answers.get(key)) for key in blocks.keys() | answers.keys()}


def _lost_access(building: _Building) -> ladders.LostAccess | None:
    row = building.ask(questions.ACCESS_LOST)[0]
    if not row["lost_ns"] or building.ask(questions.ANSWERED_SINCE, lost_ns=row["lost_ns"])[0]["n"]:
        return None
    return ladders.LostAccess(row["type"], row["lost_ns"] / NS)


def _read_decisions(building: _Building, notices: list[Notice]) -> None:
    now = building.window.until
    for notice in notices:
        if notice.identifier:
            one = building.of(notice.identifier)
            one.notices.append(notice)
            if notice.type in ladders.MOVING:
                one.last_signal = max(one.last_signal or 0.0, notice.known_at)
    for made in all_decisions(building.ask(questions.DECISIONS), building.known.decisions):
        if made.at < now:
            building.of(made.identifier).decision = made
    listed = building.known.suspended
    for activity in building.found.values():
        decision = activity.decision
        refused = decision is not None and decision.refuses(now)
        activity.suspended = refused if listed is None else activity.identifier in listed


def all_notices(rows: Iterable[Mapping[str, Any]], known: Iterable[Notice]) -> list[Notice]:
    """Notices of events and of the journal, each once, oldest first; the journal and later events win."""
    found: dict[tuple[str, str], Notice] = {}
    for row in rows:
        key = (row["type"], row["id"])
        earlier = found.get(key)
        if row["event"] == c.DECISION_EVENT:  # its closing
            found.update({key: replace(earlier, status="closed")} if earlier else {})
            continue
        found[key] = Notice(
            key=notice_key(row["type"], row["id"]),
            id=row["id"],
            type=row["type"],
            received_at=int(row["received_at"] or row["time_ns"] // NS),
            deadline_at=row["deadline_at"],
            identifier=row["identifier"],
            reason=row["reason"] or (earlier.reason if earlier else None),
            category=row["category"] or (earlier.category if earlier else None),
            status=row["status"] or "open",
            request_id=row["request_id"] or (earlier.request_id if earlier else None),
            subject=row["subject"] or ("identifier" if row["identifier"] else "unknown"),
            recorded_at=earlier.recorded_at if earlier else row["time_ns"] // NS,
        )
    found.update({(notice.type, notice.id): notice for notice in known})
    return sorted(found.values(), key=lambda notice: notice.received_at)


def all_decisions(rows: Iterable[Mapping[str, Any]], known: Iterable[Decision]) -> list[Decision]:
    """Decisions of events and of the journal, each once, oldest first."""
    decisions = list(known)
    times: dict[tuple[str, str, str], list[float]] = {}
    for one in decisions:
        times.setdefault((one.identifier, one.action, one.by), []).append(one.at)
    for row in rows:
        until = None if row["until"] is None else float(row["until"])
        one = Decision(
            identifier=row["identifier"],
            action=row["action"],
            by=row["by"] or "",
            why=row["why"] or "",
            at=row["time_ns"] / NS,
            until=until,
            details={"automatic": True} if row["automatic"] else {},
        )
        known_times = times.get((one.identifier, one.action, one.by), ())
        if not any(abs(one.at - at) < _SAME_DECISION_SECONDS for at in known_times):
            decisions.append(one)
    return sorted(decisions, key=lambda decision: decision.at)


def _totals(building: _Building) -> Totals:
    row = building.ask(questions.TOTALS)[0]
    totals = Totals(row["calls"], row["identifiers"], row["without_identifier"], row["flagged"])
    if row["coverable"]:
        totals.coverage = row["sent"] / row["coverable"]
    totals.of_library = row["of_library"]
    for each in building.ask(questions.DELIVERY):
        for counts, key in ((totals.delivery, each["delivery"]), (totals.sources, each["source"])):
            if key:
                counts[key] = counts.get(key, 0) + each["n"]
    for activity in building.found.values():
        for mine, its in ((totals.outcomes, activity.outcomes), (totals.blocked, activity.blocked)):
            for key, count in its.items():
                mine[key] = mine.get(key, 0) + count
    return totals


def _category_days(building: _Building) -> list[CategoryDay]:
    return [
        CategoryDay(row["day"], category, row[f"{category} flagged"], row[category])
        for row in building.ask(questions.CATEGORY_DAYS)
        for category in vocabulary.CATEGORIES
        if row[category] is not None or row[f"{category} flagged"]
    ]


def _comparison(building: _Building) -> dict[str, Any] | None:
    for row in building.ask(questions.COMPARISONS):  # the newest is the first
        return {**row, "sources": building.events.rows(questions.SOURCES, at=row["time_ns"])}
    return None


def _daily(building: _Building) -> dict[str, list[DaySignals]]:
    found: dict[str, list[DaySignals]] = {}
    for row in building.ask(questions.DAILY):
        identifier = row.pop("identifier")
        found.setdefault(identifier, []).append(DaySignals(**row))
    return found


def _groups(building: _Building, by: str) -> list[Group]:
    if by == "category":
        rows, blocks = building.ask(questions.CATEGORY_GROUPS), building.ask(questions.CATEGORY_BLOCKS)
        highest = building.ask(questions.CATEGORY_HIGHEST)[0]
    else:
        rows, blocks = building.ask(questions.group_query(by)), building.ask(questions.group_blocks_query(by))
        highest = {}
    groups = {row["key"]: _group(row, highest) for row in rows}
    for block in blocks:
        groups[block["key"]].blocked[block["type"]] = block["n"]
    return list(groups.values())


def _group(row: Mapping[str, Any], highest: Mapping[str, float | None]) -> Group:
    same = ("key", "calls", "identifiers", "flagged", "refused", "failed", "enforcement")
    return Group(
        **{name: row[name] for name in same},
        highest_score=row.get("highest", highest.get(row["key"])),
        first_seen=row["first_ns"] / NS,
        last_seen=row["last_ns"] / NS,
    )


def from_journal(notices: Iterable[Notice], decisions: Iterable[Decision]) -> Known:
    """What a report uses of the journal: drills are left out, look-ups are no decisions."""
    return Known(
        tuple(notice for notice in notices if notice.traffic == "production"),
        tuple(one for one in decisions if one.action in ACTIONS),
    )
