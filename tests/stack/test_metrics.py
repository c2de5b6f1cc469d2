from __future__ import annotations

import time
import urllib.request
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from stack import query, traffic
from stack.launches import write_targets
from stack.programs import Running

# As Prometheus stores them: what rules and dashboards are written with.
NAMES = {
    "openai_safety.calls": "openai_safety_calls_total",
    "openai_safety.blocks": "openai_safety_blocks_total",
    "openai_safety.moderation.checks": "openai_safety_moderation_checks_total",
    "openai_safety.flags": "openai_safety_flags_total",
    "openai_safety.time_to_first_output": "openai_safety_time_to_first_output_seconds",
    "openai_safety.identifier.problems": "openai_safety_identifier_problems_total",
    "openai_safety.notices": "openai_safety_notices_total",
    "openai_safety.notice.deadline": "openai_safety_notice_deadline_seconds",
    "openai_safety.webhooks": "openai_safety_webhooks_total",
    "openai_safety.dropped": "openai_safety_dropped_total",
    "openai_safety.instrumentation.info": "openai_safety_instrumentation_info",
    "openai_safety.suspensions.age": "openai_safety_suspensions_age_seconds",
}


def _metric(metric: instruments.Metric, at: int) -> dict[str, Any]:
    point: dict[str, Any] = {
        "timeUnixNano": str(at),
        "startTimeUnixNano": str(at - 10**9),
        "attributes": traffic.attributes_json(dict.fromkeys(metric.labels, "x")),
    }
    head = {"name": metric.name, "unit": metric.unit}
    if metric.kind == "histogram":
        counts = ["1"] + ["0"] * len(metric.bounds)
        point |= {"count": "1", "sum": 0.001, "explicitBounds": list(metric.bounds), "bucketCounts": counts}
        return head | {"histogram": {"dataPoints": [point], "aggregationTemporality": 2}}
    point["asInt"] = "1"
    if metric.kind == "gauge":
        return head | {"gauge": {"dataPoints": [point]}}
    return head | {"sum": {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": True}}


def test_every_metric_arrives_with_its_labels(agent: Running, prometheus: Running, service: str) -> None:
    """Each metric of the contract is stored under its Prometheus name with all its labels, service and environment."""
    at = time.time_ns()
    metrics = [
        _metric(one, at) for one in instruments.METRICS.values() if one is not instruments.MODERATION_SCORE
    ]
    scopes = [{"scope": {"name": c.SCOPE}, "metrics": metrics}]
    traffic.deliver(
        agent.url,
        "metrics",
        {"resourceMetrics": [{"resource": traffic.resource(service), "scopeMetrics": scopes}]},
    )

    def labels() -> dict[str, set[str]]:
        rows = query.promql(
            prometheus.url, f'{{service_name="{service}",deployment_environment_name="test"}}'
        )
        return {row["metric"]["__name__"]: set(row["metric"]) for row in rows}

    assert query.until(lambda: len(labels()) > len(NAMES), timeout=120), agent.log[-2000:]
    stored = labels()
    for name, shown in NAMES.items():
        metric = instruments.METRICS[name]
        series = shown + ("_count" if metric.kind == "histogram" else "")
        assert {label.replace(".", "_") for label in metric.labels} - stored.get(series, set()) == set(), (
            series,
            sorted(stored),
        )


def test_score_distributions_come_from_events(agent: Running, prometheus: Running, service: str) -> None:
    """The histograms' counts and buckets per category are those of the events that were sent."""
    events = traffic.mixed(0, 400)
    write_targets(prometheus.folder, "otelcol", [f"127.0.0.1:{agent.ports['scores']}"])
    traffic.send(agent.url, service, events, traffic.Ledger(), batch=20)
    name = c.SCORES["input"]["self-harm/intent"]
    low = sum(event.attributes[name] <= 0.5 for event in events)
    labels = f'service_name="{service}",deployment_environment_name="test",openai_safety_direction="input"'
    chosen = f'{labels},openai_safety_category="self-harm/intent"'

    def asked(series: str) -> list[str]:
        return [row["value"][1] for row in query.promql(prometheus.url, series)]

    count = f"openai_safety_moderation_score_count{{{chosen}}}"
    assert query.until(lambda: asked(count) == ["400"], timeout=60, every=1), (
        asked(count),
        agent.log[-2000:],
    )
    assert asked(f'openai_safety_moderation_score_bucket{{{chosen},le="0.5"}}') == [str(low)]
    assert asked(f"count(openai_safety_moderation_score_count{{{labels}}})") == ["13"]


def test_collector_tells_about_itself(agent: Running, service: str) -> None:
    """The collector's own metrics name each queue with its size and capacity, and what was accepted."""
    traffic.send(agent.url, service, traffic.mixed(0, 100), traffic.Ledger())
    url = f"http://127.0.0.1:{agent.ports['metrics']}/metrics"

    def shown() -> str:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())

    wanted = (
        'otelcol_exporter_queue_size{data_type="logs",exporter="otlp_http/safety"',
        'otelcol_exporter_queue_capacity{data_type="logs",exporter="otlp_http/completed"',
        "otelcol_receiver_accepted_log_records",
        "otelcol_exporter_sent_log_records",
    )
    assert query.until(lambda: all(name in shown() for name in wanted), timeout=120), shown()
