"""Pipeline: whether what happens also arrives: instrumentation, collectors, webhooks, store."""

from __future__ import annotations

from typing import Any

from grafana import frame, names
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana.scope import DASHBOARD as HERE
from grafana.targets import events, metric
from openai_safety_otel.contract import conventions as c


def _instrumentation() -> frame.Row:
    columns = {
        names.SERVICE: p.Column("Service"),
        names.ENVIRONMENT: p.Column("Environment"),
        names.field(c.VERSION): p.Column("Version"),
        names.field(c.SDK_VERSION): p.Column("openai"),
        names.field(c.HOOK_STATE): p.Column("Hook"),
        names.field(c.IDENTIFIER_KEY_ID): p.Column("Key id"),
        p.VALUE: p.Column("Processes", unit="short"),
    }
    return (
        "Instrumentation",
        (
            (
                p.listing(
                    "Processes by version",
                    "Who runs what: two key ids in one service mean two identifiers for the same user.",
                    metric(m.versions(HERE), as_table=True),
                    columns,
                    no_value=p.UNSEEN,
                ),
                10,
            ),
            (
                p.graph(
                    "Dropped in the process",
                    "Items a second that could not be kept, by signal and reason.",
                    metric(m.dropped(HERE), "{{openai_safety_signal}}: {{openai_safety_reason}}"),
                    unit="cps",
                    link=frame.runbook("safetyeventsdropped"),
                ),
                7,
            ),
            (
                p.graph(
                    "Age of the suspension list",
                    "Seconds since it was last read, the worst process of each service.",
                    metric(m.suspensions_age(HERE), "{{service_name}}"),
                    unit="s",
                    link=frame.runbook("suspensionliststale"),
                ),
                7,
            ),
        ),
        8,
    )


def _collector() -> frame.Row:
    def items(table: dict[str, str]) -> list[Any]:
        return [metric(m.collector_items(HERE, table, item), f"{{{{job}}}} {item}") for item in names.ITEMS]

    return (
        "Collectors",
        (
            (
                p.graph(
                    "Queues",
                    "How full each exporter's queue is; at 100 % data is lost.",
                    metric(m.queue_fill(HERE), "{{job}} {{exporter}}"),
                    unit="percentunit",
                    most=1,
                    link=frame.runbook("collectorqueuefilling"),
                ),
                6,
            ),
            (
                p.graph(
                    "Accepted and sent",
                    "Items a second taken in and handed on.",
                    *items(names.ACCEPTED),
                    *items(names.SENT),
                    unit="cps",
                ),
                6,
            ),
            (
                p.graph(
                    "Refused and failed",
                    "Items a second refused, not sent, or not queued. Nothing here: none was ever counted.",
                    *items(names.REFUSED),
                    *items(names.SEND_FAILED),
                    *items(names.ENQUEUE_FAILED),
                    unit="cps",
                    link=frame.runbook("collectorexportfailing"),
                ),
                6,
            ),
            (
                p.graph(
                    "Memory",
                    "Resident memory of each collector.",
                    metric(m.collector_memory(HERE), "{{job}} {{instance}}"),
                    unit="bytes",
                ),
                6,
            ),
        ),
        8,
    )


def _arrivals() -> frame.Row:
    return (
        "Arrivals",
        (
            (
                p.graph(
                    "Events stored by stream",
                    "Safety events that reached Loki: completed calls, notable ones, decisions.",
                    events(q.events_by_stream(HERE), "{{openai_safety_stream}}"),
                    bars=True,
                ),
                5,
            ),
            (
                p.graph(
                    "Webhooks by result",
                    "Deliveries a second. Bad signatures: a wrong secret, or somebody else knocking.",
                    metric(m.webhooks_by_result(HERE), "{{openai_safety_result}}"),
                    unit="cps",
                    link=frame.runbook("webhooksignaturefailures"),
                ),
                5,
            ),
            (
                p.graph(
                    "Notices stored",
                    "Notices that reached Loki, by type.",
                    events(q.notices_by_type(HERE), "{{openai_safety_notice_type}}"),
                    bars=True,
                ),
                5,
            ),
            (
                p.graph(
                    "User reports",
                    "Answers that users of the product reported, by reason.",
                    events(q.user_reports(HERE), "{{openai_safety_report_reason}}"),
                    bars=True,
                ),
                4,
            ),
            (
                p.graph(
                    "Text calls without output limit",
                    "Share of text calls that set no limit on the output. No alert: nearly all set none.",
                    events(q.output_limit_missing(HERE), "share"),
                    unit="percentunit",
                    most=1,
                ),
                5,
            ),
        ),
        8,
    )


def build() -> Any:
    """The dashboard."""
    variables = [
        frame.source("prometheus"),
        frame.source("loki"),
        *frame.process_variables(),
        frame.traffic(),
    ]
    return frame.board(
        frame.PIPELINE,
        "Pipeline",
        "Whether what happens also arrives: instrumentation, collectors, webhooks, store.",
        variables,
        (_instrumentation(), _collector(), _arrivals()),
        "now-6h",
    )
