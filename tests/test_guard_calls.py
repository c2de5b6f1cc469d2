"""Local decisions through the hook: what reaches the network, what the app sees, what is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from openai_safety_otel import EndUserSuspended, end_user
from openai_safety_otel.ledger.suspensions import ListEntry, open_suspensions
from openai_safety_otel.who.identifier import Hasher
from support.lists import new_list
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until
from support.wire import answering

WHO = Hasher(KEY).end_user("u1")
ANSWER = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-x",
    "status": "completed",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}


class Provider:
    """Stands for OpenAI: answers responses and moderations, and remembers the paths asked for."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.paths.append(request.url.path)
        body = json.loads(request.content)
        if request.url.path.endswith("/moderations"):
            result = {"flagged": "bad" in body["input"], "categories": {}, "category_scores": {}}
            return httpx2.Response(200, json={"id": "modr_1", "model": "m", "results": [result]})
        if body.get("stream"):
            return httpx2.Response(
                200,
                headers={"content-type": "text/event-stream"},
                stream=httpx2.ByteStream(b"".join(_frames())),
            )
        return httpx2.Response(200, json=ANSWER)


def _frames() -> Iterator[bytes]:
    deltas = [{"type": "response.output_text.delta", "delta": f"{n}", "sequence_number": n} for n in range(5)]
    for frame in (*deltas, {"type": "response.completed", "response": ANSWER, "sequence_number": 9}):
        yield f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n".encode()


@pytest.fixture
def place(tmp_path: Path, quick_lists: None) -> str:
    return str(tmp_path / "list.json")


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def client(provider: Provider) -> Iterator[openai.OpenAI]:
    transport = httpx2.Client(transport=httpx2.MockTransport(provider))
    with openai.OpenAI(api_key="k", base_url="http://127.0.0.1:1/v1", http_client=transport) as made:
        yield made


def outcomes(telemetry: Telemetry) -> list[tuple[str, Any, Any]]:
    return [
        (event["openai_safety.api"], event["openai_safety.outcome"], event.get("openai_safety.block.type"))
        for event in telemetry.events
        if event["event.name"] == "openai_safety.call"
    ]


def test_a_user_suspended_while_his_stream_runs(
    place: str, client: openai.OpenAI, provider: Provider, instrument: Instrument, telemetry: Telemetry
) -> None:
    """The stream is read to its end; the next call is refused."""
    new_list(place)
    instrument(suspensions=place)
    pieces: list[str] = []
    with end_user("u1"):
        stream = client.responses.create(model="gpt-x", input="hello", stream=True)
        for event in stream:
            if not pieces:
                open_suspensions(place).write({WHO: ListEntry("suspend")})
                until(lambda: open_suspensions(place).holders(2).holding)
            pieces.append(event.type)
        with pytest.raises(EndUserSuspended):
            client.responses.create(model="gpt-x", input="again")
    assert ["response.output_text.delta"] * 5 + ["response.completed"] == pieces
    assert ["/v1/responses"] == provider.paths
    assert [("responses", "completed", None), ("responses", "blocked", "suspended_locally")] == outcomes(
        telemetry
    )


def test_a_filtered_users_calls_must_pass(
    place: str, client: openai.OpenAI, provider: Provider, instrument: Instrument, telemetry: Telemetry
) -> None:
    """Their last turn is asked about first; what does not pass never leaves, and the question is no call of theirs."""
    new_list(place, {WHO: ListEntry("filter")})
    instrument(suspensions=place)
    with end_user("u1"):
        client.responses.create(model="gpt-x", input="a good thing")
        with pytest.raises(EndUserSuspended) as caught:
            client.responses.create(model="gpt-x", input="a bad thing")
    with end_user("u2"):
        client.responses.create(model="gpt-x", input="a bad thing")
    assert ["/v1/moderations", "/v1/responses", "/v1/moderations", "/v1/responses"] == provider.paths
    assert "end_user_filtered" == caught.value.code
    completed, blocked = ("responses", "completed", None), ("responses", "blocked", "filtered_locally")
    assert [completed, blocked, completed] == outcomes(telemetry)


async def test_the_filter_works_for_async_clients(
    place: str, provider: Provider, instrument: Instrument, telemetry: Telemetry
) -> None:
    """The same through an async client."""
    new_list(place, {WHO: ListEntry("filter")})
    instrument(suspensions=place)
    transport = httpx2.AsyncClient(transport=httpx2.MockTransport(provider))
    async with openai.AsyncOpenAI(
        api_key="k", base_url="http://127.0.0.1:1/v1", http_client=transport
    ) as client:
        with end_user("u1"):
            await client.responses.create(model="gpt-x", input="a good thing")
            with pytest.raises(EndUserSuspended):
                await client.responses.create(model="gpt-x", input="a bad thing")
    assert ["/v1/moderations", "/v1/responses", "/v1/moderations"] == provider.paths
    expected = [("responses", "completed", None), ("responses", "blocked", "filtered_locally")]
    assert expected == outcomes(telemetry)


def test_a_watched_user_leaves_evidence_and_others_none(
    place: str, client: openai.OpenAI, instrument: Instrument, telemetry: Telemetry
) -> None:
    """With evidence off, only the watched user's turn is kept, masked."""
    new_list(place, {WHO: ListEntry("watch")})
    instrument(suspensions=place)
    for user in ("u1", "u2"):
        with end_user(user):
            client.responses.create(model="gpt-x", input=f"I am {user}@example.com")
    kept = [
        (event["user.hash"], event["openai_safety.evidence.input"])
        for event in telemetry.events
        if event["event.name"] == "openai_safety.evidence"
    ]
    assert [(WHO, "I am [EMAIL]")] == kept
    assert "example.com" not in str(telemetry.events)


def test_what_a_watched_user_fetches_of_somebody_else_is_not_kept(
    place: str, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A watch is over one person: another's answer that they fetch, flagged or not, leaves no evidence."""
    new_list(place, {WHO: ListEntry("watch")})
    instrument(suspensions=place)
    text = {"type": "output_text", "text": "canary-7f3a", "annotations": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    verdict = {"type": "moderation_result", "flagged": True, "categories": {}, "category_scores": {}}
    made = {**ANSWER, "output": [message], "moderation": {"output": verdict}}
    seen = []
    for owner in (WHO, "another"):
        with (
            answering({**made, "id": f"of {owner[:4]}", "safety_identifier": owner}) as client,
            end_user("u1"),
        ):
            client.responses.retrieve("resp_1")
        found = [event for event in telemetry.events if event["event.name"] == "openai_safety.evidence"]
        seen.append([(event["user.hash"], event["openai_safety.evidence.output"]) for event in found])
        telemetry.clear()
    assert [[(WHO, "canary-7f3a")], []] == seen


def test_no_text_leaves_without_evidence(
    place: str, client: openai.OpenAI, instrument: Instrument, telemetry: Telemetry
) -> None:
    """With evidence off and nobody watched, a canary in the prompt is nowhere, refused calls included."""
    new_list(place, {WHO: ListEntry("suspend")})
    instrument(suspensions=place)
    for user in ("u1", "u2"):
        with end_user(user):
            try:
                client.responses.create(model="gpt-x", input="canary-7f3a")
            except EndUserSuspended as error:
                assert "canary" not in repr(vars(error))  # noqa: PT017 - beside what is asserted below
    everything = str(telemetry.events) + str([span.to_json() for span in telemetry.spans])
    assert "canary" not in everything
