"""The tickets on metrics about enforcement, flags and identifiers."""

from __future__ import annotations

from typing import Final

from grafana import alert_queries as x
from grafana import metric_queries as m
from grafana import names
from grafana.alert import PLACE, TIMES, Alert
from grafana.names import BY
from grafana.scope import ALERT, equal
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments

ENFORCEMENT: Final = (
    Alert(
        "EnforcementBlocksUnderWarning",
        "ticket",
        x.under_warning(),
        "0s",
        "Enforcement blocks go on while a warning is open.",
        PLACE
        + ' had {{ $value | printf "%.0f" }} enforcement blocks in the last 4 hours, and a warning is open.',
        "any enforcement block in the last 4 hours while the gauge of a warning is there",
    ),
    Alert(
        "EnforcementBlockSpike",
        "ticket",
        x.spike(),
        "0s",
        "Enforcement blocks are far above this service's usual number.",
        PLACE + ' had {{ $value | printf "%.0f" }} enforcement blocks in the last hour, over three times its '
        "7-day median.",
        "last hour over 3 times the service's 7-day median, and at least 20",
    ),
    Alert(
        "FlaggedShareUp",
        "ticket",
        x.share_up(x.FLAGGED_SHARE, x.FLAGGED_1H),
        "0s",
        "The share of flagged moderation checks has risen.",
        PLACE
        + " has {{ $value | humanizePercentage }} of its moderation checks flagged in the last hour, over "
        "three times its 7-day median.",
        "flagged / (passed + flagged), last hour over 3 times its 7-day median, at least 20 flagged",
    ),
    Alert(
        "RefusalShareUp",
        "ticket",
        x.share_up(x.REFUSED_SHARE, x.REFUSED_1H),
        "0s",
        "The share of refused calls has risen.",
        PLACE
        + " has {{ $value | humanizePercentage }} of its calls refused in the last hour, over three times "
        "its 7-day median.",
        "refused / all calls, last hour over 3 times its 7-day median, at least 20 refused",
    ),
    Alert(
        "ModerationErrorShare",
        "ticket",
        x.check_errors(),
        "0s",
        "Moderation checks fail.",
        PLACE
        + " had {{ $value | humanizePercentage }} of its moderation checks fail in the last hour: those "
        "calls carry no score.",
        "failed / all checks over 5 % in the last hour, at least 20 failed",
    ),
    Alert(
        "UnknownNoticeType",
        "ticket",
        m.first(ALERT.select(instruments.NOTICES, equal(c.NOTICE_TYPE, "unknown")), BY),
        "0s",
        "A safety webhook of a type this version does not know.",
        PLACE + ' received {{ $value | printf "%.0f" }} notices of an unknown type in the last 4 hours.',
        "any notice of type `unknown` in the last 4 hours",
    ),
)

IDENTITY: Final = (
    Alert(
        "CoverageLow",
        "ticket",
        x.coverage_low(),
        "0s",
        "Too many calls carry no safety identifier.",
        PLACE
        + " sent an identifier with {{ $value | humanizePercentage }} of the calls that needed one in the "
        "last hour. Largest cause: " + x.largest_cause() + ".",
        "sent / (sent + withheld + none) under 99.9 % over 1 h, at least 100 such calls",
    ),
    Alert(
        "TrafficInTheDark",
        "ticket",
        x.dark(),
        "0s",
        "The provider counts requests that nobody here saw.",
        TIMES
        + " requests of the last comparison with the provider's count were not seen here ("
        + PLACE
        + "). The `openai_safety.dark` events name project, API key and model.",
        "the last `openai-safety reconcile` within 26 h found a dark source",
    ),
    Alert(
        "RequestsPastTheSdk",
        "ticket",
        x.past_the_sdk(),
        "0s",
        "A service talks to the provider past the SDK.",
        PLACE
        + f" made {TIMES} requests to {{{{ $labels.{names.field(c.SERVER_ADDRESS)} }}}} "
        + f"({{{{ $labels.{names.field(c.API)} }}}}) in the last 4 hours that no record tells of: they carry no "
        "identifier, and nobody is refused.",
        "any request counted by `OPENAI_SAFETY_UNSEEN=on` in the last 4 hours",
    ),
    Alert(
        "RawIdentifierSuspected",
        "ticket",
        x.problem("raw_suspected"),
        "0s",
        "The app sends identifiers that look like personal data.",
        PLACE
        + ' had {{ $value | printf "%.0f" }} calls in the last 4 hours whose identifier looks like personal '
        "data. Telemetry carries only its hash; OpenAI received the value.",
        "any identifier problem `raw_suspected` in the last 4 hours",
    ),
    Alert(
        "TwoKeyIdsActive",
        "ticket",
        x.more_than_one_key(),
        "15m",
        "More than one HMAC key makes identifiers in one service.",
        PLACE
        + ' used {{ $value | printf "%.0f" }} keys within a day: the same user has as many identifiers, '
        "which OpenAI cannot tell from evasion.",
        "more than one key id in a service's instrumentation info within a day",
    ),
    Alert(
        "IdentifierConflict",
        "ticket",
        x.problem("conflict"),
        "0s",
        "The app and the end user's context name different people.",
        PLACE
        + ' had {{ $value | printf "%.0f" }} calls in the last 4 hours whose own identifier differs from the end '
        "user's: one of the two is the wrong person.",
        "any identifier problem `conflict` in the last 4 hours",
    ),
    Alert(
        "SuspensionListUnreadable",
        "ticket",
        x.list_unreadable(),
        "2m",
        "A suspension list that is configured cannot be read.",
        "A process of "
        + PLACE
        + " finds its suspension list {{ $labels.openai_safety_suspensions_found }}: what it "
        "last read is in force, nothing newer.",
        "the last reading found the list missing, malformed or unreachable, for 2 min",
    ),
    Alert(
        "SuspensionListStale",
        "ticket",
        f"max by ({BY}) ({names.series(instruments.SUSPENSIONS_AGE)}) > 60",
        "2m",
        "A process works with an old suspension list.",
        PLACE + ' last read its suspension list {{ $value | printf "%.0f" }} seconds ago: a suspension made '
        "since is not in force there.",
        "age of the suspension list over 60 s",
    ),
)
