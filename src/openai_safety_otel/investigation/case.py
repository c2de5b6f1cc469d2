"""One identifier's case: who is meant, what he did, where he stands and what he still can reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from openai_safety_otel import conventions as c
from openai_safety_otel.investigation.context import Source
from openai_safety_otel.report import queries
from openai_safety_otel.report.activity import Activity, ApiState, Decision, Notice
from openai_safety_otel.report.build import NS, Known, Window, all_decisions, all_notices, build_report
from openai_safety_otel.report.ladders import reachable
from openai_safety_otel.store.blocked import BLOCKED
from openai_safety_otel.store.events import Events

SHORTEST_PREFIX: Final = 8

_FORMS = """
SELECT DISTINCT user_hash AS value FROM events WHERE starts_with(user_hash, $prefix)
UNION SELECT DISTINCT openai_safety_identifier_linked FROM events
  WHERE starts_with(openai_safety_identifier_linked, $prefix)
ORDER BY 1 LIMIT 11
"""
_LINKED = """
SELECT DISTINCT user_hash AS one, openai_safety_identifier_linked AS other FROM events
WHERE openai_safety_identifier_linked IS NOT NULL
  AND (list_contains($forms, user_hash) OR list_contains($forms, openai_safety_identifier_linked))
"""
_TIMELINE = """
SELECT * EXCLUDE (row_key) FROM events
WHERE time_ns >= $since_ns AND time_ns < $until_ns
  AND (list_contains($forms, user_hash) OR list_contains($forms, openai_safety_report_answer_user_hash))
ORDER BY time_ns
"""
_REACH = f"""
WITH mine AS (SELECT openai_safety_api AS api,
    CASE WHEN {BLOCKED} THEN max(time_ns) FILTER (openai_safety_block_type = 'identifier_blocked') END AS blocked_ns,
    max(time_ns) FILTER (openai_safety_outcome IN ('completed', 'refused')
      AND coalesce(gen_ai_operation_name, '') NOT IN ('fetch_response', 'cancel_response')) AS answered_ns
  FROM events WHERE event = 'openai_safety.call' AND list_contains($forms, user_hash) GROUP BY 1)
SELECT api, blocked_ns, answered_ns, mine.api IS NOT NULL AS used
FROM (SELECT DISTINCT openai_safety_api AS api FROM events WHERE openai_safety_api IS NOT NULL) AS every
LEFT JOIN mine USING (api) ORDER BY api
"""  # noqa: S608 - the condition is our own


class UnknownIdentifierError(LookupError):
    """No event has this identifier, or a prefix fits several; the message is one line."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether one API can still be reached; ``state`` is reachable, blocked, suspended or unknown."""

    api: str
    state: str
    text: str


@dataclass(slots=True)
class Case:
    """Everything known about one identifier. Times are Unix seconds; ``timeline`` rows are events by column."""

    identifier: str
    forms: list[str]
    linked: list[str]
    since: float
    until: float
    origin: str
    activity: Activity
    reach: list[Reach]
    timeline: list[dict[str, Any]]
    notices: list[Notice]
    decisions: list[Decision]
    sources: list[Source] = field(default_factory=list)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls of the timeline, oldest first."""
        return [row for row in self.timeline if row["event"] == c.CALL_EVENT]

    @property
    def signals(self) -> list[dict[str, Any]]:
        """The calls that were blocked by somebody else than us, or flagged."""
        return [row for row in self.calls if is_signal(row)]


def is_signal(row: dict[str, Any]) -> bool:
    """Whether a call was flagged, or blocked by the provider."""
    flagged = row["openai_safety_moderation_input_flagged"] or row["openai_safety_moderation_output_flagged"]
    return bool(flagged) or row["openai_safety_block_class"] in ("enforcement", "filter")


def resolve(events: Events, identifier: str) -> str:
    """The whole identifier of a prefix of at least eight characters; others come back as they are.

    Raises:
        UnknownIdentifierError: several identifiers begin like this.
    """
    if len(identifier) < SHORTEST_PREFIX:
        return identifier
    found = [row["value"] for row in events.rows(_FORMS, prefix=identifier)]
    if identifier in found or not found:
        return identifier
    if len(found) > 1:
        shown = ", ".join(one[:16] for one in found[:5])
        raise UnknownIdentifierError(f"several identifiers begin with {identifier}: {shown}, …")
    return str(found[0])


def open_case(events: Events, forms: Iterable[str], window: Window, known: Known | None = None) -> Case:
    """Put one identifier's case together.

    Args:
        events: what is stored.
        forms: the identifier first, then its other forms (under retired keys).
        window: the time the timeline covers.
        known: notices, decisions and suspensions from elsewhere.

    Raises:
        UnknownIdentifierError: nothing is known of any of its forms.
    """
    known = known or Known()
    mine = list(dict.fromkeys(forms))
    linked = sorted(linked_forms(events, mine) - set(mine))
    bound = {**window.bound, "forms": mine + linked}
    timeline = events.rows(_TIMELINE, **bound)
    report = build_report(events, window, known)
    activity = next((one for one in report.activities if one.identifier == mine[0]), Activity(mine[0]))
    decisions = all_decisions(events.rows(queries.DECISIONS, **bound), known.decisions)
    case = Case(
        identifier=mine[0],
        forms=mine,
        linked=linked,
        since=window.since,
        until=window.until,
        origin=events.origin,
        activity=activity,
        reach=[],
        timeline=timeline,
        notices=_about(mine + linked, all_notices(events.rows(queries.NOTICES, **bound), known.notices)),
        decisions=_about(mine + linked, decisions),
    )
    if not (timeline or case.notices or case.decisions):
        raise UnknownIdentifierError(
            f"nothing is known of {mine[0][:64]} in this time; try --since 400d, other --files, or whois"
        )
    case.reach = _reach(events.rows(_REACH, **bound), case, known, window.until)
    return case


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
    """Why our own guard refuses him, if it does."""
    ruling = [one for one in case.decisions if one.at < now]
    last = ruling[-1] if ruling else None
    if known.suspended is not None:
        listed = [form for form in (*case.forms, *case.linked) if form in known.suspended]
        return "refused by us: on the suspension list" if listed else None
    if last and last.action in ("suspend", "revoke") and last.in_force(now):
        return f"refused by us: {last.action} by {last.by}"
    return None
