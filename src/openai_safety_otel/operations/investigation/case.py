"""One identifier's case: who is meant, what they did, where they stand and what they still can reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.ledger.journal import Decision, Notice
from openai_safety_otel.operations.investigation.context import ContextSource
from openai_safety_otel.operations.investigation.meant import named
from openai_safety_otel.operations.report.activity import Activity, ApiState
from openai_safety_otel.operations.report.build import (
    NS,
    Known,
    Window,
    all_decisions,
    build_report,
)
from openai_safety_otel.operations.report.ladders import reachable
from openai_safety_otel.operations.store import case_questions, questions
from openai_safety_otel.operations.store.events import Events

MEGABYTES: Final = 256  # of the queries: a million events of one person take no more
_MOST_IDS: Final = 20_000  # calls by whose ids the app's logs are searched

# What happened, as against what was merely used: shown first, the rest is summed.
HAPPENED: Final = ("blocked", "flagged", "notice", "decision", "report")
_SLICE: Final = 20_000
_NONE_STORED: Final = "no call of theirs is stored; blocks do not carry over between APIs"


class UnknownIdentifierError(OneLineError, LookupError):
    """No event has this identifier; the message is one line."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether one API can still be reached; ``state`` is reachable, blocked, suspended or unknown."""

    api: str
    state: str
    text: str


@dataclass(slots=True)
class Case:
    """Everything known about one identifier. Times are Unix seconds.

    Events are rows by column, read from ``events`` when they are asked for: a busy person has a million.
    """

    events: Events
    identifier: str
    linked: list[str]
    since: float
    until: float
    activity: Activity
    notices: list[Notice]
    decisions: list[Decision]
    sums: list[dict[str, Any]]
    totals: dict[str, Any]
    only: tuple[str, ...] = ()
    reach: list[Reach] = field(default_factory=list)
    sources: list[ContextSource] = field(default_factory=list)
    appeal: dict[str, Any] = field(default_factory=dict)

    @property
    def last_signal_ns(self) -> int | None:
        """When a call was last flagged, or blocked by the provider."""
        return self.totals["last_signal_ns"]  # type: ignore[no-any-return]

    def timeline(self) -> Iterator[dict[str, Any]]:
        """Every event, or those of the kinds asked for, oldest first; sorted in slices of time, to stay small."""
        begins = [row["time_ns"] for row in self.events.rows(case_questions.BEGINS, slice=_SLICE)]
        part = case_questions.between(self.only)
        for begin, end in zip(begins, [*begins[1:], 2**63 - 1], strict=True):
            yield from map(self._noted, self.events.stream(part, begin=begin, end=end))

    def happened(self, most: int) -> tuple[list[dict[str, Any]], int]:
        """The newest of what happened (or of the kinds asked for), oldest first, and how many there are."""
        kinds = self.only or HAPPENED
        count = self.events.rows(case_questions.count_of(kinds))[0]["n"]
        rows = self.events.rows(case_questions.newest_of(kinds), most=most)[::-1]
        return list(map(self._noted, rows)), count

    def _noted(self, row: dict[str, Any]) -> dict[str, Any]:
        """An event with what is known of it by now: a notice may be a drill, or since said to be another's."""
        if row["event"] != c.NOTICE_EVENT:
            return row
        theirs = {(one.type, one.id) for one in self.notices}
        if row["openai_safety_traffic"] == "drill":
            return {**row, "note": "a drill"}
        if (row["openai_safety_notice_type"], row["openai_safety_notice_id"]) not in theirs:
            return {**row, "note": "since said not to be about them"}
        return row

    def signals(self, most: int) -> list[dict[str, Any]]:
        """The newest calls that were flagged, or blocked by the provider, oldest first."""
        return self.events.rows(case_questions.SIGNALS, most=most)[::-1]

    def ids(self) -> list[str]:
        """Everything by which a line of the app's logs may belong to the case; blocks and flags first."""
        found = dict.fromkeys([self.identifier, *self.linked])
        for row in self.events.stream(case_questions.IDS, most=_MOST_IDS):
            found.update(dict.fromkeys(value for value in row.values() if value))
        return list(found)

    def near(self, each_side: int, apis: Iterable[str], most: int) -> list[dict[str, Any]]:
        """The newest calls with an id among the ``each_side`` ones around a block or flag, oldest first."""
        rows = self.events.rows(case_questions.near(int(each_side)), apis=list(apis), most=most)[::-1]
        return list({row["gen_ai_response_id"]: row for row in rows}.values())


def open_case(
    events: Events,
    identifier: str,
    window: Window,
    known: Known | None = None,
    *,
    only: tuple[str, ...] = (),
    apis: Iterable[str] = (),
) -> Case:
    """Put one identifier's case together.

    Args:
        events: what is stored; the case reads from it later, too.
        identifier: in full.
        window: the time the timeline covers.
        known: notices, decisions and suspensions from elsewhere.
        only: kinds of events (``KINDS``) that the timeline is about; all of them where it is empty.
        apis: what others use, where ``events`` are one person's alone.

    Raises:
        UnknownIdentifierError: nothing is known of it.
    """
    known = known or Known()
    events.bound_memory(MEGABYTES)
    linked = sorted(linked_forms(events, [identifier]) - {identifier})
    bound = {**window.bound, "forms": [identifier, *linked]}
    for part in (case_questions.theirs(bound["forms"]), *case_questions.mine(bound["forms"], bound)):
        events.database.execute(part)
    report = build_report(events, window, known, only=identifier)
    activity = next((one for one in report.activities if one.identifier == identifier), Activity(identifier))
    decisions = all_decisions(events.rows(questions.DECISIONS, **bound), known.decisions)
    case = Case(
        events=events,
        identifier=identifier,
        linked=linked,
        since=window.since,
        until=window.until,
        activity=activity,
        notices=_about(bound["forms"], report.notices),
        decisions=_about(bound["forms"], decisions),
        sums=events.rows(case_questions.SUMS),
        totals=events.rows(case_questions.CASE_TOTALS)[0],
        only=only,
    )
    if not (case.totals["events"] or case.notices or case.decisions):
        raise UnknownIdentifierError(
            f"nothing is known of {named(identifier)} in this time; try --since 400d, other --files, or whois"
        )
    mine = {row["api"]: row for row in events.rows(case_questions.REACH)}
    every = {*apis, *mine, *(row["api"] for row in events.rows(case_questions.APIS))} - {""}
    case.reach = _reach({api: mine.get(api) for api in sorted(every)}, case, known, window.until)
    return case


def blocked_for_good(events: Events, identifier: str) -> bool:
    """Whether an API blocked this identifier, as its calls tell surely, and has not answered it since."""
    events.database.execute(case_questions.theirs([identifier]))
    return any(_state(row["api"], row).blocked for row in events.rows(case_questions.REACH))


def _state(api: str, row: dict[str, Any] | None) -> ApiState:
    blocked = row["blocked_ns"] / NS if row and row["is_blocked"] else None
    return ApiState(api, blocked, row["answered_ns"] / NS if row and row["answered_ns"] else None)


def linked_forms(events: Events, forms: list[str]) -> set[str]:
    """Identifiers that events link with these: a session and the user it turned out to be."""
    return {value for row in events.rows(case_questions.linked(forms)) for value in row.values() if value}


def _about(forms: list[str], entries: list[Any]) -> list[Any]:
    return [entry for entry in entries if entry.identifier in forms]


def _reach(rows: dict[str, dict[str, Any] | None], case: Case, known: Known, now: float) -> list[Reach]:
    suspended = _suspension(case, known, now)
    unnamed = [one for one in case.notices if one.type == "identifier_blocked" and one.open]
    found: list[Reach] = []
    for api, row in rows.items():
        state = _state(api, row)
        if state.blocked:
            found.append(Reach(state.api, "blocked", reachable(state)))
        elif suspended:
            found.append(Reach(state.api, "suspended", suspended))
        elif state.answered_at:
            doubt = "; a notice says blocked, without naming the API" if unnamed else ""
            found.append(Reach(state.api, "reachable", f"{reachable(state)}{doubt}"))
        else:
            tried = "never answered" if row else _NONE_STORED
            found.append(Reach(state.api, "unknown", tried))
    return found


def _suspension(case: Case, known: Known, now: float) -> str | None:
    """Why our own guard refuses them, if it does."""
    ruling = [one for one in case.decisions if one.at < now]
    last = ruling[-1] if ruling else None
    if known.suspended is not None:
        listed = [form for form in (case.identifier, *case.linked) if form in known.suspended]
        return "refused by us: on the suspension list" if listed else None
    if last and last.refuses(now):
        return f"refused by us: {last.action} by {last.by}"
    return None
