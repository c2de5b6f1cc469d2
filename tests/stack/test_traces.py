from __future__ import annotations

import json
import random
import re
import secrets
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from stack import query, traffic
from stack.programs import Running

Collector = Callable[..., Running]
OUTCOMES: dict[str, dict[str, Any]] = {
    "blocked": {c.OUTCOME: "blocked"},
    "refused": {c.OUTCOME: "refused"},
    "failed": {c.OUTCOME: "failed"},
    "flagged": {c.OUTCOME: "completed", c.FLAGGED["input"]: True},
}


def _span(trace: str, name: str, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
    at = str(time.time_ns())
    ids = {"traceId": trace, "spanId": secrets.token_hex(8)}
    shown = traffic.attributes_json(attributes or {c.OUTCOME: "completed"})
    return {
        **ids,
        "name": name,
        "kind": 3,
        "startTimeUnixNano": at,
        "endTimeUnixNano": at,
        "attributes": shown,
    }


def _deliver(agent: Running, service: str, spans: list[dict[str, Any]]) -> None:
    scopes = [{"scope": {"name": c.SCOPE}, "spans": spans}]
    body = {"resourceSpans": [{"resource": traffic.resource(service), "scopeSpans": scopes}]}
    traffic.deliver(agent.url, "traces", body)


def _stored(sink: Path) -> list[tuple[str, str]]:
    """(trace, span name) of everything in the trace store, in order of the names."""
    if not sink.exists():
        return []
    batches = [json.loads(line) for line in sink.read_text().splitlines() if line.endswith("}")]
    return sorted(
        (span["traceId"], span["name"])
        for batch in batches
        for group in batch["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    )


@pytest.fixture
def sink(tmp_path: Path) -> Path:
    return tmp_path / "traces.jsonl"


@pytest.fixture
def sampling(collector: Collector, sink: Path) -> Running:
    """The shipped sampling, keeping no ordinary trace, so that what is kept is kept for its outcome."""
    env = {"TRACES_FILE": str(sink), "TRACE_SHARE_PERCENT": "0", "TRACE_DECISION_WAIT": "1s"}
    return collector("agent.yaml", "traces-to-file.yaml", env=env)


def test_traces_with_an_outcome_are_kept_whole(sampling: Running, sink: Path, service: str) -> None:
    """Each trace with a blocked, refused, failed or flagged call is stored whole and once; ordinary ones are not."""
    traces = {kind: secrets.token_hex(16) for kind in (*OUTCOMES, "completed")}
    spans = [_span(trace, "GET /chat", {"http.route": "/chat"}) for trace in traces.values()]
    spans += [_span(trace, "chat gpt-5", OUTCOMES.get(kind)) for kind, trace in traces.items()]
    _deliver(sampling, service, spans)
    expected = sorted((traces[kind], name) for kind in OUTCOMES for name in ("GET /chat", "chat gpt-5"))
    assert query.until(lambda: _stored(sink) == expected, timeout=120), _stored(sink)


_DROPPED = (
    r'(?m)^otelcol_processor_tail_sampling_global_count_traces_sampled\S*\{[^}]*sampled="false"[^}]*\} (\d+)'
)


def _dropped(agent: Running) -> int:
    """How many traces the sampler has decided to drop, by its own count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{agent.ports['metrics']}/metrics", timeout=30) as answer:
        return sum(map(int, re.findall(_DROPPED, answer.read().decode())))


def test_late_outcome_bypasses_the_sampler(sampling: Running, sink: Path, service: str) -> None:
    """A block that comes long after the sampler dropped its trace is in the store all the same."""
    trace = secrets.token_hex(16)
    _deliver(sampling, service, [_span(trace, "begin")])
    assert query.until(lambda: _dropped(sampling) == 1, timeout=120)  # and is remembered
    assert _stored(sink) == []
    _deliver(sampling, service, [_span(trace, "chat gpt-5", OUTCOMES["blocked"])])
    assert query.until(lambda: _stored(sink) == [(trace, "chat gpt-5")], timeout=120), _stored(sink)


def test_share_of_ordinary_traces(collector: Collector, sink: Path, service: str) -> None:
    """About the configured share of ordinary traces is kept."""
    env = {"TRACES_FILE": str(sink), "TRACE_SHARE_PERCENT": "25", "TRACE_DECISION_WAIT": "1s"}
    agent = collector("agent.yaml", "traces-to-file.yaml", env=env)
    chance = random.Random(7)  # the share is taken by hash: ids must be as random as real ones
    traces = [f"{chance.getrandbits(128):032x}" for _ in range(800)]
    _deliver(agent, service, [_span(trace, "chat gpt-5") for trace in traces])
    # 200 of 800, five standard deviations either way.
    assert query.until(lambda: len(_stored(sink)) > 120, timeout=120), len(_stored(sink))
    time.sleep(4)  # whatever else would be kept
    assert len(_stored(sink)) < 280


def test_identifier_on_a_span_is_no_personal_data(collector: Collector, sink: Path, service: str) -> None:
    """A hashed identifier stays on the span; an address in its place goes, and the fact that it was there stays."""
    agent = collector("agent.yaml", "traces-to-file.yaml", env={"TRACES_FILE": str(sink)})
    good, bad = (
        {c.OUTCOME: "blocked", c.USER_HASH: who} for who in (traffic.identifier(1), "a.person@example.com")
    )
    _deliver(agent, service, [_span("1" * 32, "good", good), _span("2" * 32, "bad", bad)])
    assert query.until(lambda: len(_stored(sink)) == 2, timeout=120)
    text = sink.read_text()
    assert (text.count(traffic.identifier(1)), text.count("example.com"), text.count(c.IDENTIFIER_RAW)) == (
        1,
        0,
        1,
    )
