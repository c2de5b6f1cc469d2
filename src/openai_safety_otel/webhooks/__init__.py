"""The provider's notices: received, kept, looked up, told."""

from __future__ import annotations

from openai_safety_otel.webhooks.app import create_app
from openai_safety_otel.webhooks.follow_up import FollowUp, Means, Pace, Suspender
from openai_safety_otel.webhooks.receiver import Receiver

__all__ = ["FollowUp", "Means", "Pace", "Receiver", "Suspender", "create_app"]
