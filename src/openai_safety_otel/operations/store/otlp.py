"""The shape of an OTLP JSON line, as far as reading events needs it: decoded straight into these."""

from __future__ import annotations

from typing import Any

import msgspec


class Pair(msgspec.Struct, gc=False):
    """One attribute; its value is an object of one member."""

    key: str
    value: dict[str, Any]


class Record(msgspec.Struct, gc=False, rename="camel"):
    """One log record."""

    attributes: list[Pair] = []
    time_unix_nano: str | int = 0
    observed_time_unix_nano: str | int = 0
    event_name: str | None = None
    severity_text: str | None = None
    severity_number: int = 0
    body: dict[str, Any] | None = None
    trace_id: str | None = None
    span_id: str | None = None


class Scope(msgspec.Struct, gc=False, rename="camel"):
    """One instrumentation scope's records."""

    log_records: list[Record] = []


class Resource(msgspec.Struct, gc=False, rename="camel"):
    """One process's records; what the process is stays undecoded, because it is the same in every line."""

    scope_logs: list[Scope] = []
    resource: msgspec.Raw = msgspec.Raw()


class Line(msgspec.Struct, gc=False, rename="camel"):
    """One line of a file; without ``resourceLogs`` it is another signal's."""

    resource_logs: list[Resource] | None = None


_decoder = msgspec.json.Decoder(Line)


def decode_line(line: bytes) -> Line:
    """One line, typed.

    Raises:
        msgspec.DecodeError: it is no JSON, or not of this shape.
    """
    return _decoder.decode(line)
