"""The recipes, loaded as apps load their own modules, against the provider stub."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until

RECIPES = Path(__file__).parent / "recipes"
U42 = Hasher(KEY).end_user("u42")
S9 = Hasher(KEY).session("s9")
Told = list[tuple[Any, ...]]
Calls = Callable[[int], Told]


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture(autouse=True)
def environment(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the recipes' clients read; nothing leaves loopback."""
    provider.ledger.clear()
    for name, value in {
        "OPENAI_BASE_URL": provider.url,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def recipe(instrument: Instrument, environment: None) -> Iterator[Callable[[str], ModuleType]]:
    """``recipe("flask_app")``: the module, imported anew after instrumenting."""
    loaded: list[str] = []

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        loaded.append(name)
        spec.loader.exec_module(module)
        return module

    instrument()
    yield load
    for name in loaded:
        del sys.modules[name]


@pytest.fixture
def calls(telemetry: Telemetry, provider: Provider) -> Calls:
    """``calls(n)``: who made each of the ``n`` calls, once that many ended; the wire says the same."""

    def look(number: int) -> Told:
        until(lambda: len(telemetry.events) >= number)
        events = [event for event in telemetry.events if event["event.name"] == "openai_safety.call"]
        told = [(event.get("user.hash"), event.get("openai_safety.identifier.linked")) for event in events]
        assert sorted(str(who) for who, _ in told) == sorted(str(one.identifier) for one in provider.ledger)
        assert len(telemetry.spans) == len(events)
        return told

    return look
