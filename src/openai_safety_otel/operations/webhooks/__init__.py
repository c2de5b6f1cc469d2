"""The provider's notices: received, kept, looked up, told.

The names below are loaded when they are used: entering a notice by hand needs no openai package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai_safety_otel.operations.webhooks.app import create_app
    from openai_safety_otel.operations.webhooks.follow_up import FollowUpTools, RetryPolicy, Suspender
    from openai_safety_otel.operations.webhooks.receiver import Receiver

__all__ = ["FollowUpTools", "Receiver", "RetryPolicy", "Suspender", "create_app"]
_PLACES = {
    "FollowUpTools": "follow_up",
    "RetryPolicy": "follow_up",
    "Receiver": "receiver",
    "Suspender": "follow_up",
    "create_app": "app",
}


_RENAMED = {"Means": "FollowUpTools", "Pace": "RetryPolicy"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        raise AttributeError(f"{name} is called {_RENAMED[name]} now")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
