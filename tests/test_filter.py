"""The filter that calls under a `filter` decision must pass."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from openai_safety_otel.contract.settings import OnError, Settings
from openai_safety_otel.instrumentation.filtering import Filter, running

Drops = list[tuple[str, str]]
HANG = threading.Event()
SEEN: list[tuple[str, bool]] = []


def plain(text: str) -> bool:
    SEEN.append((text, running()))
    return "bad" not in text


async def later(text: str) -> bool:
    await asyncio.sleep(0)
    return plain(text)


def broken(text: str) -> bool:
    raise ValueError(text)


def hanging(text: str) -> bool:
    return HANG.wait(30)


async def hanging_later(text: str) -> bool:
    await asyncio.sleep(30)
    return True


def make(place: str | None, on_error: OnError = "open") -> tuple[Filter, Drops]:
    drops: Drops = []
    where = f"{__name__}:{place}" if place else None
    settings = Settings(filter=where, moderation_model="m", suspensions_on_error=on_error)
    return Filter(settings, dropped=lambda *what: drops.append(what)), drops


@pytest.fixture(autouse=True)
def _anew() -> None:
    SEEN.clear()
    HANG.clear()


async def both(ask: Filter, client: Any, texts: tuple[str, ...]) -> tuple[bool, bool]:
    """What the sync and the async way answer."""
    return await asyncio.to_thread(ask.passes, client, texts), await ask.passes_async(client, texts)


@pytest.mark.parametrize("place", ["plain", "later"])
async def test_the_apps_function_decides(place: str) -> None:
    """Sync and async functions, asked by sync and async clients, see the text and run as a filter."""
    ask, drops = make(place)
    good = await both(ask, None, ("hello", "there"))
    bad = await both(ask, None, ("a bad thing",))
    assert ((True, True), (False, False), []) == (good, bad, drops)
    assert [("hello\nthere", True)] * 2 + [("a bad thing", True)] * 2 == SEEN
    assert running() is False


@pytest.mark.parametrize(("on_error", "passes"), [("open", True), ("closed", False)])
@pytest.mark.parametrize(
    ("place", "texts", "reason"),
    [
        ("broken", ("x",), "failed"),
        ("missing", ("x",), "failed"),
        ("hanging", ("x",), "timeout"),
        ("hanging_later", ("x",), "timeout"),
        ("plain", (), "no_text"),
        ("plain", (" \n",), "no_text"),
    ],
)
async def test_a_failed_filter_does_as_the_setting_says(
    place: str,
    texts: tuple[str, ...],
    reason: str,
    on_error: OnError,
    passes: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Raising, missing, hanging, or nothing to look at: bounded, counted, open or closed."""
    monkeypatch.setattr("openai_safety_otel.instrumentation.filtering.SECONDS", 0.1)
    ask, drops = make(place, on_error)
    found = await both(ask, None, texts)
    HANG.set()
    assert ((passes, passes), [("filter", reason)] * 2) == (found, drops)


def test_filters_that_hang_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of running filters the next one fails at once."""
    monkeypatch.setattr("openai_safety_otel.instrumentation.filtering.SECONDS", 0.01)
    monkeypatch.setattr("openai_safety_otel.instrumentation.filtering.MAX_RUNNING", 2)
    ask, drops = make("hanging")
    for _ in range(3):
        ask.passes(None, ("x",))
    HANG.set()
    assert [("filter", "timeout"), ("filter", "timeout"), ("filter", "busy")] == drops


@pytest.mark.parametrize(
    ("answer", "passes", "dropped"),
    [
        (lambda _: httpx2.Response(200, json=_result(flagged=False)), True, []),
        (lambda _: httpx2.Response(200, json=_result(flagged=True)), False, []),
        (lambda _: httpx2.Response(500), True, [("filter", "failed")] * 2),
    ],
    ids=["passed", "flagged", "down"],
)
async def test_the_default_asks_the_moderation_api(
    answer: Callable[[httpx2.Request], httpx2.Response], passes: bool, dropped: Drops
) -> None:
    """Through the app's own client, its key and its transport, once: no retries."""
    asked: list[tuple[str, str, Any]] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append((request.url.path, request.headers["authorization"], json.loads(request.content)))
        return answer(request)

    transport = httpx2.MockTransport(handler)
    ask, drops = make(None)
    options: dict[str, Any] = {"api_key": "k", "base_url": "http://127.0.0.1:1/v1"}
    with openai.OpenAI(http_client=httpx2.Client(transport=transport), **options) as client:
        sync = await asyncio.to_thread(ask.passes, client, ("hello",))
    async with openai.AsyncOpenAI(http_client=httpx2.AsyncClient(transport=transport), **options) as other:
        found = await ask.passes_async(other, ("hello",))
    body = {"input": "hello", "model": "m"}
    assert ((passes, passes), dropped) == ((sync, found), drops)
    assert [("/v1/moderations", "Bearer k", body)] * 2 == asked


def _result(*, flagged: bool) -> dict[str, Any]:
    return {
        "id": "modr_1",
        "model": "m",
        "results": [{"flagged": flagged, "categories": {}, "category_scores": {}}],
    }
