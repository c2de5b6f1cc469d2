"""The provider stub's administration API, asked with the SDK's own admin client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.state import Fault
from openai_safety_otel.testing.usage import ADMIN_KEY

pytest.importorskip("openai.types.admin", reason="this SDK has no administration API")

MIDNIGHT = 1_790_640_000  # 2026-09-29 00:00 UTC
HOUR = 3600


class Clock:
    """The provider's time, as a test sets it."""

    now = float(MIDNIGHT)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(clock: Clock) -> Iterator[Provider]:
    with Provider() as running:
        running.state.accounts.clock = clock
        yield running


@pytest.fixture
def usage(provider: Provider) -> Iterator[Any]:
    with OpenAI(
        api_key="unused", admin_api_key=ADMIN_KEY, base_url=provider.url, _strict_response_validation=True
    ) as client:
        yield client.admin.organization.usage


def asks(provider: Provider, key: str, *prompts: str) -> None:
    with OpenAI(api_key=key, base_url=provider.url, max_retries=0) as client:
        for prompt in prompts:
            with contextlib.suppress(openai.APIError):
                client.responses.create(model="gpt-5", input=prompt)


def test_requests_are_counted_by_hour_project_key_and_model(
    provider: Provider, clock: Clock, usage: Any
) -> None:
    """Each hour's requests stand in their bucket under the key's id and its project's, the model as a snapshot."""
    web = provider.state.accounts.key("sk-web", "web", "Shop")
    asks(provider, "sk-web", "a", "b")
    clock.now += HOUR
    asks(provider, "sk-web", "c")
    clock.now += HOUR
    found = usage.completions(
        start_time=MIDNIGHT,
        end_time=MIDNIGHT + 3 * HOUR,
        bucket_width="1h",
        group_by=["project_id", "api_key_id", "model"],
    )
    counted = [
        (bucket.start_time - MIDNIGHT, one.num_model_requests, one.project_id, one.api_key_id, one.model)
        for bucket in found.data
        for one in bucket.results
    ]
    named = (web.project_id, web.id, "gpt-5-2025-08-07")
    assert [(0, 2, *named), (HOUR, 1, *named)] == counted
    assert (3, False, None) == (len(found.data), found.has_more, found.next_page)


def test_requests_are_in_the_books_only_after_a_while(provider: Provider, clock: Clock, usage: Any) -> None:
    """A request is counted once the accounting's delay has passed, a rejected one only where that is so."""
    provider.state.accounts.delay = 600
    asks(provider, "sk-web", "a", "[[cyber]]")

    def count() -> int:
        found = usage.completions(start_time=MIDNIGHT, end_time=MIDNIGHT + HOUR, bucket_width="1h")
        return sum(one.num_model_requests for bucket in found.data for one in bucket.results)

    counts = [count()]
    clock.now += 600
    counts.append(count())
    provider.state.accounts.counts_failures = True
    assert [0, 1, 2] == [*counts, count()]


def test_pages_follow_each_other(usage: Any) -> None:
    """A page holds as many buckets as asked for, and names the next one until the last."""
    pages: list[int] = []
    cursor: Any = openai.omit
    while cursor is not None:
        found = usage.embeddings(
            start_time=MIDNIGHT, end_time=MIDNIGHT + 5 * HOUR, bucket_width="1h", limit=2, page=cursor
        )
        pages.append(len(found.data))
        cursor = found.next_page
    assert [2, 2, 1] == pages


def test_keys_are_listed_by_project_without_the_key(provider: Provider, usage: Any) -> None:
    """Projects and their keys have ids and names, page by page."""
    accounts = provider.state.accounts
    accounts.page = 1
    for name, project in (("web", "Shop"), ("jobs", "Shop"), ("lab", "Research")):
        accounts.key(f"sk-{name}", name, project)
    organization = usage._client.admin.organization
    found = {
        project.name: [key.name for key in organization.projects.api_keys.list(project.id)]
        for project in organization.projects.list()
    }
    assert {"Research": ["lab"], "Shop": ["web", "jobs"]} == found


def test_only_the_admin_key_may_ask(provider: Provider) -> None:
    """An ordinary key is refused, and a 429 that a test sets is answered with its headers."""
    other = OpenAI(api_key="x", admin_api_key="sk-web", base_url=provider.url)
    with other as client, pytest.raises(openai.AuthenticationError):
        client.admin.organization.usage.completions(start_time=MIDNIGHT)
    provider.fail("organization.usage", Fault(429, headers=(("retry-after", "0.01"),)))
    with OpenAI(api_key="x", admin_api_key=ADMIN_KEY, base_url=provider.url) as client:
        assert 1 == len(client.admin.organization.usage.completions(start_time=MIDNIGHT - 86_400).data)
    assert [401, 429, 200] == [entry.status for entry in provider.ledger]
