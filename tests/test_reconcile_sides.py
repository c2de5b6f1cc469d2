"""The two sides of the comparison: what of our record counts, and how the provider's pages are followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from openai_safety_otel.operations.reconcile.compare import Recorded
from openai_safety_otel.operations.reconcile.ours import opened, recorded
from openai_safety_otel.operations.reconcile.provider import Administration
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.usage import ADMIN_KEY
from support.events import ANN, NOON, blocked, call, write

HOUR = 3600


def test_only_what_can_be_in_the_providers_books_counts(tmp_path: Path) -> None:
    """Not what we refused ourselves, never left, looked at what was made, or went to another host or time.

    A call to another host may have gone by a gateway: it stands apart.
    """
    left_out = [
        blocked(ANN, NOON, "suspended_locally"),
        call(ANN, NOON + 1, IDENTIFIER_DELIVERY="not_sent", OUTCOME="failed"),
        call(ANN, NOON + 2, ENDPOINT="responses.retrieve"),
        call(ANN, NOON + 3, SERVER_ADDRESS="api.example.com"),
        call(ANN, NOON + 3, SERVER_ADDRESS="shop.openai.azure.com", PROVIDER_NAME="azure.ai.openai"),
        call(ANN, NOON + 4, API="videos", ENDPOINT="videos.create"),
        call(ANN, NOON + HOUR),
        call(ANN, NOON - 1),
    ]
    counted = [
        call(ANN, NOON + 5, RESPONSE_MODEL="gpt-5-2025-08-07", SERVER_ADDRESS="api.openai.com"),
        call(ANN, NOON + 6, RESPONSE_MODEL="gpt-5-2025-08-07", OUTCOME="refused", RETRIES=2),
        call(ANN, NOON + 7, RESPONSE_MODEL="gpt-5-2025-08-07", BACKGROUND=True),
        call(ANN, NOON + 8, API="realtime", ENDPOINT="realtime.response", REQUEST_MODEL="gpt-realtime"),
        blocked(ANN, NOON + 9, "cyber_policy", REQUEST_MODEL="gpt-5-mini"),
        call(ANN, NOON + 10, ENDPOINT="batches.result", REQUEST_MODEL="gpt-5-nano"),
    ]
    write(tmp_path, [*left_out, *counted])
    with open_files([tmp_path]) as events:
        found = recorded(events, NOON, NOON + HOUR, {"api.openai.com"})
    assert sorted(found, key=lambda one: one.model) == [
        Recorded("completions", "key1", "gpt-5", sure=0, possible=0, elsewhere=1),
        Recorded("completions", "key1", "gpt-5-2025-08-07", sure=2, possible=5),
        Recorded("completions", "key1", "gpt-5-mini", sure=0, possible=1),
        Recorded("completions", "key1", "gpt-5-nano", sure=1, possible=1, batch=True),
        Recorded("completions", "key1", "gpt-realtime", sure=0, possible=1),
    ]


def test_a_call_under_way_when_the_time_begins_or_ends_may_be_in_the_books(tmp_path: Path) -> None:
    """An event tells the end of its call, the provider may count the beginning: such a call is possible, never sure."""
    write(
        tmp_path,
        [
            call(ANN, NOON + 60, DURATION=61.0, REQUEST_MODEL="begun-before"),
            call(ANN, NOON + 61, DURATION=61.0, REQUEST_MODEL="within"),
            call(ANN, NOON + HOUR - 1, DURATION=60.0, REQUEST_MODEL="within"),
            call(ANN, NOON + HOUR + 60, DURATION=61.0, REQUEST_MODEL="ended-after"),
            call(ANN, NOON + HOUR + 61, DURATION=61.0, REQUEST_MODEL="later"),
            call(ANN, NOON - 1, DURATION=60.0, REQUEST_MODEL="earlier"),
        ],
    )
    with open_files([tmp_path]) as events:
        found = recorded(events, NOON, NOON + HOUR, {"api.openai.com"})
    assert {(one.model, one.sure, one.possible) for one in found} == {
        ("begun-before", 0, 1),
        ("within", 2, 2),
        ("ended-after", 0, 1),
    }


def test_what_the_provider_may_run_for_calls_is_known_by_ledger_key_and_model(tmp_path: Path) -> None:
    """Sessions whose requests others make, the tools of a response, its checks, what a socket hears."""
    write(
        tmp_path,
        [
            call(ANN, NOON, MODERATION_MODEL="omni-moderation-latest"),
            call(ANN, NOON, API="chat", ENDPOINT="chat.completions.create", API_KEY_ID="key2"),
            call(ANN, NOON, API="realtime", ENDPOINT="realtime.response", REQUEST_MODEL="gpt-realtime"),
            call(
                ANN,
                NOON - HOUR,
                API="realtime",
                ENDPOINT="realtime.client_secrets.create",
                API_KEY_ID="key3",
                REQUEST_MODEL="gpt-realtime",
            ),
            call(ANN, NOON + HOUR, API="agents", ENDPOINT="beta.agents.sessions.create"),
        ],
    )
    with open_files([tmp_path]) as events:
        found = opened(events, NOON, NOON + HOUR)
    assert {
        ("images", "key1", ""),
        ("moderations", "key1", ""),
        ("audio_transcriptions", "key1", ""),
        ("audio_transcriptions", "key3", ""),
        ("completions", "key3", "gpt-realtime"),
    } == found


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    with Provider() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def test_every_page_is_followed(provider: Provider) -> None:
    """Of buckets, of projects and of keys; the progress ends where it must."""
    accounts, now = provider.state.accounts, [NOON]
    accounts.clock, accounts.page = lambda: now[0], 1
    for number in range(3):
        accounts.key(f"sk-{number}", f"service {number}", f"Project {number % 2}")
        with OpenAI(api_key=f"sk-{number}", base_url=provider.url) as client:
            client.responses.create(model="gpt-5", input="hello")
        now[0] += 100 * HOUR  # on the first, the first and the second page
    told: list[tuple[int, int]] = []
    books = Administration(ADMIN_KEY)
    found = books.counted(NOON, NOON + 240 * HOUR, lambda done, total: told.append((done, total)))
    assert [("key_0001", 1), ("key_0002", 1), ("key_0003", 1)] == [(one.key, one.requests) for one in found]
    assert told == sorted(told)
    assert (7 * 240, 7 * 240) == told[-1]
    names = books.names({one.project for one in found})
    assert {"proj_project_0": "Project 0", "proj_project_1": "Project 1"} == names.projects
    assert {f"key_000{number + 1}": f"service {number}" for number in range(3)} == names.keys
