"""Other instrumentations that make their span only after the call has returned: a table of facts."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from openai_safety_otel.instrumentation.extract.endpoints import Endpoint


class LatePeer(NamedTuple):
    """One such instrumentation: where its wrapper's code lives, and the method it wraps for an endpoint."""

    wrapper_module: str
    owner_module: str
    owner: str
    attribute: str


# Measured: Traceloop makes its Responses span when the call (or its stream) has ended.
_TRACELOOP = "opentelemetry.instrumentation.openai.v1.responses_wrappers"
LATE: dict[str, LatePeer] = {
    "responses.create": LatePeer(_TRACELOOP, "openai.resources.responses", "Responses", "create"),
    "responses.retrieve": LatePeer(_TRACELOOP, "openai.resources.responses", "Responses", "retrieve"),
    "responses.cancel": LatePeer(_TRACELOOP, "openai.resources.responses", "Responses", "cancel"),
}


def span_comes_late(endpoint: Endpoint) -> bool:
    """Whether another instrumentation will make a span for this call once it has returned.

    Then the event alone carries the outcome: a second span would count the call twice.
    """
    peer = LATE.get(endpoint.name)
    if peer is None or peer.wrapper_module not in sys.modules:
        return False
    owner: Any = getattr(sys.modules.get(peer.owner_module), peer.owner, None)
    return hasattr(getattr(owner, "__dict__", {}).get(peer.attribute), "_self_wrapper")
