"""Beside other GenAI instrumentations: their span carries our attributes, none is added, calls count once."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SCOPES = {
    "official": "opentelemetry.instrumentation.genai.openai",
    "openinference": "openinference.instrumentation.openai",
    "traceloop": "opentelemetry.instrumentation.openai.v1",
    "logfire": "logfire.openai",
}
OUTCOMES = {
    "chat": "completed",
    "chat stream": "completed",
    "responses": "completed",
    "responses stream": "completed",
    "responses error": "blocked",
    "responses closed early": "abandoned",
    "embeddings": "completed",
}
ENRICHED = "outcome and identity"
IDENTITY = "identity"
NOTHING = "nothing"
# What each peer's spans carry of ours. Measured limits: logfire ends its request span before a stream is read
# (a second one of its own follows), Traceloop makes its Responses span only after the call has returned.
LIMITS: dict[tuple[str, str], list[str]] = {
    ("logfire", "chat stream"): [IDENTITY, NOTHING],
    ("logfire", "responses stream"): [IDENTITY, NOTHING],
    ("logfire", "responses closed early"): [IDENTITY, NOTHING],
    ("traceloop", "responses"): [NOTHING],
    ("traceloop", "responses stream"): [NOTHING],
    ("traceloop", "responses error"): [NOTHING],
    ("traceloop", "responses closed early"): [NOTHING],
}


def scenario(peer: str, order: str, mode: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / "scenario.py"), peer, order, mode],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["lines"] = {*map(tuple, found["lines"]), *(("stderr", line) for line in done.stderr.splitlines())}
    return found


@functools.cache
def lines_alone(peer: str) -> set[tuple[str, ...]]:
    """What the peer itself makes appear in logs and on standard error."""
    lines: set[tuple[str, ...]] = scenario(peer, "alone", "auto")["lines"]
    return lines


def carried(span: list[Any]) -> str:
    _, outcome, identity = span
    return ENRICHED if outcome and identity else IDENTITY if identity else NOTHING


@pytest.mark.parametrize("order", ["ours first", "peer first"])
@pytest.mark.parametrize("peer", SCOPES)
def test_one_span_of_theirs_and_one_event_of_ours(peer: str, order: str) -> None:
    """Loaded before or after us: the peer's spans alone, carrying what they can; one event each."""
    found = scenario(peer, order, "auto")
    for call, outcome in OUTCOMES.items():
        spans, events = found[call]["spans"], found[call]["events"]
        assert {SCOPES[peer]} == {scope for scope, _, _ in spans}, (call, spans)
        assert LIMITS.get((peer, call), [ENRICHED]) == [carried(span) for span in spans], call
        assert [outcome] == [one for one, _, _ in events], call
        assert [True] == [identity for _, identity, _ in events], call
    assert len(OUTCOMES) == found["calls"]
    assert set() == found["lines"] - lines_alone(peer)


def test_a_client_that_logfire_instrumented_before_us() -> None:
    """Its calls are recorded from their answers on, once each, in logfire's spans; one line says so."""
    found = scenario("logfire", "client first", "auto")
    for call, outcome in OUTCOMES.items():
        spans, events = found[call]["spans"], found[call]["events"]
        assert LIMITS.get(("logfire", call), [ENRICHED]) == [carried(span) for span in spans], call
        assert [(outcome, True)] == [(one, identity) for one, identity, _ in events], call
    assert len(OUTCOMES) == found["calls"]
    (line,) = found["lines"] - lines_alone("logfire")
    assert ("openai_safety_otel.instrumentation.observer", "WARNING") == line[:2]
    assert "instrumented before openai-safety-otel" in line[2]


@pytest.mark.parametrize(
    ("mode", "ours", "theirs"), [("own", 1, NOTHING), ("off", 0, NOTHING), ("enrich", 0, ENRICHED)]
)
def test_the_setting_decides_otherwise(mode: str, ours: int, theirs: str) -> None:
    """`SPAN=own` adds ours and leaves theirs alone, `off` does neither, `enrich` only enriches."""
    found = scenario("official", "ours first", mode)
    spans = found["chat"]["spans"]
    assert ours == sum(scope == "openai_safety_otel" for scope, _, _ in spans)
    assert [theirs] == [carried(span) for span in spans if span[0] == SCOPES["official"]]
    assert [1] == [len(found["chat"]["events"])]
    assert set() == found["lines"] - lines_alone("official")
