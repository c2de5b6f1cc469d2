"""Other instrumentations that make their span only after the call has returned: a table of facts."""

from __future__ import annotations

import sys
from typing import Any

from openai_safety_otel.instrumentation.extract.endpoints import Endpoint

# Measured: Traceloop makes its Responses span when the call (or its stream) has ended. The methods that it wraps.
_TRACELOOP = "opentelemetry.instrumentation.openai.v1.responses_wrappers"
_WRAPPED = {"responses.create": "create", "responses.retrieve": "retrieve", "responses.cancel": "cancel"}


def span_comes_late(endpoint: Endpoint) -> bool:
    """Whether another instrumentation will make a span for this call once it has returned.

    Then the event alone carries the outcome: a second span would count the call twice.
    """
    method = _WRAPPED.get(endpoint.name)
    if method is None or _TRACELOOP not in sys.modules:
        return False
    owner: Any = getattr(sys.modules.get("openai.resources.responses"), "Responses", None)
    return hasattr(getattr(owner, "__dict__", {}).get(method), "_self_wrapper")
