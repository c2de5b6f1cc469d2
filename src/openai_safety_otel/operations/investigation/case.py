"""One identifier's case: who is meant, what they did, where they stand and what they still can reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.operations.investigation.context import Source
from openai_safety_otel.operations.report import queries
from openai_safety_otel.operations.report.activity import Activity, ApiState, Decision, Notice
from openai_safety_otel.operations.report.build import (
    NS,
    Known,
    Window,
    all_decisions,
    all_notices,
    build_report,
)
from openai_safety_otel.operations.report.ladders import reachable
from openai_safety_otel.operations.store.blocked import BLOCKED
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.schema import column_name, quoted

MEGABYTES: Final = 128  # of the queries: a million events of one person take no more
_MOST_IDS: Final = 20_000  # calls by whose ids the app's logs are searched

_FLAGGED: Final = " OR ".join(f"coalesce({column_name(c.FLAGGED[d])}, false)" for d in c.DIRECTIONS)
_BLOCKED: Final = f"({column_name(c.BLOCK_CLASS)} IS NOT NULL OR {column_name(c.OUTCOME)} = 'blocked')"
_CALL: Final = f"event = '{c.CALL_EVENT}'"
# What `--only` may name, and the events it means.
KINDS: Final = {
    "blocked": f"({_CALL} AND {_BLOCKED})",
    "flagged": f"({_CALL} AND ({_FLAGGED}))",
    "notice": f"event = '{c.NOTICE_EVENT}'",
    "decision": f"event = '{c.DECISION_EVENT}'",
    "report": f"event = '{c.USER_REPORT_EVENT}'",
    "refused": f"({_CALL} AND {column_name(c.OUTCOME)} = 'refused')",
    "failed": f"({_CALL} AND {column_name(c.OUTCOME)} = 'failed')",
    "completed": f"({_CALL} AND {column_name(c.OUTCOME)} = 'completed')",
}
# What happened, as against what was merely used: shown first, the rest is summed.
HAPPENED: Final = ("blocked", "flagged", "notice", "decision", "report")
# Blocked by somebody else than us, or flagged.
SIGNAL: Final = f"({_CALL} AND ({column_name(c.BLOCK_CLASS)} IN ('enforcement', 'filter') OR {_FLAGGED}))"

_LINKED = """
SELECT DISTINCT user_hash AS one, openai_safety_identifier_linked AS other FROM events
WHERE openai_safety_identifier_linked IS NOT NULL
  AND (list_contains($forms, user_hash) OR list_contains($forms, openai_safety_identifier_linked))
"""
_REACH = f"""
WITH mine AS (SELECT openai_safety_api AS api,
    CASE WHEN {BLOCKED} THEN max(time_ns) FILTER (openai_safety_block_type = 'identifier_blocked') END AS blocked_ns,
    max(time_ns) FILTER (openai_safety_outcome IN ('completed', 'refused')
      AND coalesce(gen_ai_operation_name, '') NOT IN ('fetch_response', 'cancel_response')) AS answered_ns
  FROM events WHERE event = 'openai_safety.call' AND list_contains($forms, user_hash) GROUP BY 1)
SELECT api, blocked_ns, answered_ns, mine.api IS NOT NULL AS used
FROM (SELECT openai_safety_api AS api FROM events WHERE openai_safety_api IS NOT NULL
  UNION SELECT unnest($apis::VARCHAR[])) AS every
LEFT JOIN mine USING (api) ORDER BY api
"""  # noqa: S608 - the condition is our own
_SUMS: Final = f"""
SELECT strftime(make_timestamp_ns(time_ns), '%Y-%m-%d') AS day, coalesce(openai_safety_api, '') AS api,
  coalesce(openai_safety_outcome, '') AS outcome, count(*) AS calls, count(*) FILTER ({_FLAGGED}) AS flagged
FROM mine WHERE {_CALL} GROUP BY ALL ORDER BY day DESC, api, outcome
"""  # noqa: S608 - names of our own contract
_TOTALS: Final = f"""
SELECT count(*) AS events, count(*) FILTER ({SIGNAL}) AS signals,
  max(time_ns) FILTER ({SIGNAL}) AS last_signal_ns,
  count(*) FILTER (event = '{c.EVIDENCE_EVENT}') AS evidence FROM mine
"""  # noqa: S608
_SLICE: Final = 20_000
_BEGINS = """
SELECT DISTINCT time_ns FROM (SELECT time_ns, row_number() OVER (ORDER BY time_ns) AS place FROM mine)
WHERE place % $slice = 1 ORDER BY time_ns
"""
_IDS = """
SELECT trace_id, gen_ai_response_id, openai_safety_provider_request_id FROM mine WHERE {call}
ORDER BY {signal} DESC, time_ns DESC LIMIT $most
"""
_NEAR = """
SELECT * FROM (
  SELECT time_ns, openai_safety_api, gen_ai_response_id, count(*) FILTER ({signal})
    OVER (ORDER BY time_ns ROWS BETWEEN {side} PRECEDING AND {side} FOLLOWING) AS signals
  FROM mine WHERE {call})
WHERE signals > 0 AND gen_ai_response_id IS NOT NULL AND list_contains($apis, openai_safety_api)
ORDER BY time_ns DESC LIMIT $most
"""


class UnknownIdentifierError(LookupError):
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
    forms: list[str]
    linked: list[str]
    since: float
    until: float
    origin: str
    activity: Activity
    notices: list[Notice]
    decisions: list[Decision]
    sums: list[dict[str, Any]]
    totals: dict[str, Any]
    only: tuple[str, ...] = ()
    reach: list[Reach] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    appeal: dict[str, Any] = field(default_factory=dict)

    @property
    def last_signal_ns(self) -> int | None:
        """When a call was last flagged, or blocked by the provider."""
        return self.totals["last_signal_ns"]  # type: ignore[no-any-return]

    def timeline(self) -> Iterator[dict[str, Any]]:
        """Every event, or those of the kinds asked for, oldest first; sorted in slices of time, to stay small."""
        begins = [row["time_ns"] for row in self.events.rows(_BEGINS, slice=_SLICE)]
        for begin, end in zip(begins, [*begins[1:], 2**63 - 1], strict=True):
            yield from self.events.stream(
                f"SELECT * FROM mine WHERE ({_any(self.only)}) AND time_ns >= $begin AND time_ns < $end "  # noqa: S608
                "ORDER BY time_ns",
                begin=begin,
                end=end,
            )

    def happened(self, most: int) -> tuple[list[dict[str, Any]], int]:
        """The newest of what happened (or of the kinds asked for), oldest first, and how many there are."""
        kinds = _any(self.only or HAPPENED)
        count = self.events.rows(f"SELECT count(*) AS n FROM mine WHERE {kinds}")[0]["n"]  # noqa: S608
        newest = f"SELECT * FROM mine WHERE {kinds} ORDER BY time_ns DESC LIMIT $most"  # noqa: S608
        return self.events.rows(newest, most=most)[::-1], count

    def signals(self, most: int) -> list[dict[str, Any]]:
        """The newest calls that were flagged, or blocked by the provider, oldest first."""
        newest = f"SELECT * FROM mine WHERE {SIGNAL} ORDER BY time_ns DESC LIMIT $most"  # noqa: S608
        return self.events.rows(newest, most=most)[::-1]

    def ids(self) -> list[str]:
        """Everything by which a line of the app's logs may belong to the case; blocks and flags first."""
        found = dict.fromkeys([*self.forms, *self.linked])
        for row in self.events.stream(_IDS.format(call=_CALL, signal=SIGNAL), most=_MOST_IDS):
            found.update(dict.fromkeys(value for value in row.values() if value))
        return list(found)

    def near(self, each_side: int, apis: Iterable[str], most: int) -> list[dict[str, Any]]:
        """The newest calls with an id among the ``each_side`` ones around a block or flag, oldest first."""
        sql = _NEAR.format(call=_CALL, signal=SIGNAL, side=int(each_side))
        rows = self.events.rows(sql, apis=list(apis), most=most)[::-1]
        return list({row["gen_ai_response_id"]: row for row in rows}.values())


def _any(kinds: Iterable[str]) -> str:
    return " OR ".join(KINDS[kind] for kind in kinds) or "true"


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
    events.database.execute(_mine(bound))
    report = build_report(events, window, known, only=identifier)
    activity = next((one for one in report.activities if one.identifier == identifier), Activity(identifier))
    decisions = all_decisions(events.rows(queries.DECISIONS, **bound), known.decisions)
    notices = all_notices(events.rows(queries.NOTICES, **bound), known.notices)
    case = Case(
        events=events,
        identifier=identifier,
        forms=[identifier],
        linked=linked,
        since=window.since,
        until=window.until,
        origin=events.origin,
        activity=activity,
        notices=_about(bound["forms"], notices),
        decisions=_about(bound["forms"], decisions),
        sums=events.rows(_SUMS),
        totals=events.rows(_TOTALS)[0],
        only=only,
    )
    if not (case.totals["events"] or case.notices or case.decisions):
        raise UnknownIdentifierError(
            f"nothing is known of {identifier[:64]} in this time; try --since 400d, other --files, or whois"
        )
    case.reach = _reach(events.rows(_REACH, **bound, apis=list(apis)), case, known, window.until)
    return case


def _mine(bound: dict[str, Any]) -> str:
    forms = ", ".join(map(quoted, bound["forms"]))
    reported = column_name(c.REPORTED_HASH)
    return (
        "CREATE OR REPLACE TEMP VIEW mine AS SELECT * EXCLUDE (row_key) FROM events "  # noqa: S608 - quoted
        f"WHERE time_ns >= {bound['since_ns']} AND time_ns < {bound['until_ns']} "
        f"AND (user_hash IN ({forms}) OR {reported} IN ({forms}))"
    )


def linked_forms(events: Events, forms: list[str]) -> set[str]:
    """Identifiers that events link with these: a session and the user it turned out to be."""
    return {value for row in events.rows(_LINKED, forms=forms) for value in row.values() if value}


def _about(forms: list[str], entries: list[Any]) -> list[Any]:
    return [entry for entry in entries if entry.identifier in forms]


def _reach(rows: list[dict[str, Any]], case: Case, known: Known, now: float) -> list[Reach]:
    suspended = _suspension(case, known, now)
    unnamed = [one for one in case.notices if one.type == "identifier_blocked" and one.status != "closed"]
    found: list[Reach] = []
    for row in rows:
        blocked, answered = (row[name] and row[name] / NS for name in ("blocked_ns", "answered_ns"))
        state = ApiState(row["api"], blocked, answered)
        if state.blocked:
            found.append(Reach(state.api, "blocked", reachable(state)))
        elif suspended:
            found.append(Reach(state.api, "suspended", suspended))
        elif answered:
            doubt = "; a notice says blocked, without naming the API" if unnamed else ""
            found.append(Reach(state.api, "reachable", f"{reachable(state)}{doubt}"))
        else:
            tried = "never answered" if row["used"] else "not tried: blocks do not carry over between APIs"
            found.append(Reach(state.api, "unknown", tried))
    return found


def _suspension(case: Case, known: Known, now: float) -> str | None:
    """Why our own guard refuses them, if it does."""
    ruling = [one for one in case.decisions if one.at < now]
    last = ruling[-1] if ruling else None
    if known.suspended is not None:
        listed = [form for form in (*case.forms, *case.linked) if form in known.suspended]
        return "refused by us: on the suspension list" if listed else None
    if last and last.action in ("suspend", "revoke") and last.in_force(now):
        return f"refused by us: {last.action} by {last.by}"
    return None
