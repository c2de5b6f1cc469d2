"""The provider stub's WebSockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from openai_safety_otel.testing.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    with OpenAI(base_url=provider.url, api_key="sk-test") as made:
        yield made


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager")
def test_a_responses_socket_plays_scenarios(provider: Provider, client: Any) -> None:
    """Each response.create on one Responses socket ends as its scenario says and has its own ledger entry."""
    ends = {"response.completed", "response.failed", "response.incomplete", "error"}
    looks = []
    with client.responses.connect() as socket:
        for scenario in ("allow", "cyber", "cyber-failed", "filter"):
            socket.response.create(model="gpt-5", input=f"[[{scenario}]]", safety_identifier="me")
            looks.append(next(event.type for event in socket if event.type in ends))
    assert looks == ["response.completed", "error", "response.failed", "response.incomplete"]
    told = [(entry.endpoint, entry.identifier, entry.outcome) for entry in provider.ledger]
    assert told == [
        ("responses.connect", None, "completed"),
        ("responses.create", "me", "completed"),
        ("responses.create", "me", "blocked"),
        ("responses.create", "me", "blocked"),
        ("responses.create", "me", "blocked"),
    ]


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager")
def test_a_realtime_socket_plays_scenarios_and_can_be_refused(provider: Provider, client: Any) -> None:
    """Realtime responses end as told, under the handshake's identifier; a handshake can be refused."""
    looks = []
    header = {"OpenAI-Safety-Identifier": "me"}
    with client.realtime.connect(model="gpt-realtime", extra_headers=header) as socket:
        for scenario in ("allow", "cyber", "cyber-failed", "filter"):
            content: Any = [{"type": "input_text", "text": f"[[{scenario}]]"}]
            socket.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            socket.response.create()
            last: Any = next(event for event in socket if event.type in {"response.done", "error"})
            looks.append(last.type if last.type == "error" else last.response.status)
    with pytest.raises(Exception, match="400"), client.realtime.connect(model="stub-identifier"):
        pass
    assert looks == ["completed", "error", "failed", "incomplete"]
    told = [(entry.endpoint, entry.identifier, entry.block_type) for entry in provider.ledger]
    assert told == [
        ("realtime.connect", "me", None),
        ("realtime.response", "me", None),
        ("realtime.response", "me", "cyber_policy"),
        ("realtime.response", "me", "cyber_policy"),
        ("realtime.response", "me", "content_filter"),
        ("realtime.connect", None, "identifier_blocked"),
    ]


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager")
def test_a_live_socket_is_one_session(provider: Provider, client: Any) -> None:
    """A Live session has one entry with its own identifier; the filter closes it with reason content."""
    with client.live.connect() as socket:
        socket.send({"type": "session.start", "session": {"model": "gpt-live-1", "safety_identifier": "me"}})
        socket.send({"type": "session.instructions.append", "text": "hello"})
        socket.send({"type": "session.instructions.append", "text": "hello [[filter]]"})
        closed: Any = next(event for event in socket if event.type == "session.closed")
    told = [(entry.endpoint, entry.identifier, entry.block_type) for entry in provider.ledger]
    assert (closed.reason, told) == (
        "content",
        [("live.connect", None, None), ("live.session", "me", "content_filter")],
    )
