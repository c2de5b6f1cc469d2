"""What an alert is, and the alerts on metrics: a row each; `grafana/rules.py` renders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from grafana import metric_queries as m
from grafana import names
from grafana.names import BY
from grafana.scope import ALERT, DRILL, equal, one_of
from openai_safety_otel import conventions as c

Notify = Literal["page", "ticket", "none"]
SEVERITY: Final = {"page": "critical", "ticket": "warning", "none": "info"}
AT_LEAST = 20  # events under which a share or a spike says nothing
COVERAGE = 0.999
COVERAGE_CALLS = 100


@dataclass(frozen=True, slots=True)
class Record:
    """A series computed ahead, so that a week of it can be compared cheaply."""

    name: str
    expr: str


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


PLACE = "{{ $labels.service_name }} ({{ $labels.deployment_environment_name }})"

_ENFORCED = ALERT.select(c.BLOCKS, equal(c.BLOCK_CLASS, "enforcement"))
_FLAGGED = ALERT.select(c.CHECKS, equal(c.RESULT, "flagged"))
_JUDGED = ALERT.select(c.CHECKS, one_of(c.RESULT, "passed", "flagged"))
_REFUSED = ALERT.select(c.CALLS, equal(c.OUTCOME, "refused"))
_REAL_CHECKS = m.but_unreal(c.CHECKS)


def _share(part: str, whole: str) -> str:
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


_FLAGGED_1H = m.total(_FLAGGED, "1h", but=_REAL_CHECKS)
_JUDGED_1H = m.total(_JUDGED, "1h", but=_REAL_CHECKS)
_REFUSED_1H = m.total(_REFUSED, "1h")

BLOCKS_1H = Record(
    "service_environment:openai_safety_blocks_enforcement:increase1h", m.total(_ENFORCED, "1h")
)
FLAGGED_SHARE = Record(
    "service_environment:openai_safety_moderation_flagged:ratio1h", _share(_FLAGGED_1H, _JUDGED_1H)
)
REFUSED_SHARE = Record(
    "service_environment:openai_safety_calls_refused:ratio1h",
    _share(_REFUSED_1H, m.total(ALERT.select(c.CALLS), "1h")),
)
RECORDS: Final = (BLOCKS_1H, FLAGGED_SHARE, REFUSED_SHARE)


def _week(record: Record) -> str:
    """The median of the week before the last hour."""
    return f"quantile_over_time(0.5, {record.name}[7d] offset 1h)"


def _share_up(record: Record, events: str) -> str:
    return f"{record.name} > 3 * {_week(record)}\nand {events} >= {AT_LEAST}"


def _lost(selector: str, by: str) -> str:
    """Series seen in the last day and not now."""
    return f"group by ({by}) (last_over_time({selector}[1d]))\nunless group by ({by}) ({selector})"


def _deadline(*types: str) -> str:
    # The last value within 10 minutes: a receiver that restarts must not resolve the alert.
    return f"last_over_time({ALERT.select(c.DEADLINE, one_of(c.NOTICE_TYPE, *types))}[10m]) > 0"


_NOTICE_BY = f"{BY}, {names.field(c.NOTICE_TYPE)}"
_HOURS_LEFT = f"(min by ({_NOTICE_BY}) ({_deadline('warning', 'deactivation')}) - time()) / 3600"
_NOTICE_TEXT = (
    "OpenAI's {{ $labels.openai_safety_notice_type }} notice, received by " + PLACE + ", has "
    '{{ $value | printf "%.0f" }} hours left to its deadline. It stays open until '
    "`openai-safety notice close`."
)


def _misalignment() -> str:
    alerts = ALERT.select(c.NOTICES, one_of(c.NOTICE_TYPE, "alert", "org_alert"))
    blocks = ALERT.select(c.BLOCKS, equal(c.BLOCK_TYPE, "misalignment"))
    return f"{m.first(alerts, BY)}\nor {m.first(blocks, BY)}"


def _coverage_low() -> str:
    return (
        f"{m.coverage(ALERT, '1h', BY)} < {COVERAGE}\nand {m.expected_calls(ALERT, '1h')} >= {COVERAGE_CALLS}"
    )


def _largest_cause() -> str:
    """A template that asks Prometheus for the largest cause, within the alert's own service."""
    fields = [names.field(name) for name in (c.API, c.IDENTIFIER_SOURCE, c.IDENTIFIER_DELIVERY)]
    selector = ALERT.select(c.CALLS, *m.NOT_SENT)
    place = ", ".join(f"{label}='%s'" for label in BY.split(", "))
    quoted = selector.replace('"', "'").removesuffix("}") + f", {place}}}"
    query = f"topk(1, sum by ({', '.join(fields)}) (increase({quoted}[1h])))"
    said = "{{ .Labels.%s }}: identifier {{ .Labels.%s }}, delivery {{ .Labels.%s }}" % tuple(fields)  # noqa: UP031
    return (
        f'{{{{ range printf "{query}" $labels.service_name $labels.deployment_environment_name | query }}}}'
        f'{said} ({{{{ .Value | printf "%.0f" }}}} calls){{{{ end }}}}'
    )


def _silent() -> str:
    """Hook failed; or a service that ran most of the day reports no more; or its calls stopped."""
    info, calls = ALERT.select(c.INFO), ALERT.select(c.CALLS)
    failed = ALERT.select(c.INFO, one_of(c.HOOK_STATE, "failed", "removed"))
    causes = {
        "hook failed or removed": f"group by ({BY}) ({failed})",
        "reports no more": (
            f"count_over_time(group by ({BY}) ({info})[1d:10m]) > 72\nunless group by ({BY}) ({info})"
        ),
        "no calls, unlike yesterday": (
            f"(\n  sum by ({BY}) (increase({calls}[1h] offset 1d)) >= {AT_LEAST}\n"
            f"  and group by ({BY}) ({info})\n)\n"
            f"unless {m.total(calls, '1h')} > 0"
        ),
    }
    return "\nor ".join(
        f'label_replace(\n{expr},\n"cause", "{cause}", "", ""\n)' for cause, expr in causes.items()
    )


def _each_item(table: dict[str, str], by: str) -> str:
    return "\nor ".join(
        f'label_replace({m.first(name, by)}, "item", "{item}", "", "")' for item, name in table.items()
    )


def _more_than_one_key() -> str:
    # Over a day, not at one moment: a deployment that changes the key replaces one series by the other.
    key = names.field(c.IDENTIFIER_KEY_ID)
    seen = f'last_over_time({names.series(c.INFO)}{{{key}!=""}}[1d]){m.but_unreal(c.INFO)}'
    return f"count by ({BY}) (group by ({BY}, {key}) ({seen})) > 1"


def _under_warning() -> str:
    return f"{m.first(_ENFORCED, BY)}\nand on () (max({_deadline('warning')}) > 0)"


def _check_errors() -> str:
    failed = m.total(ALERT.select(c.CHECKS, equal(c.RESULT, "error")), "1h", but=_REAL_CHECKS)
    every = m.total(ALERT.select(c.CHECKS), "1h", but=_REAL_CHECKS)
    return f"{failed} / {every} > 0.05\nand {failed} >= {AT_LEAST}"


def _raw() -> str:
    selector = ALERT.select(c.PROBLEMS, equal(c.REASON, "raw_suspected"))
    return m.first(selector, BY, but=m.but_unreal(c.PROBLEMS))


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
        _HOURS_LEFT,
        "0s",
        "A warning or deactivation notice from OpenAI is open.",
        _NOTICE_TEXT,
        "the deadline gauge of a warning or deactivation is there; its value is the hours left",
        severity="warning",
    ),
    Alert(
        "SafetyNoticeDueSoon",
        "page",
        f"{_HOURS_LEFT} < 24",
        "0s",
        "An open notice from OpenAI ends within 24 hours.",
        _NOTICE_TEXT,
        "the same gauge, under 24 h (or past)",
    ),
    Alert(
        "MisalignmentAlert",
        "page",
        _misalignment(),
        "0s",
        "OpenAI raised a misalignment alert.",
        PLACE + ' had {{ $value | printf "%.0f" }} misalignment alerts or blocks within 10 minutes.',
        "any notice of type `alert` or `org_alert`, or block of type `misalignment`, in 10 min",
    ),
    Alert(
        "WebhookReceiverDown",
        "page",
        _lost(names.series(c.WEBHOOKS), BY),
        "5m",
        "The webhook receiver no longer reports: notices may arrive unseen.",
        PLACE + " reported webhook counts within the last day and does not now.",
        "the receiver's series were there in the last day and are not now",
    ),
    Alert(
        "SafetyPipelineDown",
        "page",
        f"{_lost(names.UPTIME, 'job')}\nor absent({names.UPTIME})",
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
        _under_warning(),
        "0s",
        "Enforcement blocks go on while a warning is open.",
        PLACE
        + ' had {{ $value | printf "%.0f" }} enforcement blocks within 10 minutes, and a warning is open.',
        "any enforcement block in 10 min while the gauge of a warning is there",
    ),
    Alert(
        "EnforcementBlockSpike",
        "ticket",
        f"{BLOCKS_1H.name} > 3 * ({_week(BLOCKS_1H)} or 0 * {BLOCKS_1H.name})\nand {BLOCKS_1H.name} >= {AT_LEAST}",
        "0s",
        "Enforcement blocks are far above this service's usual number.",
        PLACE + ' had {{ $value | printf "%.0f" }} enforcement blocks in the last hour, over three times its '
        "7-day median.",
        "last hour over 3 × the service's 7-day median, and at least 20",
    ),
    Alert(
        "FlaggedShareUp",
        "ticket",
        _share_up(FLAGGED_SHARE, _FLAGGED_1H),
        "0s",
        "The share of flagged moderation checks has risen.",
        PLACE
        + " has {{ $value | humanizePercentage }} of its moderation checks flagged in the last hour, over "
        "three times its 7-day median.",
        "flagged / (passed + flagged), last hour over 3 × its 7-day median, at least 20 flagged",
    ),
    Alert(
        "RefusalShareUp",
        "ticket",
        _share_up(REFUSED_SHARE, _REFUSED_1H),
        "0s",
        "The share of refused calls has risen.",
        PLACE
        + " has {{ $value | humanizePercentage }} of its calls refused in the last hour, over three times "
        "its 7-day median.",
        "refused / all calls, last hour over 3 × its 7-day median, at least 20 refused",
    ),
    Alert(
        "ModerationErrorShare",
        "ticket",
        _check_errors(),
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
        _coverage_low(),
        "0s",
        "Too many calls carry no safety identifier.",
        PLACE
        + " sent an identifier with {{ $value | humanizePercentage }} of the calls that needed one in the "
        "last hour. Largest cause: " + _largest_cause() + ".",
        "sent / (sent + withheld + none) under 99.9 % over 1 h, at least 100 such calls",
    ),
    Alert(
        "RawIdentifierSuspected",
        "ticket",
        _raw(),
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
        _more_than_one_key(),
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
        _silent(),
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
        _each_item(names.REFUSED, "job, receiver"),
        "0s",
        "A collector refuses data.",
        '{{ $labels.job }} refused {{ $value | printf "%.0f" }} {{ $labels.item }} on {{ $labels.receiver }} '
        "within 10 minutes.",
        "any refused log record, span or metric point in 10 min",
    ),
    Alert(
        "CollectorExportFailing",
        "ticket",
        _each_item(names.SEND_FAILED, "job, exporter")
        + "\nor "
        + _each_item(names.ENQUEUE_FAILED, "job, exporter"),
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

METRIC_GROUPS: Final = {
    "openai-safety-pages": PAGES,
    "openai-safety-enforcement": ENFORCEMENT,
    "openai-safety-identity": IDENTITY,
    "openai-safety-pipeline": PIPELINE,
}
METRIC_ALERTS: Final = tuple(alert for group in METRIC_GROUPS.values() for alert in group)
