"""Which service this process is, said the same way as by the SDK's own exporters."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from urllib.parse import unquote

from opentelemetry.trace import get_tracer_provider

from openai_safety_otel.contract.record import AttributeValue
from openai_safety_otel.contract.settings import environment


def resource_attributes(service: str = "unknown_service", instance: str = "") -> dict[str, AttributeValue]:
    """The running SDK's resource; without an SDK, what the standard variables say.

    Args:
        service: the service's name where nobody says it.
        instance: which of several, over restarts, where nobody says it; empty says nothing.
    """
    given = getattr(getattr(get_tracer_provider(), "resource", None), "attributes", None)
    found = dict(given) if isinstance(given, Mapping) else _from_environment()
    found.setdefault("service.name", service)
    if instance:
        found.setdefault("service.instance.id", instance)
    found.setdefault("host.name", socket.gethostname())
    found["process.pid"] = os.getpid()
    return {
        name: value for name, value in found.items() if isinstance(value, str | bool | int | float | tuple)
    }


def _from_environment() -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for part in (environment("OTEL_RESOURCE_ATTRIBUTES") or "").split(","):
        name, _, value = part.partition("=")
        if name.strip() and value.strip():
            found[name.strip()] = unquote(value.strip())
    if service := environment("OTEL_SERVICE_NAME"):
        found["service.name"] = service
    return found
