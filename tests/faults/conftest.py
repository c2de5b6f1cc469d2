"""What fault tests share: a provider stub, clients, and our own failures swallowed as in production."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.testing.provider import Provider


@pytest.fixture(autouse=True)
def _as_in_production(_strict: None) -> None:
    """The guard swallows and counts: that is what these tests are about."""
    own_errors.strict = False


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
    with openai.OpenAI(api_key="sk-test", base_url=provider.url, max_retries=0) as made:
        yield made
