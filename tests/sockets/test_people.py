"""Several people on one connection."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.who.identifier import Hasher
from support.socket_client import REALTIME, Talk, connect, of
from support.socket_server import (
    Peer,
    SocketServer,
    created,
    delta,
    done,
    error,
    realtime,
    response_event,
    spoken,
    text_delta,
    written,
)
from support.telemetry import Instrument, Telemetry

OUTCOME = ("openai_safety.outcome", "openai_safety.block.type", "openai_safety.block.class")


async def test_two_users_in_two_lanes(
    async_client: openai.AsyncOpenAI,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    hasher: Hasher,
) -> None:
    """Two tasks share one connection: each response is told of its own user, however the frames interleave."""
    instrument()

    async def script(peer: Peer) -> None:
        asked = [await peer.hear("response.create") for _ in range(4)]
        for event in asked:
            lane = event["stream_id"]
            if lane == "a":
                continue
            await peer.say(response_event("response.created", event["input"], lane))
        await peer.say(
            response_event("response.created", "a1", "a"), text_delta("x", "b"), text_delta("y", "a")
        )
        await peer.say(response_event("response.completed", "b1", "b"))
        await peer.say(
            response_event("response.failed", "a1", "a", error={"code": "cyber_policy", "message": "x"})
        )
        await peer.say(*written("a2", "a"))
        await peer.say(
            response_event("response.incomplete", "b2", "b", incomplete_details={"reason": "steered"})
        )

    server.script = script
    async with Talk(connect(async_client, "responses")) as talk:

        async def ask(user: str, lane: str) -> None:
            for at in (1, 2):
                with end_user(user):
                    await talk.send({"type": "response.create", "input": f"{lane}{at}", "stream_id": lane})

        await asyncio.gather(ask("ann", "a"), ask("bob", "b"))
        await talk.hear("response.incomplete")
    ann, bob = hasher.end_user("ann"), hasher.end_user("bob")
    told = [
        (event["gen_ai.response.id"], event["user.hash"], event["openai_safety.outcome"])
        for event in telemetry.events
    ]
    assert {
        ("a1", ann, "blocked"),
        ("a2", ann, "completed"),
        ("b1", bob, "completed"),
        ("b2", bob, "completed"),
    } == set(told)
    assert 4 == len(told)
    sent = {event["input"]: event["safety_identifier"] for event in server.of("response.create")}
    assert {"a1": ann, "a2": ann, "b1": bob, "b2": bob} == sent


@pytest.mark.parametrize("lanes", ["b", "bc"])
async def test_a_block_that_names_no_lane_is_not_the_connectors(
    lanes: str,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    hasher: Hasher,
) -> None:
    """Ann opened the connection and asked for nothing: the block is of the only one who asked, or of nobody known."""
    instrument()

    async def script(peer: Peer) -> None:
        for _ in lanes:
            await peer.hear("response.create")
        await peer.say(error("cyber_policy"))
        await peer.hear()

    server.script = script
    with end_user("ann"):
        manager = connect(caller, "responses")
    async with Talk(manager) as talk:
        for lane in lanes:
            with end_user(f"u{lane}"):
                await talk.send({"type": "response.create", "input": "hi", "stream_id": lane})
        await talk.hear("error")
    told = {event.get("user.hash"): event["openai_safety.outcome"] for event in telemetry.events}
    first, second = hasher.end_user("ub"), hasher.end_user("uc")
    several = {None: "blocked", first: "abandoned", second: "abandoned"}
    assert ({first: "blocked"} if lanes == "b" else several) == told
    assert len(told) == len(telemetry.events)


@pytest.mark.parametrize("lanes", ["b", "bc"])
async def test_a_connection_closed_for_one_blocks_no_others(
    lanes: str,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
) -> None:
    """The reason of a closing names no request: where several wait for an answer, it is about none of them."""
    instrument()

    async def script(peer: Peer) -> None:
        for _ in lanes:
            await peer.hear("response.create")
        await peer.close(1008, "safety identifier blocked")

    server.script = script
    async with Talk(connect(caller, "responses")) as talk:
        for lane in lanes:
            with end_user(f"u{lane}"):
                await talk.send({"type": "response.create", "input": "hi", "stream_id": lane})
        with pytest.raises(Exception, match="blocked"):
            await talk.hear("error")
    blocked = [("blocked", "identifier_blocked", "enforcement")]
    assert (blocked if lanes == "b" else [("failed", None, None)] * 2) == telemetry.facts(*OUTCOME)


async def test_somebody_else_on_a_realtime_session(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, hasher: Hasher
) -> None:
    """A Realtime session has one identifier: somebody else's request is recorded as theirs, and as a conflict."""
    instrument()
    server.script = realtime(spoken)
    with end_user("ann"):
        manager = connect(caller, REALTIME)
    async with Talk(manager) as talk:
        for user in ("ann", "bob", None):
            with end_user(user):
                await of(talk.connection.response.create())
                await talk.hear("response.done")
    ann, bob = hasher.end_user("ann"), hasher.end_user("bob")
    names = (
        "user.hash",
        "openai_safety.identifier.delivery",
        "openai_safety.identifier.conflict",
        "openai_safety.identifier.linked",
    )
    assert [
        (ann, "sent", None, None),
        (bob, "not_accepted", True, ann),
        (ann, "sent", None, None),
    ] == telemetry.facts(*names)
    conflicts = frozenset({("openai_safety.reason", "conflict")})
    assert {conflicts: 1} == telemetry.points("openai_safety.identifier.problems")


async def test_what_the_server_says_by_itself_is_the_sessions(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, hasher: Hasher
) -> None:
    """Somebody else asked last; the next answer, to speech, was asked for by nobody else than the session's user."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.say(*spoken("r1"), *spoken("r2"))

    server.script = script
    with end_user("ann"):
        manager = connect(caller, REALTIME)
    async with Talk(manager) as talk:
        with end_user("bob"):
            await of(talk.connection.response.create())
        await talk.hear("response.done")
        await talk.hear("response.done")
    ann, bob = hasher.end_user("ann"), hasher.end_user("bob")
    names = ("gen_ai.response.id", "user.hash", "openai_safety.identifier.delivery")
    assert [("r1", bob, "not_accepted"), ("r2", ann, "sent")] == telemetry.facts(*names)


async def test_concurrent_realtime_responses(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """Frames of responses that run side by side are told apart by the response they name."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.hear("response.create")
        await peer.say(created("r1"), created("r2"), delta("r2"), delta("r1"))
        await peer.say(done("r2", "incomplete", status_details={"reason": "content_filter"}), done("r1"))

    server.script = script
    async with Talk(connect(caller, REALTIME)) as talk:
        await of(talk.connection.response.create())
        await of(talk.connection.response.create())
        await talk.hear("response.done")
        await talk.hear("response.done")
    assert [("r2", "blocked"), ("r1", "completed")] == [
        (event["gen_ai.response.id"], event["openai_safety.outcome"]) for event in telemetry.events
    ]
