"""The questions about one identifier, in SQL: those that find them, and those on theirs (``theirs``, ``mine``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.operations.store.blocked import BLOCKED
from openai_safety_otel.operations.store.questions import ANSWERED
from openai_safety_otel.operations.store.schema import COLUMNS, column_name, quoted

_CALL: Final = f"event = '{c.CALL_EVENT}'"
# What `--only` may name, and the events it means.
KINDS: Final = {
    "blocked": f"({_CALL} AND (openai_safety_block_class IS NOT NULL OR openai_safety_outcome = 'blocked'))",
    "flagged": f"({_CALL} AND flagged)",
    "notice": f"event = '{c.NOTICE_EVENT}'",
    "decision": f"event = '{c.DECISION_EVENT}'",
    "report": f"event = '{c.USER_REPORT_EVENT}'",
    "refused": f"({_CALL} AND openai_safety_outcome = 'refused')",
    "failed": f"({_CALL} AND openai_safety_outcome = 'failed')",
    "completed": f"({_CALL} AND openai_safety_outcome = 'completed')",
}
# Blocked by somebody else than us, or flagged.
SIGNAL: Final = (
    f"({_CALL} AND (coalesce(openai_safety_block_class IN ('enforcement', 'filter'), false) OR flagged))"
)


_REPORTED: Final = column_name(c.REPORTED_HASH)


def theirs(identifiers: Iterable[str]) -> str:
    """Every event of these identifiers, looked up once: the table of which the questions below are asked."""
    return (
        f"CREATE OR REPLACE TEMP TABLE theirs AS SELECT * FROM events "  # noqa: S608 - quoted
        f"WHERE user_hash IN ({_listed(identifiers)})"
    )


def mine(identifiers: Iterable[str], window: Mapping[str, Any]) -> tuple[str, str]:
    """The events of these identifiers in a time, as the view ``mine``; others' reports about them are looked up.

    Args:
        identifiers: whose they are, or whom a report is about.
        window: ``since_ns``, ``until_ns`` and their days.
    """
    forms = _listed(identifiers)
    columns = ", ".join(column.name for column in COLUMNS)
    rows = f"SELECT {columns}, flagged, day"
    when = (
        f"day >= '{window['since_day']}' AND day <= '{window['until_day']}' "
        f"AND time_ns >= {window['since_ns']} AND time_ns < {window['until_ns']}"
    )
    reports = (
        f"stream = 'notable' AND event = '{c.USER_REPORT_EVENT}' AND {_REPORTED} IN ({forms}) "
        f"AND coalesce(user_hash NOT IN ({forms}), true)"
    )
    return (
        f"CREATE OR REPLACE TEMP TABLE reports AS {rows} FROM events WHERE {when} AND {reports}",
        f"CREATE OR REPLACE TEMP VIEW mine AS {rows} FROM theirs WHERE {when} UNION ALL {rows} FROM reports",
    )


def linked(identifiers: Iterable[str]) -> str:
    """What events link with these: two parts, each by one column, whose statistics say where not to look."""
    forms = _listed(identifiers)
    found = f"SELECT DISTINCT user_hash AS one, {_LINKED} AS other FROM events WHERE {_LINKED} IS NOT NULL"  # noqa: S608
    return f"{found} AND user_hash IN ({forms}) UNION ALL {found} AND {_LINKED} IN ({forms})"


def _listed(identifiers: Iterable[str]) -> str:
    return ", ".join(map(quoted, identifiers))


_LINKED: Final = column_name(c.IDENTIFIER_LINKED)
# The sessions of these people, and whether nobody else used them.
SESSIONS: Final = """
SELECT openai_safety_identifier_linked AS session, bool_and(list_contains($forms, user_hash)) AS alone
FROM events WHERE openai_safety_identifier_linked IS NOT NULL AND user_hash IS NOT NULL
  AND NOT list_contains($forms, openai_safety_identifier_linked)
GROUP BY 1 HAVING bool_or(list_contains($forms, user_hash))
"""
BEGINNING_WITH: Final = " UNION ALL ".join(
    f"SELECT DISTINCT {name} AS value FROM events WHERE starts_with(lower({name}), lower($beginning))"  # noqa: S608
    for name in map(column_name, (c.USER_HASH, c.IDENTIFIER_LINKED, c.REPORTED_HASH))
)
APIS: Final = "SELECT DISTINCT openai_safety_api AS api FROM events WHERE openai_safety_api IS NOT NULL"


# When they were last blocked and answered, by API.
REACH: Final = f"""
SELECT coalesce(openai_safety_api, '') AS api, {BLOCKED} AS is_blocked,
  max(time_ns) FILTER (WHERE openai_safety_block_type = 'identifier_blocked') AS blocked_ns,
  max(time_ns) FILTER (WHERE {ANSWERED}) AS answered_ns
FROM theirs WHERE {_CALL} GROUP BY 1
"""  # noqa: S608


# Everybody's calls by how their identifier went.
DELIVERED_BY: Final = tuple(map(column_name, (c.IDENTIFIER_SOURCE, c.IDENTIFIER_DELIVERY, c.ENDPOINT)))
DELIVERED: Final = f"""
SELECT {", ".join(f"coalesce({name}, '') AS {name}" for name in DELIVERED_BY)}, count(*) AS calls FROM events
WHERE {_CALL} AND day >= $since_day AND day <= $until_day AND time_ns >= $since_ns AND time_ns < $until_ns GROUP BY ALL
"""  # noqa: S608
SUMS: Final = f"""
SELECT day, coalesce(openai_safety_api, '') AS api, coalesce(openai_safety_outcome, '') AS outcome,
  count(*) AS calls, count(*) FILTER (WHERE flagged) AS flagged
FROM mine WHERE {_CALL} GROUP BY 1, 2, 3 ORDER BY day DESC, api, outcome
"""  # noqa: S608
CASE_TOTALS: Final = f"""
SELECT count(*) AS events, count(*) FILTER (WHERE {SIGNAL}) AS signals,
  max(time_ns) FILTER (WHERE {SIGNAL}) AS last_signal_ns,
  count(*) FILTER (WHERE event = '{c.EVIDENCE_EVENT}') AS evidence FROM mine
"""  # noqa: S608
BEGINS: Final = """
SELECT DISTINCT time_ns FROM (SELECT time_ns, row_number() OVER (ORDER BY time_ns) AS place FROM mine) AS numbered
WHERE place % $slice = 1 ORDER BY time_ns
"""
IDS: Final = f"""
SELECT trace_id, gen_ai_response_id, openai_safety_provider_request_id FROM mine WHERE {_CALL}
ORDER BY {SIGNAL} DESC, time_ns DESC LIMIT $most
"""  # noqa: S608
SIGNALS: Final = f"SELECT * FROM mine WHERE {SIGNAL} ORDER BY time_ns DESC LIMIT $most"  # noqa: S608
_FLAGGED_FOR: Final = ", ".join(f"coalesce({column_name(c.FLAGGED_CATEGORIES[d])}, [])" for d in c.DIRECTIONS)
# Calls up to the decision and after the one before it, by what stopped them and how that is known.
RULES: Final = f"""
SELECT coalesce({column_name(c.BLOCK_TYPE)}, 'flagged by moderation') AS rule,
  {column_name(c.BLOCK_CLASS)} AS class, {column_name(c.BLOCK_SOURCE)} AS source,
  {column_name(c.BLOCK_CERTAINTY)} AS known_by, {column_name(c.BLOCK_CODE)} AS code,
  list_sort(list_distinct(flatten(array_agg(
    list_concat(coalesce({column_name(c.BLOCK_CATEGORIES)}, []), {_FLAGGED_FOR}))))) AS categories,
  count(*) AS requests, min(time_ns) / 1e9 AS first, max(time_ns) / 1e9 AS last
FROM mine WHERE {SIGNAL} AND time_ns > $after AND time_ns <= $before GROUP BY ALL ORDER BY first, rule
"""  # noqa: S608 - names of our own contract


def near(side: int) -> str:
    """The newest calls with an id among the ``side`` ones before and after a block or flag."""
    return f"""
SELECT time_ns, openai_safety_api, gen_ai_response_id FROM (
  SELECT time_ns, openai_safety_api, gen_ai_response_id, sum(CASE WHEN {SIGNAL} THEN 1 ELSE 0 END)
    OVER (ORDER BY time_ns ROWS BETWEEN {side} PRECEDING AND {side} FOLLOWING) AS signals
  FROM mine WHERE {_CALL}) AS calls
WHERE signals > 0 AND gen_ai_response_id IS NOT NULL AND list_contains($apis, openai_safety_api)
ORDER BY time_ns DESC LIMIT $most
"""  # noqa: S608


def any_of(kinds: Iterable[str]) -> str:
    """The condition for events of these kinds; of all where none is given."""
    return " OR ".join(KINDS[kind] for kind in kinds) or "true"


def count_of(kinds: Iterable[str]) -> str:
    """How many events of these kinds there are."""
    return f"SELECT count(*) AS n FROM mine WHERE {any_of(kinds)}"  # noqa: S608


def newest_of(kinds: Iterable[str]) -> str:
    """The newest events of these kinds."""
    return f"SELECT * FROM mine WHERE {any_of(kinds)} ORDER BY time_ns DESC LIMIT $most"  # noqa: S608


def between(kinds: Iterable[str]) -> str:
    """The events of these kinds in a part of the time, oldest first."""
    return f"SELECT * FROM mine WHERE ({any_of(kinds)}) AND time_ns >= $begin AND time_ns < $end ORDER BY time_ns"  # noqa: S608
