"""The app's own log lines: who, which trace and which response, so that they can be found by identifier."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from opentelemetry.trace import format_trace_id, get_current_span

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.instrumentation.passing import last_response_id


def context_fields() -> dict[str, str]:
    """What is known right now: ``safety_identifier`` (hashed), ``trace_id``, ``openai_response_id``."""
    observer = SafetyInstrumentor().observer
    who = observer.delivery.identity_now() if observer is not None else None
    span = get_current_span().get_span_context()
    fields = {
        "safety_identifier": who.value if who is not None else None,
        "trace_id": format_trace_id(span.trace_id) if span.is_valid else None,
        "openai_response_id": last_response_id(),
    }
    return {name: value for name, value in fields.items() if value}


class SafetyFilter(logging.Filter):
    """``handler.addFilter(SafetyFilter())``: sets the fields on every record, ``-`` where unknown."""

    NAMES = ("safety_identifier", "trace_id", "openai_response_id")

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; never drops a record."""
        fields: dict[str, str] = {}
        with own_errors("log filter"):
            fields = context_fields()
        for name in self.NAMES:
            if not hasattr(record, name):
                setattr(record, name, fields.get(name, "-"))
        return True


def add_safety_context(
    logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: adds the known fields, never over the app's own."""
    with own_errors("log processor"):
        for name, value in context_fields().items():
            event_dict.setdefault(name, value)
    return event_dict
