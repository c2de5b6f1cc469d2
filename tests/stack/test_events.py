from __future__ import annotations

from typing import Any

from openai_safety_otel.contract import conventions as c
from stack import query, traffic
from stack.programs import Running


def test_every_call_is_stored_once(agent: Running, loki: Running, service: str) -> None:
    """A thousand calls of forty people: the numbers per identifier and outcome in Loki are the ledger's."""
    ledger = traffic.Ledger()
    traffic.send(agent.url, service, traffic.mixed(0, 1000), ledger)
    assert query.until(lambda: query.calls_by_identifier(loki.url, service) == ledger.calls), agent.log[
        -3000:
    ]


def test_streams_part_by_what_happened(agent: Running, loki: Running, service: str) -> None:
    """Completed calls, notable ones and decisions each get their label; nothing else becomes one."""
    changed: dict[str, Any] = {c.INPUT_TRANSFORMATIONS: ["end_user_mismatch"]}
    events = [
        traffic.call(1),
        traffic.call(2, outcome="blocked"),
        traffic.call(3, flagged=True),
        traffic.call(4, outcome="refused"),
        traffic.call(5, **changed),
        traffic.Event(c.NOTICE_EVENT, 0, {c.NOTICE_TYPE: "warning", c.NOTICE_ID: "case_1"}),
        traffic.Event(c.USER_REPORT_EVENT, 0, {c.REPORT_REASON: "hate"}),
        traffic.Event(c.RECONCILIATION_EVENT, 0, {c.RECONCILE_DARK: 30}),
        traffic.Event(c.DARK_EVENT, 0, {c.RECONCILE_KEY: "jobs", c.RECONCILE_DARK: 30}),
        traffic.Event(c.UNMATCHED_EVENT, 0, {c.RECONCILE_KEY: "web", c.RECONCILE_OURS: 30}),
        traffic.Event(
            c.DECISION_EVENT, 0, {c.DECISION_ACTION: "suspend", c.DECISION_WHY: "third block in a row today"}
        ),
    ]
    now = events[0].time_ns
    events = [
        traffic.Event(e.name, now + at, e.attributes, e.body, e.severity) for at, e in enumerate(events)
    ]
    traffic.deliver(agent.url, "logs", traffic.logs_request(service, events))

    def stored() -> dict[str, list[str]]:
        streams: dict[str, list[str]] = {}
        for entry in query.lines(loki.url, f'{{service_name="{service}"}}'):
            streams.setdefault(entry["openai_safety_stream"], []).append(entry["event_name"])
        return streams

    expected = {
        "completed": [c.CALL_EVENT],
        "notable": sorted(
            [
                *[c.CALL_EVENT] * 4,
                c.NOTICE_EVENT,
                c.USER_REPORT_EVENT,
                c.RECONCILIATION_EVENT,
                c.DARK_EVENT,
                c.UNMATCHED_EVENT,
            ]
        ),
        "decision": [c.DECISION_EVENT],
    }
    assert query.until(lambda: sum(map(len, stored().values())) == len(events))
    assert {stream: sorted(names) for stream, names in stored().items()} == expected
    labels = query.get(loki.url, "/loki/api/v1/labels", tenant=query.TENANT)["data"]
    # Loki parts a busy stream under a label of its own, `__stream_shard__`.
    assert sorted(one for one in labels if not one.startswith("__")) == [
        "deployment_environment_name",
        "openai_safety_stream",
        "service_name",
    ]
