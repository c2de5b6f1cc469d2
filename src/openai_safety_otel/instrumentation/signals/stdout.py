"""Events as flat JSON lines on standard output, for platforms that collect it."""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime, timezone
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.instrumentation.signals.background import Background, Drop


def stdout_events(on_drop: Drop | None = None) -> Background:
    """Writes each event as one line of JSON, in the background: a full pipe must not hold up a call."""
    return Background(_write, name="openai-safety-stdout", on_drop=on_drop)


def flat(event: SafetyEvent) -> str:
    """One event as one flat JSON object, without a newline."""
    seconds, rest = divmod(event.time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    facts: dict[str, Any] = {
        "timestamp": f"{moment}.{rest // 1000:06d}Z",
        "severity": event.severity,
        c.EVENT_NAME: event.name,
        "message": event.body,
    }
    if event.trace_id:
        facts |= {"trace_id": f"{event.trace_id:032x}", "span_id": f"{event.span_id:016x}"}
    facts |= {name: _plain(value) for name, value in event.attributes.items()}
    return json.dumps(facts, separators=(",", ":"))


def _plain(value: AttributeValue) -> AttributeValue | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(event: SafetyEvent) -> None:
    # Looked up each time: an app may have put another stream in its place. A line is one write.
    sys.stdout.write(flat(event) + "\n")
    sys.stdout.flush()
