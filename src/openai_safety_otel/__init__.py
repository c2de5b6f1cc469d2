"""Safety observability for products built on the OpenAI API.

The package brings a pytest plugin too, and is often loaded before pytest: PYTEST_DONT_REWRITE keeps it from warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openai_safety_otel.who.current import carry, end_user, set_end_user
from openai_safety_otel.who.user import EndUser

if TYPE_CHECKING:
    from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
    from openai_safety_otel.instrumentation.public import report_issue, safety_identifier
    from openai_safety_otel.instrumentation.suspended import EndUserSuspended
    from openai_safety_otel.operations.store.notebook import events

__all__ = [
    "EndUser",
    "EndUserSuspended",
    "SafetyInstrumentor",
    "carry",
    "end_user",
    "events",
    "report_issue",
    "safety_identifier",
    "set_end_user",
]

# Loaded when first used: importing this package stays cheap.
_LAZY = {
    "EndUserSuspended": "openai_safety_otel.instrumentation.suspended",  # an openai exception
    "SafetyInstrumentor": "openai_safety_otel.instrumentation.instrumentor",
    "events": "openai_safety_otel.operations.store.notebook",
    "report_issue": "openai_safety_otel.instrumentation.public",
    "safety_identifier": "openai_safety_otel.instrumentation.public",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - only for lazily loaded names

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
