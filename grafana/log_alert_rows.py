"""The alerts on events: what only single identifiers and keys can tell, and first occurrences once more."""

from __future__ import annotations

from typing import Final, get_args

from grafana import log_queries as q
from grafana import names
from grafana.alert import PLACE, TIMES, WHO, WHOSE, Alert
from grafana.alert_queries import AT_LEAST, MISALIGNED, NOTICE_TYPES
from grafana.metric_queries import RECENT
from grafana.scope import ALERT, DRILL
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary

_SINCE = f"in the last {RECENT.removesuffix('h')} hours"
# What mutes must end last, or what it muted is told when all is over. The receiver's metrics say within two minutes
# that a case is closed, three where an export failed; counters may count a block an hour after its event.
CLOSED: Final = "5m"
DUE_CLOSED: Final = "7m"
BLOCKED_SINCE: Final = "5h"
_BLOCKED_SINCE = f"in the last {BLOCKED_SINCE.removesuffix('h')} hours"
# A block known by words alone (a message, or a parameter with a phrase) may be a mistake of ours: a person looks.
BY_WORDING: Final[tuple[vocabulary.BlockCertainty, ...]] = ("param", "text")
SURE: Final = tuple(one for one in get_args(vocabulary.BlockCertainty) if one not in BY_WORDING)

_CASE = f"{{{{ $labels.{names.field(c.NOTICE_ID)} }}}}"
_CLOSING = f"`openai-safety notice close {_CASE} --by YOU --why TEXT`"
_KIND = f"{{{{ $labels.{names.field(c.NOTICE_TYPE)} }}}}"
_ABOUT = f"{{{{ if $labels.{names.field(c.USER_HASH)} }}}} about identifier {WHO}{{{{ end }}}}"
_DATED = (
    f'{{{{ if ne $labels.{names.field(c.NOTICE_TYPE)} "deactivation" }}}}'
    f"{{{{ with $labels.{names.field(c.NOTICE_DEADLINE)} }}}}, to be answered by {{{{ humanizeTimestamp . }}}}"
    "{{ end }}{{ end }}"
)

NOTICES: Final = (
    Alert(
        "IdentifierBlockedEvent",
        "page",
        f"{q.blocked_identifiers(ALERT, BLOCKED_SINCE, *SURE)} > 0",
        "0s",
        "OpenAI blocks an end user's identifier (from the event).",
        f"Identifier {WHO} of {PLACE} was answered identifier_blocked {TIMES} times {_BLOCKED_SINCE}.",
        f"any call with block type `identifier_blocked` by code, type or shape {_BLOCKED_SINCE}, by identifier",
        happening="identifier_block",
    ),
    Alert(
        "IdentifierBlockedByWording",
        "page",
        f"{q.blocked_identifiers(ALERT, BLOCKED_SINCE, *BY_WORDING)} > 0",
        "0s",
        "An answer reads as if OpenAI blocked an end user's identifier: by wording, please look.",
        f"Identifier {WHO} of {PLACE} got {TIMES} answers {_BLOCKED_SINCE} that say by their wording alone that it is "
        "blocked. Nothing was suspended for it: please look.",
        f"the same, known by the wording alone, {_BLOCKED_SINCE}, by identifier",
        happening="identifier_block",
    ),
    Alert(
        "SafetyNoticeEvent",
        "page",
        q.open_notices(ALERT, *NOTICE_TYPES, kept=CLOSED),
        "0s",
        "A safety notice from OpenAI is open.",
        f"Notice {_CASE} ({_KIND}) reached {PLACE}{WHOSE}{_ABOUT}{_DATED}. It stays open until {_CLOSING}.",
        "any notice of a block, warning or deactivation in 15 days that nobody has closed, by case",
        severity="warning",
        happening="notice",
    ),
    Alert(
        "MisalignmentAlertEvent",
        "page",
        q.open_notices(ALERT, *MISALIGNED, kept=CLOSED),
        "0s",
        "OpenAI raised a misalignment alert (from the event).",
        f"Alert {_CASE} reached {PLACE}{_ABOUT}. It stays open until {_CLOSING}.",
        "any notice of type `alert` or `org_alert` in 15 days that nobody has closed, by case",
        severity="warning",
        happening="misalignment",
    ),
    Alert(
        "SafetyDrillEvent",
        "drill",
        q.open_notices(DRILL, *NOTICE_TYPES, *MISALIGNED, kept=CLOSED),
        "0s",
        "A drill notice came through (from the event).",
        f"The drill notice {_CASE} ({_KIND}) sent to {PLACE}{_ABOUT} reached the log rules{_DATED}. It ends with "
        f"{_CLOSING}.",
        "any notice event with traffic `drill` in 15 days that nobody has closed, by case",
        happening="drill",
    ),
)

DEADLINES: Final = (
    Alert(
        "SafetyNoticeDueSoonEvent",
        "page",
        q.notices_due(
            ALERT, 86_400, *(one for one in NOTICE_TYPES if one != "deactivation"), kept=DUE_CLOSED
        ),
        "0s",
        "A notice from OpenAI must be answered within 24 hours (from the event).",
        f"Notice {_CASE} ({_KIND}), received by {PLACE}{WHOSE}{_ABOUT}, "
        "{{ if gt $value 0.0 }}has {{ humanizeDuration $value }} left{{ else }}is overdue{{ end }}. It stays open "
        f"until {_CLOSING}.",
        "an open notice's deadline is under 24 h away, or past, by case: also one entered from a mail",
        happening="notice",
    ),
)

RETRIES: Final = (
    Alert(
        "PolicyBlockRetried",
        "ticket",
        q.retried_blocks(ALERT, RECENT, 3),
        "0s",
        "An end user got several enforcement blocks of one code within a minute: perhaps a blocked prompt is retried.",
        f"Identifier {WHO} of {PLACE} got {TIMES} enforcement blocks "
        "({{ $labels.openai_safety_block_code }}) within a minute.",
        f"3 enforcement blocks of one identifier and code within 60 s, {_SINCE}",
    ),
    Alert(
        "EndUserMismatch",
        "ticket",
        f"{q.input_changed(ALERT, RECENT, 'end_user_mismatch')} > 0",
        "0s",
        "OpenAI says that an identifier changed within a conversation.",
        f"{TIMES} calls of {PLACE}{_ABOUT} came back with end_user_mismatch {_SINCE}: the conversation began under "
        "another identifier.",
        f"any call with input transformation `end_user_mismatch` {_SINCE}, by identifier",
    ),
    Alert(
        "StreamsTruncated",
        "ticket",
        q.truncated_streams(ALERT, 5),
        "0s",
        "More streams than usual end without their last event.",
        f"{TIMES} streams of {PLACE} ended in the last hour without the event that ends them, over three times the "
        "week's usual: OpenAI's delayed halt of a stream looks like this.",
        "calls with error `stream_truncated`, last hour over 3 times its 7-day mean, at least 5",
    ),
)

DOMINANT: Final = 0.5  # the share of a service's calls above which an identifier is hardly one person's

PEOPLE: Final = (
    Alert(
        "PossibleHold",
        "ticket",
        q.possible_holds(ALERT, "1h"),
        "0s",
        "An identifier waits far longer for its first output than others.",
        f"Streams of identifier {WHO} of " + PLACE + " on {{ $labels.gen_ai_request_model }} take "
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
    Alert(
        "IdentifierDominates",
        "ticket",
        q.dominant_identifiers(ALERT, "1h", DOMINANT, 10 * AT_LEAST),
        "0s",
        "One identifier carries most of a service's calls.",
        f"{{{{ $value | humanizePercentage }}}} of the calls of {PLACE} in the last hour carry identifier {WHO}: a "
        "constant in place of the end user, or one person's bulk use.",
        f"one identifier's share of a service's calls over {DOMINANT:.0%} in 1 h, of at least {10 * AT_LEAST}",
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

# Group, seconds between evaluations, rows. The scans differ: the first three read the small notable stream.
LOG_GROUPS: Final = {
    "openai-safety-events": ("15s", NOTICES),
    "openai-safety-deadlines": ("5m", DEADLINES),
    "openai-safety-retries": ("1m", RETRIES),
    "openai-safety-people": ("5m", PEOPLE),
    "openai-safety-sessions": ("1h", SESSIONS),
}
LOG_ALERTS: Final = tuple(alert for _, group in LOG_GROUPS.values() for alert in group)
