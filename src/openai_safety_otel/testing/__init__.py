"""For a team's own tests: pytest fixtures with the records of the calls a test made, and a provider that blocks.

The plugin is loaded with the package. A test that takes ``safety_calls`` sees each finished call with its
outcome and its highest moderation scores; no OpenTelemetry SDK is needed. ``openai_provider`` is a stand-in for
OpenAI's API on loopback that meets the app with a block, a hold, a filter or a warning, as told.
"""

from __future__ import annotations

from importlib.util import find_spec

# The provider is served where there is no pytest, too.
if find_spec("pytest"):
    from openai_safety_otel.testing.fixtures import SafetyCalls, SeenCall, openai_provider, safety_calls

    __all__ = ["SafetyCalls", "SeenCall", "openai_provider", "safety_calls"]
