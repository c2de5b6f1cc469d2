"""The tickets on metrics about what does not arrive, and the drill."""

from __future__ import annotations

from typing import Final

from grafana import alert_queries as x
from grafana import metric_queries as m
from grafana import names
from grafana.alert import PLACE, Alert
from grafana.names import BY
from grafana.page_rows import ALONE
from grafana.scope import ALERT, DRILL, equal
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments

PIPELINE: Final = (
    Alert(
        "SafetyEventsDropped",
        "ticket",
        m.first(names.series(instruments.DROPPED), f"{BY}, {names.field(c.SIGNAL)}, {names.field(c.REASON)}"),
        "0s",
        "Safety telemetry was dropped in the process.",
        PLACE + ' dropped {{ $value | printf "%.0f" }} items ({{ $labels.openai_safety_signal }}, '
        "{{ $labels.openai_safety_reason }}) in the last 4 hours.",
        "any dropped item in the last 4 hours, by signal and reason",
    ),
    Alert(
        "InstrumentationSilent",
        "ticket",
        x.silent(),
        "15m",
        "A service's OpenAI calls are no longer seen.",
        PLACE + ": {{ $labels.cause }}.",
        "hook failed or removed; or a service present most of the day is gone; or calls stopped, "
        "unlike the same hour a week ago",
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
        x.each_item(names.REFUSED, "job, instance, receiver"),
        "0s",
        "A collector refuses data.",
        '{{ $labels.job }} refused {{ $value | printf "%.0f" }} {{ $labels.item }} on {{ $labels.receiver }} '
        "in the last 4 hours.",
        "any refused log record, span or metric point in the last 4 hours",
    ),
    Alert(
        "CollectorExportFailing",
        "ticket",
        x.each_item(names.SEND_FAILED, "job, instance, exporter")
        + "\nor "
        + x.each_item(names.ENQUEUE_FAILED, "job, instance, exporter"),
        "0s",
        "A collector fails to deliver data.",
        '{{ $labels.job }} lost {{ $value | printf "%.0f" }} {{ $labels.item }} for {{ $labels.exporter }} '
        "in the last 4 hours.",
        "any item that could not be sent or queued in the last 4 hours",
    ),
    Alert(
        "WebhookSignatureFailures",
        "ticket",
        m.first(ALERT.select(instruments.WEBHOOKS, equal(c.RESULT, "bad_signature")), BY),
        "0s",
        "Webhooks with a bad signature arrive.",
        PLACE + ' refused {{ $value | printf "%.0f" }} webhooks with a bad signature in the last 4 hours.',
        "any delivery with result `bad_signature` in the last 4 hours",
    ),
    Alert(
        "SafetyDrillReceived",
        "drill",
        x.notices_open(DRILL),
        ALONE,
        "A drill notice came through.",
        "The drill notice ({{ $labels.openai_safety_notice_type }}) sent to " + PLACE + " reached this rule.",
        "the gauge of open notices with traffic `drill`: the path from receiver to Alertmanager works",
        happening="drill",
    ),
)
