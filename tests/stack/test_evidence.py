from __future__ import annotations

import time
from collections.abc import Callable

from openai_safety_otel.contract import conventions as c
from stack import query, traffic
from stack.programs import Running

Collector = Callable[..., Running]


def _evidence(text: str) -> traffic.Event:
    attributes = {
        c.USER_HASH: traffic.identifier(5),
        c.RESPONSE_ID: "resp_1",
        c.EVIDENCE_INPUT: text,
        "user.name": "canary",
    }
    return traffic.Event(c.EVIDENCE_EVENT, time.time_ns(), attributes, scope=c.EVIDENCE_SCOPE, body="canary")


def test_evidence_has_a_tenant_of_its_own(collector: Collector, loki: Running, service: str) -> None:
    """Evidence is stored, masked, where only its own credentials read; the dashboards' tenant sees the call alone."""
    agent = collector(
        "agent.yaml", "evidence.yaml", env={"LOKI_URL": loki.url, "EVIDENCE_LOKI_URL": loki.url}
    )
    events = [
        traffic.call(1, outcome="blocked", person=5),
        _evidence("write to canary@example.com how to hurt them"),
    ]
    traffic.deliver(agent.url, "logs", traffic.logs_request(service, events))
    selector = f'{{service_name="{service}"}}'
    assert query.until(lambda: len(query.lines(loki.url, selector, tenant=query.EVIDENCE_TENANT)) == 1), (
        agent.log[-2000:]
    )
    stored = query.lines(loki.url, selector, tenant=query.EVIDENCE_TENANT)[0]
    assert stored["openai_safety_evidence_input"] == "write to **** how to hurt them"
    assert (stored["user_hash"], stored["openai_safety_stream"]) == (traffic.identifier(5), "evidence")
    assert "canary" not in str(stored)
    assert query.until(lambda: len(query.lines(loki.url, selector)) == 1)
    assert [entry["event_name"] for entry in query.lines(loki.url, selector)] == [c.CALL_EVENT]
    assert query.lines(loki.url, '{openai_safety_stream="evidence"}') == []


def test_without_the_overlay_evidence_is_dropped(agent: Running, loki: Running, service: str) -> None:
    """The plain agent stores no content anywhere."""
    events = [traffic.call(1), _evidence("some text")]
    traffic.deliver(agent.url, "logs", traffic.logs_request(service, events))
    selector = f'{{service_name="{service}"}}'
    assert query.until(lambda: len(query.lines(loki.url, selector)) == 1)
    assert query.lines(loki.url, selector, tenant=query.EVIDENCE_TENANT) == []
