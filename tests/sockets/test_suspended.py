"""People who were suspended: refused at every door, in the middle of a session, and nobody else with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from openai_safety_otel import EndUserSuspended, end_user
from openai_safety_otel.who.current import current_end_user
from openai_safety_otel.who.identifier import Hasher, identify
from support.socket_client import REALTIME, Talk, connect, doors, of
from support.socket_server import (
    Peer,
    SocketServer,
    born,
    created,
    done,
    realtime,
    response_event,
    responses,
    spoken,
    written,
)
from support.telemetry import Instrument, Telemetry
from support.waiting import until

Suspend = Callable[[str], None]
OUTCOME = ("openai_safety.outcome", "openai_safety.block.type", "openai_safety.block.class")
REFUSED = ("blocked", "suspended_locally", "local")
COMPLETED = ("completed", None, None)


@pytest.fixture
def suspend(tmp_path: Path, hasher: Hasher, instrument: Instrument) -> Suspend:
    """Let the app follow a list; what is returned puts a user on it, and waits until the app has read that."""
    path = tmp_path / "list.json"

    def write(*users: str) -> None:
        entries = {hasher.end_user(user): {"action": "suspend"} for user in users}
        new = tmp_path / "new.json"
        new.write_text(json.dumps({"version": 1, "entries": entries}), encoding="utf-8")
        new.replace(path)

    write()
    observer: Any = instrument(suspensions=str(path)).observer

    def suspended(user: str) -> None:
        write(user)
        with end_user(user):
            identity = identify(current_end_user(), hasher)
        assert until(lambda: observer.guard.check(identity))

    return suspended


@pytest.mark.parametrize("name", doors())
async def test_suspended_before_connecting(
    name: str,
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """A suspended end user is refused at every door before any network traffic, as a 403 that the app can handle."""
    suspend("mal")
    connect(caller, name)
    with end_user("mal"), pytest.raises(openai.PermissionDeniedError) as raised:
        connect(caller, name)
    assert (EndUserSuspended, "end_user_suspended", 403) == (
        type(raised.value),
        raised.value.code,
        raised.value.status_code,
    )
    assert [] == server.handshakes
    assert [REFUSED] == telemetry.facts(*OUTCOME)
    assert [hasher.end_user("mal")] == [event["user.hash"] for event in telemetry.events]
    with end_user("ann"):
        async with Talk(connect(caller, name)):
            assert 1 == len(server.handshakes)


async def test_suspended_before_entering(
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
) -> None:
    """Whoever is suspended between ``connect`` and the entering of its manager is refused there."""
    with end_user("mal"):
        manager = connect(caller, REALTIME)
    suspend("mal")
    with pytest.raises(EndUserSuspended):
        async with Talk(manager):
            pass
    assert [] == server.handshakes
    assert [REFUSED] == telemetry.facts(*OUTCOME)


@pytest.mark.parametrize("name", [REALTIME, "responses"])
async def test_suspended_in_the_middle(
    name: str,
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
) -> None:
    """A user suspended while their response runs gets its end; their next request does not leave."""
    server.script = realtime(spoken) if name == REALTIME else responses(written)
    ask = {"type": "response.create", **({} if name == REALTIME else {"model": "gpt-5", "input": "hi"})}
    with end_user("mal"):
        async with Talk(connect(caller, name)) as talk:
            await talk.send(ask)
            await talk.hear("response.created")
            suspend("mal")
            await talk.hear("response.done", "response.completed")
            for send in (talk.connection.send, getattr(talk.connection, "send_raw", None)):
                if send is not None:
                    with pytest.raises(EndUserSuspended):
                        await of(send(ask if send == talk.connection.send else json.dumps(ask)))
    assert COMPLETED == telemetry.facts(*OUTCOME)[0]
    assert {REFUSED} == set(telemetry.facts(*OUTCOME)[1:])
    assert 2 <= len(telemetry.events)
    assert 1 == len(server.of("response.create"))


async def test_others_go_on(
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
    hasher: Hasher,
) -> None:
    """On a Responses socket that several share, one's suspension leaves the others alone."""
    suspend("mal")
    server.script = responses(written)
    ask = {"type": "response.create", "model": "gpt-5", "input": "hi"}
    async with Talk(connect(caller, "responses")) as talk:
        with end_user("mal"), pytest.raises(EndUserSuspended):
            await talk.send(ask)
        with end_user("ann"):
            await talk.send(ask)
            await talk.hear("response.completed")
    assert [REFUSED, COMPLETED] == telemetry.facts(*OUTCOME)
    assert [hasher.end_user("ann")] == [one["safety_identifier"] for one in server.of("response.create")]


async def test_nobody_uses_a_suspended_session(
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
) -> None:
    """Requests on a session that carries a suspended identifier are refused, whoever makes them."""
    server.script = realtime(spoken)
    with end_user("mal"):
        manager = connect(caller, REALTIME)
    async with Talk(manager) as talk:
        suspend("mal")
        with end_user("ann"), pytest.raises(EndUserSuspended):
            await of(talk.connection.response.create())
        with pytest.raises(EndUserSuspended):
            await of(talk.connection.response.create())
    assert [] == server.of("response.create")
    assert [REFUSED, REFUSED, COMPLETED] == telemetry.facts(*OUTCOME)


async def test_suspended_at_the_start_of_a_live_session(
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
) -> None:
    """A Live connection opened for nobody is not started by a suspended user: one record says so."""
    suspend("mal")
    async with Talk(connect(caller, "live")) as talk:
        with end_user("mal"), pytest.raises(EndUserSuspended):
            await talk.send({"type": "session.start", "session": {"model": "gpt-live"}})
    assert [] == server.events
    assert [REFUSED] == telemetry.facts(*OUTCOME)


async def test_suspended_speech(
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
) -> None:
    """Where the server answers speech by itself, a suspended user's next words are refused, recorded once."""

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
            await talk.send(words)  # an answer is being given: it is finished first
            await talk.hear("response.done")
            for _ in range(3):
                with pytest.raises(EndUserSuspended):
                    await talk.send(words)
    assert 2 == len(server.of("input_audio_buffer.append"))
    assert [COMPLETED, REFUSED] == telemetry.facts(*OUTCOME)


@pytest.mark.parametrize(("asked_by", "steered_by"), [("mal", "mal"), ("ann", "mal"), ("mal", "ann")])
@pytest.mark.parametrize("form", ["method", "event", "text"])
async def test_suspended_steering(
    form: str,
    asked_by: str,
    steered_by: str,
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
) -> None:
    """Input for a response makes the server begin another: a suspended user gives none, and theirs gets none."""

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
        with end_user(steered_by), pytest.raises(EndUserSuspended):
            await steer(talk, form)
    assert [] == server.of("response.steer")
    assert [REFUSED, ("abandoned", None, None)] == telemetry.facts(*OUTCOME)


async def test_steering_is_no_call_of_its_own(
    caller: Any,
    server: SocketServer,
    telemetry: Telemetry,
    suspend: Suspend,
) -> None:
    """Where nobody is suspended it is sent as it is; the successor has the record."""
    suspend("mal")

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
        for event, outcome in zip(telemetry.events, telemetry.facts(*OUTCOME), strict=True)
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
    telemetry: Telemetry,
    suspend: Suspend,
) -> None:
    """A decision that a Live session is asked for runs a model: not for a suspended user."""
    with end_user("mal"):
        async with Talk(connect(caller, "live")) as talk:
            await talk.send({"type": "session.start", "session": {"model": "gpt-live"}})
            suspend("mal")
            with pytest.raises(EndUserSuspended):
                await talk.send({"type": "decision.create", "event_id": "e1"})
    assert [] == server.of("decision.create")
    assert REFUSED in telemetry.facts(*OUTCOME)
