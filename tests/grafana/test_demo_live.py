"""The demo's own app and provider, unchanged, behind the shipped agent: Loki against the provider's ledger."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from grafana.names import field
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.demo.people import Person, people
from openai_safety_otel.demo.product import SERVICE, Product
from openai_safety_otel.testing.provider import Provider
from support.fed import VARIABLES, Fed
from support.panels import queries, run
from support.waiting import until

pytestmark = pytest.mark.stack

BY = ", ".join(field(name) for name in (c.USER_HASH, c.API, c.OUTCOME, c.BLOCK_TYPE, c.BLOCK_CLASS))
CALLS = f'{{service_name="{SERVICE}", openai_safety_stream=~".+"}} | event_name="{c.CALL_EVENT}"'
SENT = f'{CALLS} | {field(c.IDENTIFIER_DELIVERY)}="sent"'
# Panels on events that the demo's people fill.
FILLED = {
    "API keys",
    "Because of whom?",
    "Calls that were not simply completed",
    "Content filter",
    "Enforcement",
    "Flagged",
    "Flagged by category",
    "Most enforcement blocks",
    "Most flagged inputs",
    "Newest stored call",
    "Refusals by API",
    "Refused",
    "Stopped calls by rule and API",
}


@dataclass(frozen=True)
class Demo:
    """The demo after its traffic: the provider that was asked, and when all had arrived."""

    provider: Provider
    at: float


@pytest.fixture(scope="module")
def demo(fed: Fed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    key = folder / "hmac.key"
    key.touch(mode=0o600)
    key.write_text(secrets.token_hex(32))
    settings = {
        "OPENAI_SAFETY_HMAC_KEY_FILE": str(key),
        "OPENAI_SAFETY_USER_RESOLVER": "openai_safety_otel.demo.app:current_user",
        "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1",
        "OPENAI_SAFETY_MODERATION": "score",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=demo",
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "false",
    }
    with Provider(block_after=3) as provider:
        product = Product(provider.url, folder, folder / "app.log", settings, fed.agent)
        with product, ThreadPoolExecutor(6) as crowd:
            list(crowd.map(lambda person: _act(product, person), people()))
        calls = len(provider.ledger.calls())
        stored = f"sum(count_over_time({CALLS} [30m]))"
        assert until(lambda: fed.loki.number(stored, time.time()) >= calls)
        yield Demo(provider, time.time())


def _act(product: Product, person: Person) -> None:
    for route, text in person.turns:
        product.ask(person.name, route, text)


def test_loki_equals_the_providers_ledger(fed: Fed, demo: Demo) -> None:
    """For every identifier the provider got: the same calls, by API, outcome and block, and no other."""
    entries = [entry for entry in demo.provider.ledger.calls() if entry.identifier]
    told = Counter((e.identifier, e.api, e.outcome, e.block_type or "", e.block_class or "") for e in entries)
    stored = {
        tuple(one["metric"].get(name, "") for name in BY.split(", ")): round(float(one["value"][1]))
        for one in fed.loki.instant(f"sum by ({BY}) (count_over_time({SENT} [30m]))", demo.at)
    }
    assert stored == dict(told)
    assert len({entry.identifier for entry in entries}) == len(people())


def test_overview_shows_the_demos_trouble(fed: Fed, demo: Demo) -> None:
    """The overview's panels on events have data for the demo's service alone."""
    chosen = {**VARIABLES, "service": SERVICE}
    filled = {
        query.panel
        for query in queries()
        if query.board == "overview" and query.kind == "loki" and run(query, fed.loki, demo.at, chosen)
    }
    assert filled == FILLED


def test_blocked_identifiers_of_the_demo_alert(fed: Fed, demo: Demo) -> None:
    """Each identifier the provider blocked is named by an alert at the Alertmanager, by service."""
    blocked = {e.identifier for e in demo.provider.ledger if e.block_type == "identifier_blocked"}

    def alerted() -> set[str]:
        labels = [one["labels"] for one in fed.alerts]
        return {
            one["user_hash"]
            for one in labels
            if one["alertname"] == "IdentifierBlockedEvent" and one["service_name"] == SERVICE
        }

    assert blocked
    assert until(lambda: alerted() == blocked)
