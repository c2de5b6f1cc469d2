"""Events as OTLP JSON, one object a line: what the collector's file exporter writes and reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent

HEADER_BYTES = 1024
SEVERITY_NUMBERS = {"INFO": 9, "WARN": 13, "ERROR": 17}


def header(file_name: str) -> bytes:
    """The first line of a file: no event, `HEADER_BYTES` long.

    A collector's file receiver knows a file by its first thousand bytes. These never change, so a file whose
    records were erased is not read in again.
    """
    document = json.dumps({"resourceLogs": [], "file": file_name}, separators=(",", ":")).encode()
    return document.ljust(HEADER_BYTES - 1) + b"\n"


def line(event: SafetyEvent, resource: Mapping[str, AttributeValue]) -> bytes:
    """One event as a line of its own, newline included; ASCII only, so no encoding can tear it."""
    record: dict[str, Any] = {
        "timeUnixNano": str(event.time_ns),
        "observedTimeUnixNano": str(event.time_ns),
        "severityNumber": SEVERITY_NUMBERS[event.severity],
        "severityText": event.severity,
        "eventName": event.name,
        "attributes": _pairs({**event.attributes, c.EVENT_NAME: event.name}),
    }
    if event.body:
        record["body"] = {"stringValue": event.body}
    if event.trace_id:
        record["traceId"] = f"{event.trace_id:032x}"
        record["spanId"] = f"{event.span_id:016x}"
        record["flags"] = event.trace_flags
    scope = {"scope": {"name": event.scope}, "logRecords": [record]}
    document = {"resourceLogs": [{"resource": {"attributes": _pairs(resource)}, "scopeLogs": [scope]}]}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _pairs(attributes: Mapping[str, AttributeValue]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: AttributeValue) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _WORDS[str(value)]}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_value(item) for item in value]}}


# JSON has no such numbers; OTLP spells them as words.
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
