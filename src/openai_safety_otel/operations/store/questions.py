"""Every question of report, queue and case, in SQL over the view ``events``; ``$since_ns`` and the like are bound.

DuckDB and ClickHouse answer the same text, but for what ``clickhouse.py`` beside it replaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.operations.store.blocked import BLOCKED
from openai_safety_otel.operations.store.schema import column_name, quoted

_PAIRS = {
    category: tuple(column_name(c.SCORES[direction][category]) for direction in c.DIRECTIONS)
    for category in vocabulary.CATEGORIES
}
# DuckDB's greatest() passes over NULL.
_HIGHEST = ", ".join(
    f'max(greatest({first}, {second})) AS "{category}"' for category, (first, second) in _PAIRS.items()
)

_CALLS: Final = f"""
SELECT *,
  coalesce(user_hash, '') AS identifier,
  coalesce(openai_safety_block_class = 'enforcement', false) AS enforced,
  coalesce(openai_safety_traffic, 'production') AS kind_of_traffic,
  coalesce(gen_ai_response_model, gen_ai_request_model) AS model
FROM {{}} WHERE event = '{c.CALL_EVENT}'
"""  # noqa: S608 - built from the contract's own names


def calls_views(only: str | None) -> tuple[str, str]:
    """The views of everybody's calls and of those asked for: one identifier's in the table ``theirs``, or all again."""
    found = f"{_CALLS.format('theirs')} AND user_hash = {quoted(only)}" if only else "SELECT * FROM all_calls"
    return (
        f"CREATE OR REPLACE TEMP VIEW all_calls AS {_CALLS.format('events')}",
        f"CREATE OR REPLACE TEMP VIEW every_call AS {found}",
    )


# A day is the name of a folder: those outside are not opened.
_IN_WINDOW = (
    "day >= $since_day AND day <= $until_day AND "
    "time_ns >= $since_ns AND time_ns < $until_ns AND ($traffic = 'all' OR kind_of_traffic = $traffic)"
)
_RECENT = (
    "day >= $recent_day AND day <= $until_day AND "
    "time_ns >= $recent_ns AND time_ns < $until_ns AND ($traffic = 'all' OR kind_of_traffic = $traffic)"
)
_EVER = "time_ns < $until_ns AND ($traffic = 'all' OR kind_of_traffic = $traffic)"

PER_IDENTIFIER: Final = f"""
SELECT identifier, count(*) AS calls,
  count(*) FILTER (WHERE flagged) AS flagged,
  min(time_ns) AS first_ns, max(time_ns) AS last_ns,
  {_HIGHEST}
FROM every_call WHERE {_IN_WINDOW} GROUP BY identifier
"""  # noqa: S608 - built from the contract's own names

# What each identifier was seen with; lists of distinct values in the question above take ten times as long.
USED: Final = f"""
SELECT DISTINCT identifier, openai_safety_api AS apis, model AS models, openai_safety_api_key_id AS keys,
  openai_safety_identifier_linked AS linked
FROM every_call WHERE {_IN_WINDOW}
"""  # noqa: S608

OUTCOMES: Final = f"""
SELECT identifier, openai_safety_outcome AS outcome, count(*) AS n
FROM every_call WHERE {_IN_WINDOW} AND openai_safety_outcome IS NOT NULL GROUP BY ALL
"""  # noqa: S608

BLOCKS: Final = f"""
SELECT identifier, openai_safety_block_type AS type, count(*) AS n
FROM every_call WHERE {_IN_WINDOW} AND openai_safety_block_type IS NOT NULL GROUP BY ALL
"""  # noqa: S608

FLAGS: Final = f"""
SELECT identifier, category, count(*) AS n
FROM (SELECT identifier, unnest(categories) AS category FROM every_call WHERE {_IN_WINDOW} AND flagged) AS each
GROUP BY ALL
"""  # noqa: S608

# What the ladder reads: the last seven days, whatever the report's window is.
RECENT: Final = f"""
SELECT identifier, count(*) FILTER (WHERE flagged) AS flagged,
  count(DISTINCT day) FILTER (WHERE enforced) AS days, count(*) FILTER (WHERE enforced) AS blocks,
  max(time_ns) FILTER (WHERE flagged OR enforced) AS signal_ns
FROM every_call WHERE {_RECENT} AND identifier <> '' AND (flagged OR enforced)
GROUP BY identifier
"""  # noqa: S608

# Blocks of an identifier are for good and by API: read from everything that is stored.
BLOCKED_IN: Final = f"""
SELECT identifier, coalesce(openai_safety_api, '') AS api, max(time_ns) AS blocked_ns FROM every_call
WHERE {_EVER} AND stream = 'notable' AND identifier <> '' AND openai_safety_block_type = 'identifier_blocked'
GROUP BY 1, 2 HAVING {BLOCKED} ORDER BY 1, 2
"""  # noqa: S608
ANSWERED: Final = """openai_safety_outcome IN ('completed', 'refused')
  AND coalesce(gen_ai_operation_name, '') NOT IN ('fetch_response', 'cancel_response')"""


def answered_in(identifiers: Iterable[str]) -> str:
    """When these identifiers were last answered, by API."""
    return f"""
SELECT identifier, coalesce(openai_safety_api, '') AS api, max(time_ns) AS answered_ns FROM every_call
WHERE {_EVER} AND user_hash IN ({", ".join(map(quoted, identifiers))}) AND {ANSWERED} GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608


# The organisation's own loss of access, as the wire says it, and whether anybody was answered since.
ACCESS_LOST: Final = f"""
SELECT max(time_ns) AS lost_ns, max_by(openai_safety_block_type, time_ns) AS type FROM every_call
WHERE {_EVER} AND stream = 'notable' AND openai_safety_block_class = 'organization'
"""  # noqa: S608
ANSWERED_SINCE: Final = f"""
SELECT count(*) AS n FROM every_call
WHERE {_EVER} AND time_ns > $lost_ns AND openai_safety_outcome IN ('completed', 'refused')
"""  # noqa: S608

# Over streams with a time to first output only; a model's median is over everybody's.
HOLDS: Final = f"""
WITH streams AS (
  SELECT identifier, gen_ai_request_model AS model, openai_safety_time_to_first_output AS seconds
  FROM every_call WHERE {_RECENT} AND openai_safety_time_to_first_output IS NOT NULL),
usual AS (
  SELECT gen_ai_request_model AS model, median(openai_safety_time_to_first_output) AS usual
  FROM all_calls WHERE {_RECENT} AND openai_safety_time_to_first_output IS NOT NULL GROUP BY ALL)
SELECT identifier, model, median(seconds) AS median, any_value(usual) AS usual, count(*) AS streams
FROM streams JOIN usual USING (model) WHERE identifier <> '' GROUP BY identifier, model
HAVING count(*) >= $hold_streams AND median(seconds) > $hold_times * any_value(usual)
  AND median(seconds) > $hold_seconds
ORDER BY identifier, model
"""  # noqa: S608

TIMELINE: Final = f"""
SELECT day, kind, count(*) AS n FROM (
  SELECT day, openai_safety_block_type AS kind FROM every_call
    WHERE {_IN_WINDOW} AND openai_safety_block_type IS NOT NULL
  UNION ALL SELECT day, 'flagged' FROM every_call WHERE {_IN_WINDOW} AND flagged
  UNION ALL SELECT day, 'refused' FROM every_call WHERE {_IN_WINDOW} AND openai_safety_outcome = 'refused')
GROUP BY ALL ORDER BY day, kind
"""  # noqa: S608

# For the drill-down: signals of each identifier that has any, by day.
DAILY: Final = f"""
SELECT identifier, day, count(*) FILTER (WHERE enforced) AS enforcement,
  count(*) FILTER (WHERE openai_safety_block_class = 'filter') AS filter,
  count(*) FILTER (WHERE openai_safety_block_class = 'local') AS local, count(*) FILTER (WHERE flagged) AS flagged
FROM every_call WHERE {_IN_WINDOW} AND (flagged OR openai_safety_block_class IN ('enforcement', 'filter', 'local'))
GROUP BY ALL ORDER BY identifier, day
"""  # noqa: S608

_FLAGGED_DAYS = ", ".join(
    f"count(*) FILTER (WHERE list_contains(categories, '{category}')) AS \"{category} flagged\""
    for category in _PAIRS
)
CATEGORY_DAYS: Final = f"""
SELECT day, {_HIGHEST}, {_FLAGGED_DAYS} FROM every_call WHERE {_IN_WINDOW} GROUP BY day ORDER BY day
"""  # noqa: S608

TOTALS: Final = f"""
SELECT count(*) AS calls, count(DISTINCT nullif(identifier, '')) AS identifiers,
  count(*) FILTER (WHERE identifier = '') AS without_identifier, count(*) FILTER (WHERE flagged) AS flagged,
  count(*) FILTER (WHERE counts AND openai_safety_identifier_delivery = 'sent') AS sent,
  count(*) FILTER (WHERE counts AND openai_safety_identifier_delivery IN {vocabulary.COVERED_DELIVERIES}) AS coverable,
  count(*) FILTER (WHERE openai_safety_identifier_source = 'library') AS of_library
FROM (SELECT *, NOT list_contains($looks, coalesce(openai_safety_endpoint, ''))
    AND coalesce(openai_safety_identifier_source, '') NOT IN {vocabulary.UNCOVERED_SOURCES} AS counts
  FROM every_call WHERE {_IN_WINDOW})
"""  # noqa: S608

DELIVERY: Final = f"""
SELECT openai_safety_identifier_delivery AS delivery, openai_safety_identifier_source AS source, count(*) AS n
FROM every_call WHERE {_IN_WINDOW} GROUP BY ALL
"""  # noqa: S608

NOTICES: Final = """
SELECT coalesce(openai_safety_notice_id, '') AS id, coalesce(openai_safety_notice_type, 'unknown') AS type,
  time_ns, user_hash AS identifier, openai_safety_notice_reason AS reason,
  openai_safety_notice_category AS category, openai_safety_notice_status AS status,
  openai_safety_notice_deadline_at AS deadline_at, openai_safety_provider_request_id AS request_id,
  openai_safety_notice_subject AS subject, openai_safety_notice_received_at AS received_at, event
FROM events WHERE stream <> 'completed' AND time_ns < $until_ns AND (event = 'openai_safety.notice'
    OR (event = 'openai_safety.decision' AND openai_safety_notice_status = 'closed'))
  AND (coalesce(openai_safety_traffic, 'production') = $traffic
    OR ($traffic = 'all' AND openai_safety_traffic IS DISTINCT FROM 'drill'))
ORDER BY time_ns
"""

DECISIONS: Final = """
SELECT user_hash AS identifier, openai_safety_decision_action AS action, openai_safety_decision_by AS by,
  openai_safety_decision_why AS why, openai_safety_decision_until AS until,
  coalesce(openai_safety_decision_automatic, false) AS automatic, time_ns
FROM events WHERE stream = 'decision' AND event = 'openai_safety.decision'
  AND user_hash IS NOT NULL AND time_ns < $until_ns
  AND openai_safety_decision_action IN ('watch', 'filter', 'suspend', 'revoke', 'clear')
ORDER BY time_ns
"""

# The journal's hash chain as the events carry it.
CHAIN_HEADS: Final = f"""
SELECT time_ns, {column_name(c.DECISION_CHAIN)} AS head, {column_name(c.DECISION_ACTION)} AS action,
  {column_name(c.DECISION_BY)} AS by
FROM events WHERE stream = 'decision' AND event = '{c.DECISION_EVENT}' AND {column_name(c.DECISION_CHAIN)} IS NOT NULL
ORDER BY time_ns
"""  # noqa: S608

# Comparisons with the provider's own count, the last of each day, the newest first; of one, what did not match.
_COUNTS: Final = """openai_safety_reconcile_provider AS provider, openai_safety_reconcile_ours AS ours,
  openai_safety_reconcile_dark AS dark"""
COMPARISONS: Final = f"""
SELECT time_ns, openai_safety_reconcile_since AS since, openai_safety_reconcile_until AS until, {_COUNTS},
  openai_safety_reconcile_share AS share
FROM events WHERE stream = 'notable' AND event = '{c.RECONCILIATION_EVENT}' AND time_ns IN (
  SELECT max(time_ns) FROM events WHERE stream = 'notable' AND event = '{c.RECONCILIATION_EVENT}'
    AND day >= $since_day AND day <= $until_day AND time_ns >= $since_ns AND time_ns < $until_ns GROUP BY day)
ORDER BY time_ns DESC
"""  # noqa: S608
SOURCES: Final = f"""
SELECT openai_safety_reconcile_ledger AS ledger, coalesce(openai_safety_reconcile_project, '') AS project,
  coalesce(openai_safety_reconcile_key, '') AS key, coalesce(gen_ai_request_model, '') AS model, {_COUNTS},
  openai_safety_reconcile_verdict AS verdict, coalesce(openai_safety_reconcile_why, '') AS why,
  coalesce(openai_safety_reconcile_batch, false) AS batch
FROM events WHERE event IN ('{c.DARK_EVENT}', '{c.UNMATCHED_EVENT}') AND time_ns > $at AND time_ns <= $at + 1000000
ORDER BY time_ns
"""  # noqa: S608

# What a report can be by, besides the identifier: its key expression over calls.
GROUP_KEYS: Final = {
    "api": "coalesce(openai_safety_api, '')",
    "model": "coalesce(model, '')",
    "key": "coalesce(openai_safety_api_key_id, '')",
    "day": "day",
}
_TOP = ", ".join(name for pair in _PAIRS.values() for name in pair)


def group_query(by: str) -> str:
    """Calls by one key of ``GROUP_KEYS``."""
    return f"""
SELECT {GROUP_KEYS[by]} AS key, count(*) AS calls, count(DISTINCT nullif(identifier, '')) AS identifiers,
  count(*) FILTER (WHERE flagged) AS flagged, count(*) FILTER (WHERE openai_safety_outcome = 'refused') AS refused,
  count(*) FILTER (WHERE openai_safety_outcome = 'failed') AS failed, count(*) FILTER (WHERE enforced) AS enforcement,
  max(greatest({_TOP})) AS highest, min(time_ns) AS first_ns, max(time_ns) AS last_ns
FROM every_call WHERE {_IN_WINDOW} GROUP BY 1 ORDER BY 1
"""  # noqa: S608


def group_blocks_query(by: str) -> str:
    """Blocks by type and one key of ``GROUP_KEYS``."""
    return f"""
SELECT {GROUP_KEYS[by]} AS key, openai_safety_block_type AS type, count(*) AS n
FROM every_call WHERE {_IN_WINDOW} AND openai_safety_block_type IS NOT NULL GROUP BY ALL
"""  # noqa: S608


CATEGORY_GROUPS: Final = f"""
SELECT category AS key, count(*) AS calls, count(DISTINCT nullif(identifier, '')) AS identifiers,
  count(*) AS flagged, count(*) FILTER (WHERE openai_safety_outcome = 'refused') AS refused,
  count(*) FILTER (WHERE openai_safety_outcome = 'failed') AS failed, count(*) FILTER (WHERE enforced) AS enforcement,
  min(time_ns) AS first_ns, max(time_ns) AS last_ns
FROM (SELECT *, unnest(categories) AS category FROM every_call WHERE {_IN_WINDOW} AND flagged)
GROUP BY 1 ORDER BY 1
"""  # noqa: S608

CATEGORY_BLOCKS: Final = f"""
SELECT category AS key, openai_safety_block_type AS type, count(*) AS n
FROM (SELECT *, unnest(categories) AS category FROM every_call WHERE {_IN_WINDOW} AND flagged)
WHERE openai_safety_block_type IS NOT NULL GROUP BY ALL
"""  # noqa: S608

CATEGORY_HIGHEST: Final = f"SELECT {_HIGHEST} FROM every_call WHERE {_IN_WINDOW}"  # noqa: S608


# Only what the provider or its moderation said, and only about real traffic; our own refusals are decisions.
WAITING: Final = f"""
SELECT user_hash AS identifier,
  count(*) FILTER (WHERE openai_safety_block_class = 'enforcement') AS enforcement_blocks,
  count(*) FILTER (WHERE openai_safety_block_class = 'filter') AS filter_blocks,
  count(*) FILTER (WHERE flagged) AS flagged,
  {BLOCKED} AS blocked_by_provider,
  max(greatest(coalesce(openai_safety_moderation_input_max_score, 0),
    coalesce(openai_safety_moderation_output_max_score, 0))) AS highest_score,
  max(time_ns) / 1000000000 AS last_seen,
  max(time_ns) FILTER (WHERE openai_safety_block_class = 'enforcement') / 1000000000 AS last_enforcement
FROM events
WHERE event = '{c.CALL_EVENT}' AND stream <> 'completed' AND day >= $since_day AND time_ns >= $since
  AND user_hash IS NOT NULL
  AND coalesce(openai_safety_traffic, 'production') = 'production'
  AND (openai_safety_block_class IN ('enforcement', 'filter') OR flagged)
GROUP BY 1
"""  # noqa: S608
