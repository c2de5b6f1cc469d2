"""The pages on metrics: what must wake a person."""

from __future__ import annotations

from typing import Final

from grafana import alert_queries as x
from grafana import metric_queries as m
from grafana import names
from grafana.alert import PLACE, TIMES, WHOSE, Alert
from grafana.names import BY
from grafana.scope import ALERT, equal
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments

_KIND = f"{{{{ $labels.{names.field(c.NOTICE_TYPE)} }}}}"
_SINCE = f"in the last {m.RECENT.removesuffix('h')} hours"

# Apps and receivers export once a minute, and repeat what failed within another.
BACK: Final = "5m"
# The event names the person or the case, and mutes the count of the same: a count is told only where it stays alone.
ALONE: Final = "3m"
DUE_ALONE: Final = "10m"  # the event's rule is looked at every five minutes

PAGES: Final = (
    Alert(
        "IdentifierBlocked",
        "page",
        m.first(
            ALERT.select(instruments.BLOCKS, equal(c.BLOCK_TYPE, "identifier_blocked")),
            f"{BY}, {names.field(c.API)}",
        ),
        ALONE,
        "OpenAI blocks an end user's identifier.",
        f"{PLACE} had {TIMES} calls to {{{{ $labels.openai_safety_api }}}} answered with identifier_blocked "
        f"{_SINCE}. The log alert and `openai-safety queue` name the identifier.",
        f"any block of type `identifier_blocked` {_SINCE}, also of a new series",
        happening="identifier_block",
    ),
    Alert(
        "SafetyNoticeOpen",
        "page",
        x.notices_open(ALERT),
        ALONE,
        "A notice from OpenAI is open.",
        f"{TIMES} notice(s) of type {_KIND}, received by {PLACE}{WHOSE}, are open{x.deadline_named()}. "
        "`openai-safety notice list` names them; each stays open until "
        "`openai-safety notice close CASE --by YOU --why TEXT`.",
        "the receiver's gauge of open notices is over 0; a dead receiver's last word counts for two weeks",
        severity="warning",
        happening="notice",
    ),
    Alert(
        "SafetyNoticeDueSoon",
        "page",
        f"{x.hours_left()} < 24",
        DUE_ALONE,
        "An open notice from OpenAI must be answered within 24 hours.",
        f"OpenAI's {_KIND} notice, received by {PLACE}{WHOSE}, "
        "{{ if gt $value 0.0 }}has {{ if lt $value 1.0 }}under an hour{{ else }}"
        f"{TIMES} hours{{{{ end }}}} "
        "left to its deadline{{ else }}is overdue{{ end }}. "
        "It stays open until `openai-safety notice close CASE --by YOU --why TEXT`.",
        "an open notice's deadline is under 24 h away, or past; a deactivation has none",
        happening="notice",
    ),
    Alert(
        "SafetyNoticeReceived",
        "page",
        x.notices_received(),
        ALONE,
        "OpenAI sent a safety notice (from the metrics).",
        f"{PLACE} received {TIMES} {_KIND} notices {_SINCE}{WHOSE}.",
        f"any notice of a block, warning or deactivation {_SINCE}, until all of its type are closed",
        severity="warning",
        happening="notice",
    ),
    Alert(
        "MisalignmentAlert",
        "page",
        x.misalignment(),
        ALONE,
        "OpenAI raised a misalignment alert.",
        f"{PLACE} had {TIMES} misalignment alerts or blocks {_SINCE}.",
        f"any notice of type `alert` or `org_alert` not yet closed, or block of type `misalignment`, {_SINCE}",
        happening="misalignment",
    ),
    Alert(
        "OrganizationBlocked",
        "page",
        m.first(
            ALERT.select(instruments.BLOCKS, equal(c.BLOCK_CLASS, "organization")),
            f"{BY}, {names.field(c.BLOCK_TYPE)}",
        ),
        "0s",
        "OpenAI refuses the organization itself.",
        f"{PLACE} had {TIMES} calls answered with {{{{ $labels.openai_safety_block_type }}}} {_SINCE}."
        + x.notices_named(),
        f"any block of class `organization` {_SINCE}",
        happening="organization",
    ),
    Alert(
        "ModelAccessLost",
        "page",
        x.model_out_of_reach(),
        "0s",
        "A model that worked gives access errors for all users.",
        f"{PLACE} had {TIMES} calls to {{{{ $labels.gen_ai_request_model }}}} fail for lack of access in the last "
        "15 minutes, and none that succeeded." + x.notices_named(),
        "over 2 access errors of a model in 15 min, no other answer, and answers in the day before",
        happening="organization",
    ),
    Alert(
        "WebhookReceiverDown",
        "page",
        x.receivers_down(),
        "5m",
        "No webhook receiver reports: notices may arrive unseen.",
        PLACE + " reported webhook counts within the last day, or died with a notice open, and does not now.",
        "a service's receivers were there in the last day and none is now; with a notice open: in two weeks",
        happening="receiver",
    ),
    Alert(
        "WebhookReceiverInstanceDown",
        "page",
        x.receiver_down(),
        "5m",
        "One of several webhook receivers no longer reports.",
        "Receiver {{ $labels.instance }} of " + PLACE + " reported within the last day and does not now; "
        "others of the service do.",
        "an instance was there in the last day and is not now, and fewer than usual are",
        severity="warning",
        happening="receiver",
    ),
    Alert(
        "SafetyPipelineDown",
        "page",
        f"{x.lost(names.UPTIME, 'job')}\nor absent({names.UPTIME})",
        "2m",
        "No collector reports: safety events and metrics are not arriving.",
        "{{ with $labels.job }}Every collector of {{ . }}{{ else }}Every collector{{ end }} stopped reporting its "
        "own metrics; what it carried waits in the queues of the hosts, or is lost when they fill.",
        "all collectors of a job were there in the last day and none is now, or there is none at all",
        happening="collector",
        kept=BACK,
    ),
    Alert(
        "SafetyCollectorDown",
        "page",
        x.collector_down(),
        "2m",
        "One collector no longer reports: the events of its hosts are not arriving.",
        "Collector {{ $labels.instance }} of {{ $labels.job }} stopped reporting its own metrics; what its hosts "
        "send waits in their queues, or is lost when they fill.",
        "an instance was there in the last day and is not now, though Prometheus still looks for it",
        severity="warning",
        happening="collector",
        kept=BACK,
    ),
    Alert(
        "SafetyLogStoreDown",
        "page",
        x.store_down(),
        "5m",
        "Loki does not answer: alerts that name people are blind.",
        "Loki at {{ $labels.instance }} does not answer. Events wait in the collectors' queues; alerts from metrics "
        "go on.",
        "the last scrapes of Loki failed for 5 min",
        severity="warning",
        happening="store",
    ),
)
