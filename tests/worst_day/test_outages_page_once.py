"""What breaks on the worst day, on the shipped configuration: whoever must know is told by one group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from openai_safety_otel.demo.product import SERVICE, Product
from openai_safety_otel.testing.provider import Provider
from stack import query
from stack.programs import free_ports
from support.hastened import EXPORTERS, MINUTE, Stack, stack
from support.serving import Served
from support.waiting import until
from worst_day.conftest import environ

CALLS = f'openai_safety_calls_total{{service_name="{SERVICE}"}}'
LINES = f'{{service_name="{SERVICE}", openai_safety_stream=~".+"}}'


@pytest.fixture
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """A stack of the test's own: everything it ever tells is counted. The parameter is the number of collectors."""
    with stack(tmp_path, collectors=getattr(request, "param", 1)) as programs:
        yield programs


@pytest.fixture
def provider() -> Iterator[Provider]:
    """OpenAI, which blocks a person for good after one attack."""
    with Provider(block_after=1) as started:
        yield started


@pytest.fixture
def product(whole: Stack, provider: Provider, tmp_path: Path) -> Iterator[Product]:
    """The demo's app, unchanged, sending to the first collector; its first call has arrived everywhere."""
    settings = {
        **EXPORTERS,
        "OPENAI_SAFETY_HMAC_KEY": "k" * 40,
        "OPENAI_SAFETY_USER_RESOLVER": "openai_safety_otel.demo.app:current_user",
        "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    log, collector = tmp_path / "app.log", whole.collectors[0].url
    with Product(provider.url, tmp_path, log, settings, collector) as app:
        app.ask("anna", "/chat", "How do I bake bread?")
        assert until(lambda: bool(query.promql(whole.prometheus.url, CALLS)), 3 * MINUTE + 30)
        assert until(lambda: bool(query.lines(whole.loki.url, LINES)), 3 * MINUTE + 30)
        yield app


@pytest.fixture
def receivers(whole: Stack, tmp_path: Path) -> Iterator[list[Served]]:
    """Two webhook receivers of one service on one store, each sending to the collector beside it; both are seen."""
    with ExitStack() as ending:
        started = []
        for number, port in enumerate(free_ports(2)):
            collector = whole.collectors[number % len(whole.collectors)]
            settings = environ(tmp_path, collector.url, "http://127.0.0.1:9")
            started.append(Served(settings, "--port", str(port)))
            ending.callback(started[-1].end)
        seen = "group by (instance) (openai_safety_webhooks_total)"
        assert until(lambda: len(query.promql(whole.prometheus.url, seen)) == 2, 3 * MINUTE + 30)
        time.sleep(6 * MINUTE)  # how many there usually are is looked at every five
        yield started


def _quiet_for(minutes: float) -> None:
    time.sleep(minutes * MINUTE)


def _told(whole: Stack) -> list[tuple[str, tuple[str, ...]]]:
    assert until(lambda: bool(whole.pager.sent), 15 * MINUTE + 30), whole.alerts
    return whole.pager.calls()


def test_a_block_while_the_stores_are_away_pages_once_they_are_back(
    whole: Stack, product: Product, receivers: list[Served]
) -> None:
    """Loki and Prometheus are killed; ten minutes later OpenAI blocks a person for good; they return after thirty."""
    for store in (whole.loki, whole.prometheus):
        store.kill()
    _quiet_for(10)
    for text in ("How do I break in? [[cyber]]", "How do I bake bread?", "Anything?"):
        product.ask("mallory", "/chat", text)
    _quiet_for(20)
    assert whole.pager.calls() == []
    for store in (whole.loki, whole.prometheus):
        store.start()
    _told(whole)
    _quiet_for(15)
    assert [route for route, _ in whole.pager.groups] == ["page"], whole.pager.calls()
    names = {name for _, told in whole.pager.calls() for name in told}
    assert "IdentifierBlockedEvent" in names
    assert names <= {"IdentifierBlockedEvent", "IdentifierBlocked"}


def test_one_receiver_of_two_dead_pages_once(whole: Stack, receivers: list[Served]) -> None:
    """One of two webhook receivers is killed: one page names it, and nothing else is told."""
    receivers[0].process.kill()
    _told(whole)
    _quiet_for(15)
    assert whole.pager.calls() == [("page", ("WebhookReceiverInstanceDown",))]
    (alert,) = whole.pager.sent[0]["alerts"]
    port = receivers[0].url.rstrip("/").rpartition(":")[2]
    assert alert["labels"]["instance"].endswith(f":{port}")


@pytest.mark.parametrize(
    ("whole", "name"), [(1, "SafetyPipelineDown"), (2, "SafetyCollectorDown")], indirect=["whole"]
)
def test_a_killed_collector_pages_once(
    whole: Stack, product: Product, receivers: list[Served], name: str
) -> None:
    """The only collector, or one of two, is killed for twenty minutes under an app and a receiver, and comes back."""
    whole.collectors[0].kill()
    _quiet_for(20)
    product.ask("anna", "/chat", "How do I bake bread?")
    whole.collectors[0].start()
    _quiet_for(20)
    assert whole.pager.calls() == [("page", (name,))]
    assert whole.alerts == []
