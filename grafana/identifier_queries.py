"""LogQL about the one identifier that the reader of a dashboard chose."""

from __future__ import annotations

from grafana import names
from grafana.log_queries import (
    AUTO,
    MODEL,
    SAFETY,
    USER,
    by_kind,
    calls,
    count,
    decisions,
    either_flagged,
    first_output,
    flagged_categories,
    whole,
)
from grafana.names import COMPLETED, NOTABLE
from grafana.scope import Match, Scope, present
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary

CHOSEN = Match(c.USER_HASH, "=", "$identifier")


def calls_of(at: Scope, *matches: Match, streams: tuple[str, ...] = (NOTABLE, COMPLETED)) -> str:
    """Calls of the chosen identifier."""
    return whole(calls(at, CHOSEN, *matches, streams=streams))


def flagged_of(at: Scope) -> str:
    """Flagged calls of the chosen identifier, either direction."""
    return whole(either_flagged(at, CHOSEN))


def flagged_categories_of(at: Scope) -> str:
    """Flagged categories of the chosen identifier."""
    return flagged_categories(at, CHOSEN)


def kinds_of(at: Scope) -> str:
    """Calls of the chosen identifier over time, by kind."""
    return count(f"{calls(at, CHOSEN)} {by_kind()}", AUTO, "kind")


def calls_of_by(at: Scope, attribute: str) -> str:
    """Calls of the chosen identifier by one attribute."""
    return count(calls(at, CHOSEN), AUTO, names.field(attribute))


def highest_score_of(at: Scope, direction: vocabulary.Direction) -> str:
    """Highest moderation score of the chosen identifier (0 to 1)."""
    score = c.MAX_SCORE[direction]
    lines = calls(at, CHOSEN, present(score))
    return f'max(max_over_time({lines} | unwrap {names.field(score)} | __error__="" [{AUTO}]))'


def seen_of(at: Scope, which: str) -> str:
    """When the chosen identifier's first (``min``) or last (``max``) call was, in Unix milliseconds."""
    clock = '| label_format at="{{ __timestamp__ | unixEpoch }}" | unwrap at'
    return f'{which}({which}_over_time({calls(at, CHOSEN)} {clock} | __error__="" [{AUTO}])) * 1000'


def first_output_of(at: Scope) -> str:
    """Median seconds to first output of the chosen identifier, by model."""
    return first_output(at, AUTO, MODEL, CHOSEN)


def linked_with(at: Scope) -> str:
    """Identifiers that belong to the same person: the session's and, once known, the user's."""
    linked = names.field(c.IDENTIFIER_LINKED)
    lines = calls(at, present(c.IDENTIFIER_LINKED))
    return count(f'{lines} | {linked}="$identifier" or {CHOSEN}', AUTO, f"{USER}, {linked}")


def lines_of(at: Scope, *matches: Match) -> str:
    """The chosen identifier's calls as lines, newest first."""
    return calls(at, CHOSEN, *matches)


def refs_of(at: Scope) -> str:
    """The chosen identifier's calls that were not simply completed, with what support asks for."""
    return calls(at, CHOSEN, streams=SAFETY)


def notices_of(at: Scope) -> str:
    """Notices that name the chosen identifier."""
    return at.events(c.NOTICE_EVENT, CHOSEN, streams=SAFETY)


def decisions_of(at: Scope) -> str:
    """Decisions about the chosen identifier."""
    return f"{decisions(at)} | {CHOSEN}"


def reports_of(at: Scope) -> str:
    """User reports about answers given to the chosen identifier."""
    return at.events(c.USER_REPORT_EVENT, Match(c.REPORTED_HASH, "=", "$identifier"), streams=SAFETY)
