"""A pytest plugin for somebody else's suite: every call of it passes through our hook, and into telemetry in memory."""

from __future__ import annotations

from typing import Any

from openai_safety_otel import SafetyInstrumentor
from openai_safety_otel.contract.own_errors import own_errors
from support.telemetry import KEY, Telemetry


def pytest_configure(config: Any) -> None:
    """Instrument before the suite imports the SDK; a failure of ours fails the test it happens in."""
    own_errors.strict = True
    SafetyInstrumentor().instrument(**Telemetry().providers, hmac_key=KEY, inject="off")
