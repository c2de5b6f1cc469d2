"""With `openai[aiohttp]`: what a call sent is let go when the call is over."""

from __future__ import annotations

import gc
import tracemalloc

import openai
import pytest

from openai_safety_otel import SafetyInstrumentor
from openai_safety_otel.testing.provider import Provider
from support.telemetry import KEY, Telemetry

CALLS = 100
BODY = 200_000


async def kept(provider: Provider) -> float:
    """How many whole request bodies are alive after the calls, the client still open."""
    async with openai.AsyncOpenAI(
        api_key="sk-test", base_url=provider.url, http_client=openai.DefaultAioHttpClient()
    ) as client:
        await client.responses.create(model="gpt-5", input="hi")
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(CALLS):
                await client.responses.create(model="gpt-5", input=f"{number} " + "x" * BODY)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] / BODY
        finally:
            tracemalloc.stop()


@pytest.mark.asyncio
async def test_bodies_do_not_outlive_their_calls() -> None:
    """Of a hundred bodies of 200 kB at most a handful is alive afterwards: without us as with us."""
    telemetry = Telemetry()
    with Provider() as provider:
        provider.ledger.clear()
        before = await kept(provider)
        SafetyInstrumentor().instrument(**telemetry.providers, hmac_key=KEY)
        try:
            after = await kept(provider)
        finally:
            SafetyInstrumentor().uninstrument()
    assert len(telemetry.events) == CALLS + 1
    assert after - before < 10, (before, after)
