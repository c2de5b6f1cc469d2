"""Several people on one connection, and people who were suspended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from openai_safety_otel import EndUserSuspended, end_user
from openai_safety_otel.who.identifier import Hasher
from support.socket_client import REALTIME, Talk, connect, doors, of
from support.socket_server import (
    Peer,
    SocketServer,
    born,
    created,
    delta,
    done,
    error,
    realtime,
    response_event,
    responses,
    spoken,
    text_delta,
    written,
)
from support.telemetry import Instrument, Telemetry
from support.waiting import until

Suspend = Callable[..., None]
REFUSED = ("blocked", "suspended_locally", "local")
COMPLETED = ("completed", None, None)


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, client: openai.OpenAI, async_client: openai.AsyncOpenAI) -> Any:
    return client if request.param == "sync" else async_client


def seen(telemetry: Telemetry) -> list[tuple[Any, ...]]:
    names = ("openai_safety.outcome", "openai_safety.block.type", "openai_safety.block.class")
    return [tuple(event.get(name) for name in names) for event in telemetry.events]


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
    assert (blocked if lanes == "b" else [("failed", None, None)] * 2) == seen(telemetry)


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
    assert [(ann, "sent", None, None), (bob, "not_accepted", True, ann), (ann, "sent", None, None)] == [
        tuple(event.get(name) for name in names) for event in telemetry.events
    ]
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
    assert [("r1", bob, "not_accepted"), ("r2", ann, "sent")] == [
        tuple(event.get(name) for name in names) for event in telemetry.events
    ]


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


# --- suspended ---


@pytest.fixture
def suspend(tmp_path: Path, hasher: Hasher) -> Suspend:
    """Write the suspension list with these users on it."""

    def write(*users: str) -> None:
        entries = {hasher.end_user(user): {"action": "suspend"} for user in users}
        path = tmp_path / "new.json"
        path.write_text(json.dumps({"version": 1, "entries": entries}), encoding="utf-8")
        path.replace(tmp_path / "list.json")

    write()
    return write


def follow(instrument: Instrument, tmp_path: Path) -> Any:
    return instrument(suspensions=str(tmp_path / "list.json")).observer


def await_decision(observer: Any, hasher: Hasher, user: str) -> None:
    """Wait until the list that was written has been read."""
    with end_user(user):
        from openai_safety_otel.who.current import current_end_user
        from openai_safety_otel.who.identifier import identify

        identity = identify(current_end_user(), hasher)
    assert until(lambda: observer.guard.check(identity))


@pytest.mark.parametrize("name", doors())
async def test_suspended_before_connecting(
    name: str,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """A suspended end user is refused at every door before any network traffic, as a 403 that the app can handle."""
    suspend("mal")
    await_decision(follow(instrument, tmp_path), hasher, "mal")
    connect(caller, name)
    with end_user("mal"), pytest.raises(openai.PermissionDeniedError) as raised:
        connect(caller, name)
    assert (EndUserSuspended, "end_user_suspended", 403) == (
        type(raised.value),
        raised.value.code,
        raised.value.status_code,
    )
    assert [] == server.handshakes
    assert [REFUSED] == seen(telemetry)
    assert [hasher.end_user("mal")] == [event["user.hash"] for event in telemetry.events]
    with end_user("ann"):
        async with Talk(connect(caller, name)):
            assert 1 == len(server.handshakes)


async def test_suspended_before_entering(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """Whoever is suspended between ``connect`` and the entering of its manager is refused there."""
    observer = follow(instrument, tmp_path)
    with end_user("mal"):
        manager = connect(caller, REALTIME)
    suspend("mal")
    await_decision(observer, hasher, "mal")
    with pytest.raises(EndUserSuspended):
        async with Talk(manager):
            pass
    assert [] == server.handshakes
    assert [REFUSED] == seen(telemetry)


@pytest.mark.parametrize("name", [REALTIME, "responses"])
async def test_suspended_in_the_middle(
    name: str,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """A user suspended while their response runs gets its end; their next request does not leave."""
    observer = follow(instrument, tmp_path)
    server.script = realtime(spoken) if name == REALTIME else responses(written)
    ask = {"type": "response.create", **({} if name == REALTIME else {"model": "gpt-5", "input": "hi"})}
    with end_user("mal"):
        async with Talk(connect(caller, name)) as talk:
            await talk.send(ask)
            await talk.hear("response.created")
            suspend("mal")
            await_decision(observer, hasher, "mal")
            await talk.hear("response.done", "response.completed")
            for send in (talk.connection.send, getattr(talk.connection, "send_raw", None)):
                if send is not None:
                    with pytest.raises(EndUserSuspended):
                        await of(send(ask if send == talk.connection.send else json.dumps(ask)))
    assert COMPLETED == seen(telemetry)[0]
    assert {REFUSED} == set(seen(telemetry)[1:])
    assert 2 <= len(telemetry.events)
    assert 1 == len(server.of("response.create"))


async def test_others_go_on(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """On a Responses socket that several share, one's suspension leaves the others alone."""
    observer = follow(instrument, tmp_path)
    suspend("mal")
    await_decision(observer, hasher, "mal")
    server.script = responses(written)
    ask = {"type": "response.create", "model": "gpt-5", "input": "hi"}
    async with Talk(connect(caller, "responses")) as talk:
        with end_user("mal"), pytest.raises(EndUserSuspended):
            await talk.send(ask)
        with end_user("ann"):
            await talk.send(ask)
            await talk.hear("response.completed")
    assert [REFUSED, COMPLETED] == seen(telemetry)
    assert [hasher.end_user("ann")] == [one["safety_identifier"] for one in server.of("response.create")]


async def test_nobody_uses_a_suspended_session(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """Requests on a session that carries a suspended identifier are refused, whoever makes them."""
    observer = follow(instrument, tmp_path)
    server.script = realtime(spoken)
    with end_user("mal"):
        manager = connect(caller, REALTIME)
    async with Talk(manager) as talk:
        suspend("mal")
        await_decision(observer, hasher, "mal")
        with end_user("ann"), pytest.raises(EndUserSuspended):
            await of(talk.connection.response.create())
        with pytest.raises(EndUserSuspended):
            await of(talk.connection.response.create())
    assert [] == server.of("response.create")
    assert [REFUSED, REFUSED, COMPLETED] == seen(telemetry)


async def test_suspended_at_the_start_of_a_live_session(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """A Live connection opened for nobody is not started by a suspended user: one record says so."""
    suspend("mal")
    await_decision(follow(instrument, tmp_path), hasher, "mal")
    async with Talk(connect(caller, "live")) as talk:
        with end_user("mal"), pytest.raises(EndUserSuspended):
            await talk.send({"type": "session.start", "session": {"model": "gpt-live"}})
    assert [] == server.events
    assert [REFUSED] == seen(telemetry)


async def test_suspended_speech(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """Where the server answers speech by itself, a suspended user's next words are refused, recorded once."""
    observer = follow(instrument, tmp_path)

    async def script(peer: Peer) -> None:
        await peer.say(born())
        await peer.hear("input_audio_buffer.append")
        await peer.say(created("resp_1"))
        await peer.hear("input_audio_buffer.append")
        await peer.say(done("resp_1"))
        await peer.hear()

    server.script = script
    words = {"type": "input_audio_buffer.append", "audio": "AAAA"}
    with end_user("mal"):
        async with Talk(connect(caller, REALTIME)) as talk:
            await talk.send(words)
            await talk.hear("response.created")
            suspend("mal")
            await_decision(observer, hasher, "mal")
            await talk.send(words)  # an answer is being given: it is finished first
            await talk.hear("response.done")
            for _ in range(3):
                with pytest.raises(EndUserSuspended):
                    await talk.send(words)
    assert 2 == len(server.of("input_audio_buffer.append"))
    assert [COMPLETED, REFUSED] == seen(telemetry)


@pytest.mark.parametrize(("asked_by", "steered_by"), [("mal", "mal"), ("ann", "mal"), ("mal", "ann")])
@pytest.mark.parametrize("form", ["method", "event", "text"])
async def test_suspended_steering(
    form: str,
    asked_by: str,
    steered_by: str,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """Input for a response makes the server begin another: a suspended user gives none, and theirs gets none."""
    observer = follow(instrument, tmp_path)

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.say(response_event("response.created", "r1"))
        await peer.hear()

    server.script = script
    async with Talk(connect(caller, "responses")) as talk:
        with end_user(asked_by):
            await of(talk.connection.response.create(model="gpt-5", input="hi"))
        await talk.hear("response.created")
        suspend("mal")
        await_decision(observer, hasher, "mal")
        with end_user(steered_by), pytest.raises(EndUserSuspended):
            await steer(talk, form)
    assert [] == server.of("response.steer")
    assert [REFUSED, ("abandoned", None, None)] == seen(telemetry)


async def test_steering_is_no_call_of_its_own(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """Where nobody is suspended it is sent as it is; the successor has the record."""
    suspend("mal")
    await_decision(follow(instrument, tmp_path), hasher, "mal")

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.say(response_event("response.created", "r1"))
        await peer.hear("response.steer")
        steered = {"reason": "steered"}
        await peer.say(response_event("response.incomplete", "r1", incomplete_details=steered))
        await peer.say(*written("r2", None))

    server.script = script
    async with Talk(connect(caller, "responses")) as talk:
        with end_user("ann"):
            await of(talk.connection.response.create(model="gpt-5", input="hi"))
            await talk.hear("response.created")
            await steer(talk, "method")
            await talk.hear("response.completed")
    assert [STEER] == server.of("response.steer")
    assert [("r1", COMPLETED), ("r2", COMPLETED)] == [
        (event["gen_ai.response.id"], outcome)
        for event, outcome in zip(telemetry.events, seen(telemetry), strict=True)
    ]


STEER = {"type": "response.steer", "input": "and then?", "previous_response_id": "r1"}


async def steer(talk: Talk, form: str) -> None:
    """Queue input for the response, in one of the ways there are."""
    if not hasattr(talk.connection.response, "steer"):
        pytest.skip(f"openai {openai.__version__} has no response.steer")
    if form == "method":
        await of(talk.connection.response.steer(input=STEER["input"], previous_response_id="r1"))
    elif form == "event":
        await talk.send(STEER)
    else:
        await of(talk.connection.send_raw(json.dumps(STEER)))


async def test_suspended_decisions(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    tmp_path: Path,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """A decision that a Live session is asked for runs a model: not for a suspended user."""
    observer = follow(instrument, tmp_path)
    with end_user("mal"):
        async with Talk(connect(caller, "live")) as talk:
            await talk.send({"type": "session.start", "session": {"model": "gpt-live"}})
            suspend("mal")
            await_decision(observer, hasher, "mal")
            with pytest.raises(EndUserSuspended):
                await talk.send({"type": "decision.create", "event_id": "e1"})
    assert [] == server.of("decision.create")
    assert REFUSED in seen(telemetry)
