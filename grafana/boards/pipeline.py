"""Pipeline: whether what happens also arrives: instrumentation, collectors, webhooks, store."""

from __future__ import annotations

from typing import Any

from grafana import colours, frame, names, tables
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana import pipeline_queries as pipe
from grafana.boards import trust
from grafana.frame import panel, row
from grafana.names import field
from grafana.scope import DASHBOARD as HERE
from grafana.tables import Column
from grafana.targets import events, metric
from openai_safety_otel.contract import conventions as c

# The shipped collectors' (collector-config/).
_EXPORTERS = tuple(
    f"otlp_{one}"
    for one in (
        "http/safety",
        "http/completed",
        "http/prometheus",
        "http/evidence",
        "grpc/tempo",
        "grpc/safety",
        "grpc/completed",
        "grpc/traces",
    )
)


def _instrumentation() -> frame.Row:
    columns = {
        names.SERVICE: Column("Service"),
        names.ENVIRONMENT: Column("Environment"),
        field(c.VERSION): Column("Version", width=80),
        field(c.SDK_VERSION): Column("openai", width=80),
        field(c.HOOK_STATE): Column("Hook", width=90),
        field(c.IDENTIFIER_KEY_ID): Column("Key id", width=80),
        tables.VALUE: Column("Apps", unit="short", width=60),
    }
    return row(
        1,
        "Do the apps report?",
        8,
        panel(
            2,
            tables.listing(
                "Processes by version",
                "Who runs what: two key ids in one service mean two identifiers for the same user.",
                metric(pipe.versions(HERE), as_table=True),
                columns=columns,
                no_value=p.UNSEEN,
            ),
            width=12,
        ),
        panel(
            3,
            p.graph(
                "Dropped in the apps",
                "Items that could not be kept, by signal and reason.",
                metric(pipe.dropped(HERE), "{{openai_safety_signal}}: {{openai_safety_reason}}"),
                bars=True,
                no_value=p.UNSEEN,
                link_to=frame.runbook("SafetyEventsDropped"),
            ),
            width=6,
        ),
        panel(
            4,
            p.graph(
                "Age of the suspension list",
                "Since it was last read, the worst process of each service. Stale from a minute on.",
                metric(pipe.suspensions_age(HERE), "{{service_name}}"),
                unit="s",
                at_least=60,
                no_value=p.UNSEEN,
                link_to=frame.runbook("SuspensionListStale"),
            ),
            width=6,
        ),
    )


def _collector() -> frame.Row:
    def items(word: str, table: dict[str, str]) -> list[Any]:
        return [
            metric(pipe.collector_items(HERE, table, item), f"{word} {item.replace('_', ' ')}")
            for item in names.ITEMS
        ]

    lost = (
        ("turned away", names.REFUSED),
        ("not sent", names.SEND_FAILED),
        ("not queued", names.ENQUEUE_FAILED),
    )
    return row(
        5,
        "Do the collectors hand on?",
        8,
        panel(
            6,
            p.graph(
                "Queues",
                "How full each exporter's queue is; at 100 % data is lost.",
                metric(pipe.queue_fill(HERE), "{{exporter}}"),
                unit="percentunit",
                most=1,
                known=_EXPORTERS,
                no_value=p.UNSEEN,
                link_to=frame.runbook("CollectorQueueFilling"),
            ),
            width=6,
        ),
        panel(
            7,
            p.graph(
                "Accepted and sent",
                "Items taken in and handed on by all collectors.",
                *items("in:", names.ACCEPTED),
                *items("out:", names.SENT),
                known=tuple(
                    f"{word} {item.replace('_', ' ')}" for item in names.ITEMS for word in ("in:", "out:")
                ),
                no_value=p.UNSEEN,
            ),
            width=6,
        ),
        panel(
            8,
            p.graph(
                "Refused and failed",
                "Items refused, not sent, or not queued. Such a series appears with its first loss.",
                *(metric(pipe.lost_by_collectors(HERE, table), word) for word, table in lost),
                known=tuple(word for word, _ in lost),
                bars=True,
                no_value="none was ever counted",
                link_to=frame.runbook("CollectorExportFailing"),
            ),
            width=6,
        ),
        panel(
            9,
            p.graph(
                "Memory",
                "Resident memory of each collector.",
                metric(pipe.collector_memory(HERE), "{{instance}}"),
                unit="bytes",
                no_value=p.UNSEEN,
            ),
            width=6,
        ),
    )


def _arrivals() -> tuple[frame.Row, frame.Row]:
    return (
        row(
            10,
            "What arrives?",
            8,
            panel(
                11,
                p.graph(
                    "Events stored by stream",
                    "Safety events that reached Loki: completed calls, notable ones, decisions.",
                    events(q.events_by_stream(HERE), "{{openai_safety_stream}} events"),
                    bars=True,
                    known=tuple(
                        f"{stream} events" for stream in (names.COMPLETED, names.NOTABLE, names.DECISION)
                    ),
                ),
                width=8,
            ),
            panel(
                12,
                p.graph(
                    "Webhooks by result",
                    "Deliveries. Bad signatures: a wrong secret, or somebody else knocking.",
                    metric(m.webhooks_by_result(HERE), "{{openai_safety_result}}"),
                    known=c.ATTRIBUTES[c.RESULT].values,
                    bars=True,
                    no_value="no receiver reports",
                    link_to=frame.runbook("WebhookSignatureFailures"),
                ),
                width=8,
            ),
            panel(
                15,
                p.graph(
                    "Calls without output limit",
                    "Share of text calls that set no limit on the output. No alert: nearly all set none.",
                    events(q.output_limit_missing(HERE), "share"),
                    unit="percentunit",
                    most=1,
                    no_value="no text call in this range",
                ),
                width=8,
            ),
        ),
        row(
            24,
            "What is told?",
            7,
            panel(
                13,
                p.graph(
                    "Notices stored",
                    "Notices that reached Loki, by type.",
                    events(q.notices_by_type(HERE), "{{openai_safety_notice_type}}"),
                    known=c.ATTRIBUTES[c.NOTICE_TYPE].values,
                    bars=True,
                ),
                width=12,
            ),
            panel(
                14,
                p.graph(
                    "User reports",
                    "Answers that users of the product reported, by reason.",
                    events(q.user_reports(HERE), "{{openai_safety_report_reason}}"),
                    known=c.ATTRIBUTES[c.REPORT_REASON].values,
                    bars=True,
                ),
                width=12,
            ),
        ),
    )


def _compared() -> frame.Row:
    listed = {
        field(c.RECONCILE_PROJECT): Column("Project"),
        field(c.RECONCILE_KEY): Column("API key"),
        field(c.REQUEST_MODEL): Column("Model"),
        tables.VALUE: Column("Not seen", "short", width=90),
    }
    return row(
        25,
        "Does the provider count more than we see?",
        7,
        panel(
            26,
            p.number(
                "Requests in the dark",
                "Of the last comparison with the provider's own count: not seen here, and seen.",
                metric(pipe.compared(HERE, "dark"), instant=True),
                metric(pipe.compared(HERE, "matched"), instant=True),
                steps=((None, colours.CALM), (1, colours.TODAY)),
                named=("dark", "seen"),
                no_value="not compared in this range",
                link_to=frame.runbook("TrafficInTheDark"),
            ),
            width=6,
        ),
        panel(
            27,
            p.number(
                "Last comparison",
                "Up to when `openai-safety reconcile` last looked.",
                metric(pipe.last_compared(HERE), instant=True),
                unit="dateTimeFromNow",
                no_value="not compared in this range",
                link_to=frame.runbook("TrafficInTheDark"),
            ),
            width=6,
        ),
        panel(
            28,
            tables.listing(
                "Dark sources",
                "What the provider counts and nobody here saw, by the last comparison of each source in this range.",
                events(q.dark_sources(HERE), instant=True),
                columns=listed,
            ),
            width=12,
        ),
    )


def _past_the_sdk() -> frame.Row:
    off = "none counted (OPENAI_SAFETY_UNSEEN=on counts)"
    listed = {
        names.SERVICE: Column("Service"),
        names.ENVIRONMENT: Column("Environment"),
        field(c.SERVER_ADDRESS): Column("Host"),
        field(c.API): Column("API", width=110),
        tables.VALUE: Column("Requests", "short", width=90),
    }
    return row(
        29,
        "Which service talks past the SDK?",
        7,
        panel(
            30,
            tables.listing(
                "Who talks past the SDK",
                "Requests to the provider in this range that no record tells of, by service, host and API.",
                metric(pipe.who_talks_past_the_sdk(HERE), as_table=True),
                columns=listed,
                no_value=off,
            ),
            width=12,
        ),
        panel(
            31,
            p.graph(
                "Requests past the SDK",
                "When they were made. They carry no identifier of ours, and nobody is refused.",
                metric(pipe.past_the_sdk(HERE), "{{service_name}}: {{openai_safety_api}}"),
                bars=True,
                no_value=off,
                link_to=frame.runbook("RequestsPastTheSdk"),
            ),
            width=12,
        ),
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
        (trust.row(16, 23), _instrumentation(), _collector(), *_arrivals(), _compared(), _past_the_sdk()),
        "now-6h",
    )
