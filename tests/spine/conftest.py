"""The provider stub and clients of the spine's tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from openai_safety_otel.testing.provider import Provider


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def provider(shared_provider: Provider) -> Provider:
    shared_provider.ledger.clear()
    return shared_provider


@pytest.fixture
def client(provider: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-test", base_url=provider.url) as made:
        yield made


@pytest.fixture
async def async_client(provider: Provider) -> Any:
    async with openai.AsyncOpenAI(api_key="sk-test", base_url=provider.url) as made:
        yield made
