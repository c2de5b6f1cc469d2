"""What an alert is, and the alerts on metrics: a row each; `grafana/rules.py` renders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from grafana import alert_queries as x
from grafana import metric_queries as m
from grafana import names
from grafana.names import BY
from grafana.scope import ALERT, DRILL, equal, one_of
from openai_safety_otel import conventions as c

Notify = Literal["page", "ticket", "none"]
SEVERITY: Final = {"page": "critical", "ticket": "warning", "none": "info"}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: who is told, when, and what the message says.

    ``question`` is the condition in words, for the table; ``severity`` follows ``notify`` unless given.
    """

    name: str
    notify: Notify
    expr: str
    hold: str
    summary: str
    description: str
    question: str
    severity: str = ""

    @property
    def level(self) -> str:
        """The severity label."""
        return self.severity or SEVERITY[self.notify]


NOTICES: Final = ("identifier_blocked", "warning", "deactivation")
PLACE = "{{ $labels.service_name }} ({{ $labels.deployment_environment_name }})"

_NOTICE_TEXT = (
    "OpenAI's {{ $labels.openai_safety_notice_type }} notice, received by " + PLACE + ", has "
    '{{ $value | printf "%.0f" }} hours left to its deadline. It stays open until '
    "`openai-safety notice close`."
)

PAGES: Final = (
    Alert(
        "IdentifierBlocked",
        "page",
        m.first(
            ALERT.select(c.BLOCKS, equal(c.BLOCK_TYPE, "identifier_blocked")), f"{BY}, {names.field(c.API)}"
        ),
        "0s",
        "OpenAI blocks an end user's identifier.",
        f'{PLACE} had {{{{ $value | printf "%.0f" }}}} calls to {{{{ $labels.openai_safety_api }}}} answered '
        "with identifier_blocked within 10 minutes. The identifier is in the log alert and on the overview.",
        "any block of type `identifier_blocked` in 10 min, also of a new series",
    ),
    Alert(
        "SafetyNoticeOpen",
        "page",
        x.HOURS_LEFT,
        "0s",
        "A warning or deactivation notice from OpenAI is open.",
        _NOTICE_TEXT,
        "the deadline gauge of a warning or deactivation is there; its value is the hours left",
        severity="warning",
    ),
    Alert(
        "SafetyNoticeDueSoon",
        "page",
        f"{x.HOURS_LEFT} < 24",
        "0s",
        "An open notice from OpenAI ends within 24 hours.",
        _NOTICE_TEXT,
        "the same gauge, under 24 h (or past)",
    ),
    Alert(
        "SafetyNoticeReceived",
        "page",
        m.first(
            ALERT.select(c.NOTICES, one_of(c.NOTICE_TYPE, *NOTICES)), f"{BY}, {names.field(c.NOTICE_TYPE)}"
        ),
        "0s",
        "OpenAI sent a safety notice (from the metrics).",
        PLACE
        + ' received {{ $value | printf "%.0f" }} {{ $labels.openai_safety_notice_type }} notices within '
        "10 minutes.",
        "any notice of a block, warning or deactivation in 10 min, also of a new series",
    ),
    Alert(
        "MisalignmentAlert",
        "page",
        x.misalignment(),
        "0s",
        "OpenAI raised a misalignment alert.",
        PLACE + ' had {{ $value | printf "%.0f" }} misalignment alerts or blocks within 10 minutes.',
        "any notice of type `alert` or `org_alert`, or block of type `misalignment`, in 10 min",
    ),
    Alert(
        "WebhookReceiverDown",
        "page",
        x.lost(names.series(c.WEBHOOKS), BY),
        "5m",
        "The webhook receiver no longer reports: notices may arrive unseen.",
        PLACE + " reported webhook counts within the last day and does not now.",
        "the receiver's series were there in the last day and are not now",
    ),
    Alert(
        "SafetyPipelineDown",
        "page",
        f"{x.lost(names.UPTIME, 'job')}\nor absent({names.UPTIME})",
        "10m",
        "No collector reports: safety events and metrics are not arriving.",
        "{{ with $labels.job }}Collector {{ . }}{{ else }}Every collector{{ end }} stopped reporting its own "
        "metrics; what it carried waits in the queues of the hosts, or is lost when they fill.",
        "a collector's uptime was there in the last day and is not now, or there is none at all",
    ),
)

ENFORCEMENT: Final = (
    Alert(
        "EnforcementBlocksUnderWarning",
        "ticket",
        x.under_warning(),
        "0s",
        "Enforcement blocks go on while a warning is open.",
        PLACE
        + ' had {{ $value | printf "%.0f" }} enforcement blocks within 10 minutes, and a warning is open.',
        "any enforcement block in 10 min while the gauge of a warning is there",
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
        m.first(ALERT.select(c.NOTICES, equal(c.NOTICE_TYPE, "unknown")), BY),
        "0s",
        "A safety webhook of a type this version does not know.",
        PLACE + ' received {{ $value | printf "%.0f" }} notices of an unknown type within 10 minutes.',
        "any notice of type `unknown` in 10 min",
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
        "RawIdentifierSuspected",
        "ticket",
        x.raw(),
        "0s",
        "The app sends identifiers that look like personal data.",
        PLACE
        + ' had {{ $value | printf "%.0f" }} calls within 10 minutes whose identifier looks like personal '
        "data. Telemetry carries only its hash; OpenAI received the value.",
        "any identifier problem `raw_suspected` in 10 min",
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
        "SuspensionListStale",
        "ticket",
        f"max by ({BY}) ({names.series(c.SUSPENSIONS_AGE)}) > 60",
        "2m",
        "A process works with an old suspension list.",
        PLACE + ' last read its suspension list {{ $value | printf "%.0f" }} seconds ago: a suspension made '
        "since is not in force there.",
        "age of the suspension list over 60 s",
    ),
)

PIPELINE: Final = (
    Alert(
        "SafetyEventsDropped",
        "ticket",
        m.first(names.series(c.DROPPED), f"{BY}, {names.field(c.SIGNAL)}, {names.field(c.REASON)}"),
        "0s",
        "Safety telemetry was dropped in the process.",
        PLACE + ' dropped {{ $value | printf "%.0f" }} items ({{ $labels.openai_safety_signal }}, '
        "{{ $labels.openai_safety_reason }}) within 10 minutes.",
        "any dropped item in 10 min, by signal and reason",
    ),
    Alert(
        "InstrumentationSilent",
        "ticket",
        x.silent(),
        "15m",
        "A service's OpenAI calls are no longer seen.",
        PLACE + ": {{ $labels.cause }}.",
        "hook failed or removed; or a service present most of the day is gone; or calls stopped",
    ),
    Alert(
        "CollectorQueueFilling",
        "ticket",
        f"max by (job, instance, exporter) ({names.QUEUE_SIZE} / {names.QUEUE_CAPACITY}) > 0.7",
        "5m",
        "A collector's sending queue is filling.",
        "Queue of {{ $labels.exporter }} in {{ $labels.job }} is {{ $value | humanizePercentage }} full.",
        "queue size / capacity over 70 % for 5 min",
    ),
    Alert(
        "CollectorRefusing",
        "ticket",
        x.each_item(names.REFUSED, "job, receiver"),
        "0s",
        "A collector refuses data.",
        '{{ $labels.job }} refused {{ $value | printf "%.0f" }} {{ $labels.item }} on {{ $labels.receiver }} '
        "within 10 minutes.",
        "any refused log record, span or metric point in 10 min",
    ),
    Alert(
        "CollectorExportFailing",
        "ticket",
        x.each_item(names.SEND_FAILED, "job, exporter")
        + "\nor "
        + x.each_item(names.ENQUEUE_FAILED, "job, exporter"),
        "0s",
        "A collector fails to deliver data.",
        '{{ $labels.job }} lost {{ $value | printf "%.0f" }} {{ $labels.item }} for {{ $labels.exporter }} '
        "within 10 minutes.",
        "any item that could not be sent or queued in 10 min",
    ),
    Alert(
        "WebhookSignatureFailures",
        "ticket",
        m.first(ALERT.select(c.WEBHOOKS, equal(c.RESULT, "bad_signature")), BY),
        "0s",
        "Webhooks with a bad signature arrive.",
        PLACE + ' refused {{ $value | printf "%.0f" }} webhooks with a bad signature within 10 minutes.',
        "any delivery with result `bad_signature` in 10 min",
    ),
    Alert(
        "SafetyDrillReceived",
        "none",
        m.first(DRILL.select(c.NOTICES), f"{BY}, {names.field(c.NOTICE_TYPE)}"),
        "0s",
        "A drill notice came through.",
        "The drill notice ({{ $labels.openai_safety_notice_type }}) sent to " + PLACE + " reached this rule.",
        "any notice with traffic `drill` in 10 min: the path from receiver to Alertmanager works",
    ),
)

# Group, time between evaluations, rows: pages should not wait.
METRIC_GROUPS: Final = {
    "openai-safety-pages": ("15s", PAGES),
    "openai-safety-enforcement": ("1m", ENFORCEMENT),
    "openai-safety-identity": ("1m", IDENTITY),
    "openai-safety-pipeline": ("1m", PIPELINE),
}
METRIC_ALERTS: Final = tuple(alert for _, group in METRIC_GROUPS.values() for alert in group)
