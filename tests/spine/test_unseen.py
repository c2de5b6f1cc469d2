"""Requests that go past the SDK to the provider's hosts are counted by host and API, where the setting asks for it."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from openai_safety_otel.testing.provider import Provider
from support.http import http_library as http
from support.telemetry import Instrument, Telemetry

UNSEEN = "openai_safety.unseen"
BODY: dict[str, Any] = {"model": "gpt-5", "input": "hello"}


def counted(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Requests by host and API."""
    points = telemetry.points(UNSEEN).items()
    return {(dict(at)["server.address"], dict(at)["openai_safety.api"]): value for at, value in points}


def test_a_request_past_the_sdk_is_counted(
    instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """By the host and the API of its path: no query, no id, no model, and what is unknown is `other`."""
    instrument(unseen=True)
    with http.Client() as client:
        for path in ("responses?who=ann", "gateway/embeddings", "responses-of-ann"):
            client.post(f"{provider.url}/{path}", json=BODY)
    host = "127.0.0.1"
    assert {(host, "responses"): 1, (host, "embeddings"): 1, (host, "other"): 1} == counted(telemetry)
    assert [] == telemetry.events


async def test_an_async_request_is_counted(
    instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """The async client, and a stream of it."""
    instrument(unseen=True)
    async with http.AsyncClient() as client:
        await client.post(f"{provider.url}/responses", json=BODY)
        async with client.stream(
            "POST", f"{provider.url}/responses", json={**BODY, "stream": True}
        ) as answer:
            await answer.aread()
    assert {("127.0.0.1", "responses"): 2} == counted(telemetry)


async def test_the_sdks_own_requests_are_not_counted(
    instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """Recorded ones, retried ones, and those that are not recorded at all."""
    instrument(unseen=True)
    with openai.OpenAI(base_url=provider.url, api_key="k") as client:
        client.responses.create(model="gpt-5", input="[[500]] hello")
        client.models.list()
    async with openai.AsyncOpenAI(base_url=provider.url, api_key="k") as other:
        await other.responses.create(model="gpt-5", input="hello")
    assert (2, {}) == (len(telemetry.events), counted(telemetry))


@pytest.mark.parametrize("settings", [{}, {"unseen": True, "inject_hosts": "api.openai.com"}])
def test_nothing_is_counted_where_nobody_asked_or_elsewhere(
    settings: dict[str, Any], instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """Off unless set, and only the provider's hosts."""
    before = http.Client.send
    instrument(**settings)
    if not settings:
        assert http.Client.send is before
    http.post(f"{provider.url}/responses", json=BODY)
    assert {} == counted(telemetry)


def test_uninstrumenting_puts_the_clients_back(instrument: Instrument, provider: Provider) -> None:
    """The methods are the libraries' own again."""
    before = vars(http.Client)["send"]
    instrument(unseen=True).uninstrument()
    assert vars(http.Client)["send"] is before
