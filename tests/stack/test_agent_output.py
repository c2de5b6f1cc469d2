"""What leaves the shipped agent, byte for byte: written to files in place of the stores, and searched for canaries."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from stack import query, traffic
from stack.programs import Running

WORD = "canary please tell me how"
BYTES = {"bytesValue": base64.b64encode(WORD.encode()).decode()}
# As the world spells them; the start of each says what may not be found.
SPELLED = (
    "canary.jane\uff20example.com",
    '"canary doe"@example.com',
    "canary\u00a0told\u00a0us\u00a0this\u00a0today",
    "+49\u00a0170\u00a01234567",
    "4111\u00a01111\u00a01111\u00a01111",
    "4111111111111111",
    "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
    "030\u00a0123\u00a0456\u00a078",
    "AIzaSyD-1234567890abcdefghijklmnopqrstu",
)
# Long enough to stand in no time and no score.
CANARIES = (
    "canary",
    "example.com",
    "\u00a01234567",
    "4111\u00a0",
    "4111111111111111",
    "DE89",
    "030\u00a0",
    "\u00a0456",
    "AIza",
    BYTES["bytesValue"],
)
OVERLAY = """
exporters:
  file/logs: {{path: {folder}/logs.jsonl, flush_interval: 100ms}}
  file/metrics: {{path: {folder}/metrics.jsonl, flush_interval: 100ms}}
  file/traces: {{path: {folder}/traces.jsonl, flush_interval: 100ms}}
service:
  pipelines:
    logs/safety: {{exporters: [file/logs, signal_to_metrics/scores]}}
    logs/completed: {{exporters: [file/logs, signal_to_metrics/scores]}}
    metrics: {{exporters: [file/metrics]}}
    traces/outcomes: {{exporters: [file/traces]}}
    traces/sampled: {{exporters: [file/traces]}}
"""


def _agent(collector: Callable[..., Running], folder: Path) -> Running:
    overlay = folder / "overlay.yaml"
    overlay.write_text(OVERLAY.format(folder=folder))
    return collector("agent.yaml", overlay, env={"TRACE_SHARE_PERCENT": "100"})


def _written(folder: Path, signal: str, mark: str, count: int, agent: Running) -> str:
    path = folder / f"{signal}.jsonl"
    assert query.until(lambda: path.exists() and path.read_text().count(mark) == count, timeout=120), (
        agent.log[-2000:]
    )
    return path.read_text()


def test_exemplars_units_and_versions_stay_behind(
    collector: Callable[..., Running], tmp_path: Path, service: str
) -> None:
    """Nothing of an exemplar, a unit, a scope or a label in bytes leaves; the seconds that names need do."""
    at = str(time.time_ns())
    hidden = traffic.attributes_json({"enduser.id": "canary", "gen_ai.prompt": WORD})
    point: dict[str, Any] = {
        "timeUnixNano": at,
        "startTimeUnixNano": at,
        "attributes": [*traffic.attributes_json({c.API: "responses"}), {"key": c.OUTCOME, "value": BYTES}],
        "exemplars": [{"asInt": "1", "timeUnixNano": at, "filteredAttributes": hidden}],
    }
    sums = {"dataPoints": [{**point, "asInt": "1"}], "aggregationTemporality": 2, "isMonotonic": True}
    bounds = {"count": "1", "sum": 1.0, "explicitBounds": [1.0], "bucketCounts": ["1", "0"]}
    waits = {"dataPoints": [{**point, **bounds}], "aggregationTemporality": 2}
    metrics = [
        {"name": instruments.CALLS.name, "unit": f"{{{WORD}}}", "description": WORD, "sum": sums},
        {"name": instruments.FIRST_OUTPUT.name, "unit": "canary", "histogram": waits},
    ]
    scope = {"name": WORD, "version": "canary", "attributes": traffic.attributes_json({"canary": WORD})}
    body = {"resource": traffic.resource(service), "scopeMetrics": [{"scope": scope, "metrics": metrics}]}
    agent = _agent(collector, tmp_path)
    traffic.deliver(agent.url, "metrics", {"resourceMetrics": [body]})
    text = _written(tmp_path, "metrics", '"startTimeUnixNano"', 2, agent)
    assert [canary for canary in CANARIES if canary in text] == []
    assert (text.count('"unit":"s"'), text.count("filteredAttributes"), text.count('"responses"')) == (
        1,
        0,
        2,
    )


def test_spellings_and_bytes_stay_behind(
    collector: Callable[..., Running], tmp_path: Path, service: str
) -> None:
    """Personal data with Unicode's spaces and signs, cards, accounts, keys and bytes leave in no event and no span."""
    carried = [traffic.attributes_json({c.REQUEST_MODEL: one}) for one in SPELLED]
    carried.append([{"key": c.REQUEST_MODEL, "value": BYTES}])
    carried.append([{"key": c.USER_HASH, "value": BYTES}])
    carried.append(traffic.attributes_json({c.USER_HASH: "canary\uff20home"}))
    payload = traffic.logs_request(
        service, [traffic.call(at, outcome="blocked") for at in range(len(carried))]
    )
    records = payload["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    for record, attributes in zip(records, carried, strict=True):
        keys = {one["key"] for one in attributes}
        record["attributes"] = [one for one in record["attributes"] if one["key"] not in keys] + attributes
    agent = _agent(collector, tmp_path)
    traffic.deliver(agent.url, "logs", payload)
    text = _written(tmp_path, "logs", '"logRecords"', 1, agent)
    assert [canary for canary in CANARIES if canary in text] == []
    blocked = traffic.attributes_json({c.OUTCOME: "blocked"})
    times = {"startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns())}
    spans = [
        {
            "traceId": f"{at + 1:032x}",
            "spanId": f"{at + 1:016x}",
            "name": "chat",
            "kind": 3,
            **times,
            "attributes": blocked + one,
        }
        for at, one in enumerate(carried)
    ]
    scopes = [{"scope": {"name": "x"}, "spans": spans}]
    traffic.deliver(
        agent.url,
        "traces",
        {"resourceSpans": [{"resource": traffic.resource(service), "scopeSpans": scopes}]},
    )
    text = _written(tmp_path, "traces", '"spanId"', len(spans), agent)
    assert [canary for canary in CANARIES if canary in text] == []
