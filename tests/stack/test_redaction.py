from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from stack import query, traffic
from stack.launches import COLLECTOR_CONFIG
from stack.programs import Running

MAIL = "canary.person@example.com"
KEY = "sk-canary0123456789abcdef"
PHONE = "+49 170 1234567"
PROMPT = "canary please tell me how to build a secret thing"
CANARIES = (MAIL, KEY, PHONE, PROMPT, "canary", "example.com", "1234567")

# Each is one place a value can hide in; every one is sent on its own log record.
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "content": {"gen_ai.input.messages": PROMPT, "gen_ai.output.messages": [{"role": PROMPT}]},
    "system prompt": {"gen_ai.system_instructions": PROMPT},
    "raw user id": {
        "user.id": "canary-u42",
        "enduser.id": MAIL,
        "user.name": "canary",
        "client.address": "canary",
    },
    "unknown key": {"customer_phone_number": PHONE, "x.y": "canary"},
    "address as identifier": {c.USER_HASH: MAIL},
    "number as identifier": {c.USER_HASH: "+491701234567"},
    "integer as identifier": {c.USER_HASH: 491701234567},
    "fraction as identifier": {c.USER_HASH: 491701234567.5},
    "list as identifier": {c.USER_HASH: [MAIL]},
    "linked identifier": {c.IDENTIFIER_LINKED: MAIL},
    "address in an allowed key": {c.REQUEST_MODEL: MAIL},
    "key in an allowed key": {c.ERROR_TYPE: f"bad key {KEY}"},
    "sentence in an allowed key": {c.CONVERSATION_ID: PROMPT},
    "object in an allowed key": {c.RESPONSE_ID: {"text": "canary"}},
    "list in an allowed key": {c.FINISH_REASONS: ["stop", MAIL]},
    "list of objects": {c.FINISH_REASONS: [{"text": "canary"}]},
    "phone in an allowed key": {c.NOTICE_REASON: PHONE},
    "evidence outside of its scope": {c.EVIDENCE_INPUT: "canary", c.REPORT_TEXT: "canary"},
    "operator's sentence": {c.DECISION_WHY: f"asked {MAIL} at {PHONE} about {KEY} today"},
}


def _stored_text(entries: list[dict[str, object]]) -> str:
    return json.dumps(entries, ensure_ascii=False)


def test_canaries_in_events_never_reach_loki(agent: Running, loki: Running, service: str) -> None:
    """Content, raw identifiers and secrets in attributes, bodies, scope and severity are gone in the store."""
    events = [traffic.call(at, **values) for at, values in enumerate(ATTRIBUTES.values())]
    events += [
        traffic.Event(c.CALL_EVENT, time.time_ns(), {c.OUTCOME: "completed"}, body=PROMPT),
        traffic.Event(c.CALL_EVENT, time.time_ns(), {c.OUTCOME: "blocked"}, body=f"{MAIL} {KEY}"),
        traffic.Event("canary.other", time.time_ns(), {"text": PROMPT}, body=PROMPT),
        traffic.Event(c.EVIDENCE_EVENT, time.time_ns(), {c.EVIDENCE_INPUT: PROMPT}, scope=c.EVIDENCE_SCOPE),
        traffic.Event(c.CALL_EVENT, time.time_ns(), {c.OUTCOME: "completed"}, scope=f"canary {MAIL}"),
    ]
    payload = traffic.logs_request(service, events)
    for group in payload["resourceLogs"][0]["scopeLogs"]:
        group["scope"]["attributes"] = traffic.attributes_json({"canary": "canary"})
        for record in group["logRecords"]:
            record["severityText"] = "canary"
    payload["resourceLogs"][0]["resource"]["attributes"] += traffic.attributes_json(
        {"canary.key": "canary", "process.command": MAIL}
    )
    objects = traffic.logs_request(
        service, [traffic.Event(c.CALL_EVENT, time.time_ns(), {c.OUTCOME: "completed"})]
    )
    objects["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"] = {
        "kvlistValue": {"values": traffic.attributes_json({"prompt": PROMPT})}
    }
    for one in (payload, objects):
        traffic.deliver(agent.url, "logs", one)

    stored = len(events) - 2 + 1  # without the foreign event and the evidence, with the object body
    assert query.until(lambda: len(query.lines(loki.url, f'{{service_name="{service}"}}')) == stored), (
        agent.log[-2000:]
    )
    entries = query.lines(loki.url, f'{{service_name="{service}"}}')
    assert [canary for canary in CANARIES if canary in _stored_text(entries)] == []
    assert query.lines(loki.url, f'{{service_name="{service}"}}', tenant=query.EVIDENCE_TENANT) == []


def test_what_is_allowed_arrives_unchanged(agent: Running, loki: Running, service: str) -> None:
    """Each attribute of a call event is stored with its value, and a raw identifier leaves the fact that it was one."""
    event = traffic.call(7, outcome="blocked", person=3)
    raw = traffic.call(8, **_attributes(c.USER_HASH, MAIL))
    own = traffic.call(9, **_attributes(c.USER_HASH, "cust_00017"))
    traffic.deliver(agent.url, "logs", traffic.logs_request(service, [event, raw, own]))
    assert query.until(lambda: len(query.lines(loki.url, f'{{service_name="{service}"}}')) == 3)
    by_id = {
        entry["gen_ai_response_id"]: entry for entry in query.lines(loki.url, f'{{service_name="{service}"}}')
    }
    stored = by_id[event.attributes[c.RESPONSE_ID]]
    names = {name: name.replace(".", "_").replace("/", "_").replace("-", "_") for name in event.attributes}
    sent = {names[name]: _as_stored(value) for name, value in event.attributes.items()}
    assert {name: stored.get(name) for name in sent} == sent
    suspect = by_id[raw.attributes[c.RESPONSE_ID]]
    assert ("user_hash" in suspect, suspect["openai_safety_identifier_raw_suspected"]) == (False, "true")
    assert by_id[own.attributes[c.RESPONSE_ID]]["user_hash"] == "cust_00017"


def _attributes(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


def _as_stored(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _span(name: str, **more: object) -> dict[str, object]:
    return {
        "traceId": secrets.token_hex(16),
        "spanId": secrets.token_hex(8),
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(time.time_ns()),
        "endTimeUnixNano": str(time.time_ns()),
        **more,
    }


def test_canaries_in_spans_never_reach_the_trace_store(
    collector: Callable[..., Running], tmp_path: Path, service: str
) -> None:
    """Names, messages, attributes, events, scopes and trace state are searched; a span with links stays behind."""
    sink = tmp_path / "traces.jsonl"
    overlay = COLLECTOR_CONFIG / "traces-to-file.yaml"
    agent = collector("agent.yaml", overlay, env={"TRACES_FILE": str(sink), "TRACE_SHARE_PERCENT": "100"})
    attributes = [{c.OUTCOME: "blocked", **values} for values in ATTRIBUTES.values()]
    spans = [_span("chat gpt-5", attributes=traffic.attributes_json(one)) for one in attributes]
    spans += [
        _span(f"call for {MAIL}"),
        _span(PROMPT),
        _span("chat", status={"code": 2, "message": PROMPT}),
        _span("chat", traceState="canary=canary"),
        _span(
            "chat",
            events=[{"name": PROMPT, "attributes": traffic.attributes_json({"exception.message": PROMPT})}],
        ),
        _span(
            "chat",
            events=[{"name": "exception", "attributes": traffic.attributes_json({c.ERROR_TYPE: MAIL})}],
        ),
        _span(
            "chat",
            links=[
                {
                    "traceId": "0" * 31 + "1",
                    "spanId": "0" * 15 + "1",
                    "attributes": traffic.attributes_json({"canary": MAIL}),
                }
            ],
        ),
    ]
    scope = {
        "name": f"canary {MAIL} {PROMPT}",
        "version": "canary",
        "attributes": traffic.attributes_json({"canary": "canary"}),
    }
    payload = {
        "resourceSpans": [
            {
                "resource": traffic.resource(service, canary="canary"),
                "scopeSpans": [{"scope": scope, "spans": spans}],
            }
        ]
    }
    traffic.deliver(agent.url, "traces", payload)
    assert query.until(
        lambda: sink.exists() and sink.read_text().count('"spanId"') == len(spans) - 1, timeout=120
    ), agent.log[-2000:]
    text = sink.read_text()
    assert [canary for canary in CANARIES if canary in text] == []
    assert text.count('"blocked"') == len(attributes)


# Scope, and whether its span with a link leaves the agent.
LINKING = {
    "opentelemetry.instrumentation.celery": True,
    "opentelemetry.instrumentation.confluent_kafka": True,
    "opentelemetry.instrumentation.celery.more": False,
    "opentelemetry.instrumentation.openai_v2": False,
    "worker.batches": False,
    "": False,
}


@pytest.mark.parametrize(
    ("settings", "linking"),
    [
        ({}, LINKING),
        ({"PLAIN_LINKS": "worker[.].*"}, {**dict.fromkeys(LINKING, False), "worker.batches": True}),
    ],
)
def test_spans_with_links_pass_from_scopes_that_write_plain_ones(
    collector: Callable[..., Running],
    tmp_path: Path,
    service: str,
    settings: dict[str, str],
    linking: dict[str, bool],
) -> None:
    """A batch consumer's span keeps its links where its instrumentation writes no attributes on them; others stay."""
    sink, overlay = tmp_path / "traces.jsonl", COLLECTOR_CONFIG / "traces-to-file.yaml"
    agent = collector(
        "agent.yaml", overlay, env={"TRACES_FILE": str(sink), "TRACE_SHARE_PERCENT": "100", **settings}
    )
    link = {"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1"}
    scopes = [
        {"scope": {"name": scope}, "spans": [_span("chat", links=[link] * 2), _span("chat")]}
        for scope in linking
    ]
    traffic.deliver(
        agent.url,
        "traces",
        {"resourceSpans": [{"resource": traffic.resource(service), "scopeSpans": scopes}]},
    )
    passed = len(linking) + sum(linking.values())

    def stored() -> list[dict[str, Any]]:
        lines = sink.read_text().split("\n")[:-1] if sink.exists() else []  # whole ones
        parts = [
            scope
            for line in lines
            for one in json.loads(line)["resourceSpans"]
            for scope in one["scopeSpans"]
        ]
        return [span for part in parts for span in part["spans"]]

    assert query.until(lambda: len(stored()) == passed, timeout=120), (stored(), agent.log[-2000:])
    links = [span["links"] for span in stored() if "links" in span]
    assert links == [[link] * 2] * sum(linking.values())


def test_canaries_in_metrics_never_reach_prometheus(
    agent: Running, prometheus: Running, service: str
) -> None:
    """Unknown labels, values that look personal, foreign metrics, descriptions and exemplars are not stored."""
    point = {
        "asInt": "1",
        "timeUnixNano": str(time.time_ns()),
        "startTimeUnixNano": str(time.time_ns() - 10**9),
        "attributes": traffic.attributes_json(
            {c.API: "responses", c.OUTCOME: MAIL, c.USER_HASH: "canary", "email": MAIL}
        ),
        "exemplars": [
            {
                "asInt": "1",
                "timeUnixNano": str(time.time_ns()),
                "filteredAttributes": traffic.attributes_json({"canary": "canary"}),
            }
        ],
    }
    calls = {
        "sum": {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": True},
        "unit": "{call}",
    }
    metrics = [
        {"name": name, "description": PROMPT, **calls} for name in (instruments.CALLS.name, "canary.requests")
    ]
    scope = {"name": f"canary {MAIL}"}
    body = {
        "resourceMetrics": [
            {
                "resource": traffic.resource(service, canary="canary"),
                "scopeMetrics": [{"scope": scope, "metrics": metrics}],
            }
        ]
    }
    traffic.deliver(agent.url, "metrics", body)
    series = f'{{service_name="{service}",__name__!="target_info"}}'
    assert query.until(lambda: len(query.promql(prometheus.url, series)) == 1, timeout=120), agent.log[-2000:]
    now = time.time()
    window = {"start": now - 3600, "end": now + 60}
    everything = [
        query.get(prometheus.url, "/api/v1/series", {"match[]": '{__name__=~".+"}', **window}),
        query.get(prometheus.url, "/api/v1/metadata"),
        query.get(prometheus.url, "/api/v1/query_exemplars", {"query": series, **window}),
        query.get(prometheus.url, "/api/v1/labels"),
    ]
    text = json.dumps(everything)
    assert [canary for canary in CANARIES if canary in text] == []
    stored = query.promql(prometheus.url, series)[0]["metric"]
    assert (stored["__name__"], stored["openai_safety_outcome"]) == ("openai_safety_calls_total", "****")
