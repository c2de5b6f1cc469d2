"""The alerts on events: what only single identifiers and keys can tell, and first occurrences once more."""

from __future__ import annotations

from typing import Final

from grafana import log_queries as q
from grafana.alert_queries import AT_LEAST
from grafana.alert_rows import NOTICES as NOTICE_TYPES
from grafana.alert_rows import PLACE, Alert
from grafana.scope import ALERT, DRILL

NOTICES: Final = (
    Alert(
        "IdentifierBlockedEvent",
        "page",
        f"{q.blocked_identifiers(ALERT, '10m')} > 0",
        "0s",
        "OpenAI blocks an end user's identifier (from the event).",
        "Identifier {{ $labels.user_hash }} of " + PLACE + " was answered identifier_blocked "
        '{{ $value | printf "%.0f" }} times within 10 minutes.',
        "any call with block type `identifier_blocked` in 10 min, by identifier",
    ),
    Alert(
        "SafetyNoticeEvent",
        "page",
        f"{q.notices_received(ALERT, '10m', *NOTICE_TYPES)} > 0",
        "0s",
        "OpenAI sent a safety notice.",
        "Notice {{ $labels.openai_safety_notice_id }} ({{ $labels.openai_safety_notice_type }}) reached "
        + PLACE
        + "{{ with $labels.user_hash }} about identifier {{ . }}{{ end }}.",
        "any notice of a block, warning or deactivation in 10 min, by case",
    ),
    Alert(
        "MisalignmentAlertEvent",
        "page",
        f"{q.notices_received(ALERT, '10m', 'alert', 'org_alert')} > 0",
        "0s",
        "OpenAI raised a misalignment alert (from the event).",
        "Alert {{ $labels.openai_safety_notice_id }} reached " + PLACE + "{{ with $labels.user_hash }} about "
        "identifier {{ . }}{{ end }}.",
        "any notice of type `alert` or `org_alert` in 10 min, by case",
    ),
    Alert(
        "SafetyDrillEvent",
        "none",
        f"{q.notices_received(DRILL, '10m', 'warning', 'deactivation', 'identifier_blocked', 'alert')} > 0",
        "0s",
        "A drill notice came through (from the event).",
        "The drill notice ({{ $labels.openai_safety_notice_type }}) sent to "
        + PLACE
        + " reached the log rules.",
        "any notice event with traffic `drill` in 10 min",
    ),
)

RETRIES: Final = (
    Alert(
        "PolicyBlockRetried",
        "ticket",
        q.retried_blocks(ALERT, 3),
        "0s",
        "A blocked prompt is retried: one prompt becomes several strikes.",
        "Identifier {{ $labels.user_hash }} of "
        + PLACE
        + ' got {{ $value | printf "%.0f" }} enforcement blocks '
        "({{ $labels.openai_safety_block_code }}) within a minute.",
        "3 enforcement blocks of one identifier and code within 60 s",
    ),
)

PEOPLE: Final = (
    Alert(
        "PossibleHold",
        "ticket",
        q.possible_holds(ALERT, "1h"),
        "0s",
        "An identifier waits far longer for its first output than others.",
        "Streams of identifier {{ $labels.user_hash }} of "
        + PLACE
        + " on {{ $labels.gen_ai_request_model }} take "
        '{{ $value | printf "%.1f" }} s (median) to their first output.',
        "median time to first output over ≥ 5 streams in 1 h over 3 times the model's median and 5 s",
    ),
    Alert(
        "ApiKeyBlockShareUnusual",
        "ticket",
        q.unusual_api_keys(ALERT, "1h", AT_LEAST),
        "0s",
        "An API key has an unusual share of blocked calls.",
        "{{ $value | humanizePercentage }} of the calls of API key {{ $labels.openai_safety_api_key_id }} of "
        + PLACE
        + " were blocked by enforcement in the last hour, over three times the share of its other keys.",
        "blocked share of a key in 1 h over 3 times that of the service's other keys, at least 20 blocks",
    ),
)

SESSIONS: Final = (
    Alert(
        "SessionIdentifiersSeenOnce",
        "ticket",
        f"{q.sessions_seen_once(ALERT, '24h', AT_LEAST)} > 0.2",
        "0s",
        "Many session identifiers are used for one call only.",
        "{{ $value | humanizePercentage }} of the session identifiers of "
        + PLACE
        + " made a single call within a "
        "day: sessions are not kept, and nobody can be told apart.",
        "session identifiers with one call / all session identifiers over 20 % in a day, at least 20",
    ),
)

# Group, seconds between evaluations, rows. The scans differ: the first two read the small notable stream.
LOG_GROUPS: Final = {
    "openai-safety-events": ("1m", NOTICES),
    "openai-safety-retries": ("1m", RETRIES),
    "openai-safety-people": ("5m", PEOPLE),
    "openai-safety-sessions": ("1h", SESSIONS),
}
LOG_ALERTS: Final = tuple(alert for _, group in LOG_GROUPS.values() for alert in group)
