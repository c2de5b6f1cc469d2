"""The identifier on the wire: where each socket takes it, never elsewhere, and telemetry says the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.who.identifier import Hasher
from support.socket_client import REALTIME, Talk, connect, door, doors, of
from support.socket_server import Peer, SocketServer, realtime, responses, spoken, written
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until

HEADER = "OpenAI-Safety-Identifier"
WHO = ("user.hash", "openai_safety.identifier.source", "openai_safety.identifier.delivery")
BOTH_REALTIME = ["realtime", "beta.realtime"]
RESPONSES = doors(api="responses")
START = {"type": "session.start", "session": {"model": "gpt-live"}}


async def live(peer: Peer) -> None:
    """Starts a session, answers nothing, closes it when asked."""
    await peer.hear("session.start")
    await peer.say({"type": "session.started", "event_id": "e", "session": {"id": "s", "model": "gpt-live"}})
    await peer.hear("session.close")
    await peer.say(
        {"type": "session.closed", "event_id": "e", "reason": "close_requested", "session": {}, "usage": {}}
    )


@pytest.mark.parametrize("name", BOTH_REALTIME)
async def test_realtime_header(
    name: str, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, hasher: Hasher
) -> None:
    """A Realtime handshake carries the identifier once, and the response's event says the same."""
    instrument()
    server.script = realtime(spoken)
    with end_user("u42"):
        async with Talk(connect(caller, name, extra_headers={"X-App": "1"})) as talk:
            await talk.send({"type": "response.create"})
            await talk.hear("response.done")
    mine = hasher.end_user("u42")
    assert [mine] == server.identifiers
    assert "1" == server.handshakes[0]["x-app"]
    assert [(mine, "end_user", "sent")] == telemetry.facts(*WHO)


@pytest.mark.parametrize("name", RESPONSES)
async def test_responses_body(
    name: str, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, hasher: Hasher
) -> None:
    """Each `response.create` of a Responses socket carries the identifier; its handshake carries none."""
    instrument()
    server.script = responses(written)
    async with Talk(connect(caller, name)) as talk:
        for user in ("u1", "u2"):
            with end_user(user):
                await of(talk.connection.response.create(model="gpt-5", input="hello"))
            await talk.hear("response.completed")
    hashes = [hasher.end_user("u1"), hasher.end_user("u2")]
    assert [None] == server.identifiers
    assert hashes == [event["safety_identifier"] for event in server.of("response.create")]
    assert [(one, "end_user", "sent") for one in hashes] == telemetry.facts(*WHO)


async def test_live_start(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, hasher: Hasher
) -> None:
    """A Live session's first event carries the identifier in its session configuration."""
    instrument()
    server.script = live
    given = {"type": "session.start", "session": {"model": "gpt-live"}}
    with end_user("u42"):
        async with Talk(connect(caller, "live")) as talk:
            await talk.send(given)
            await talk.hear("session.started")
            await of(talk.connection.session.close())
            await talk.hear("session.closed")
    mine = hasher.end_user("u42")
    assert START == given
    assert [{**START, "session": {"model": "gpt-live", "safety_identifier": mine}}] == server.of(
        "session.start"
    )
    assert [None] == server.identifiers
    assert [(mine, "end_user", "sent")] == telemetry.facts(*WHO)


@pytest.mark.parametrize("name", ["live.sideband", "live.forks"])
async def test_attached_live_sessions_carry_nothing(
    name: str, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, hasher: Hasher
) -> None:
    """A socket that attaches to an existing Live session adds nothing, and the record says so."""
    instrument()
    server.script = live
    with end_user("u42"):
        async with Talk(connect(caller, name)) as talk:
            await talk.send(START)
            await talk.hear("session.started")
    assert [START] == server.of("session.start")
    assert [None] == server.identifiers
    assert [(hasher.end_user("u42"), "end_user", "not_accepted")] == telemetry.facts(*WHO)


async def test_attached_call_carries_nothing(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, hasher: Hasher
) -> None:
    """With ``call_id=`` the identifier was given when the call was made: the handshake adds none."""
    instrument()
    server.script = realtime(spoken)
    with end_user("u42"):
        async with Talk(door(caller, "realtime").connect(call_id="rtc_1")) as talk:
            await talk.send({"type": "response.create"})
            await talk.hear("response.done")
    assert [None] == server.identifiers
    assert ["/v1/realtime?call_id=rtc_1"] == server.paths
    assert [(hasher.end_user("u42"), "end_user", "not_accepted")] == telemetry.facts(*WHO)


@pytest.mark.parametrize("who", [{}, {"user": "u7"}, {"system": "quality"}], ids=str)
async def test_an_echo_names_the_session_attached_to(
    who: dict[str, str],
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    hasher: Hasher,
) -> None:
    """Whoever attaches to it, a session is whose the provider's echo says it is; personal data in it is hashed."""
    instrument()

    async def script(peer: Peer) -> None:
        session = {"id": "s", "model": "m", "safety_identifier": "jo@example.com"}
        await peer.say({"type": "session.updated", "event_id": "e", "session": session})

    server.script = script
    with end_user(**who):
        async with Talk(connect(caller, "live.sideband")) as talk:
            await talk.hear("session.updated")
    assert [hasher.end_user("jo@example.com")] == [event["user.hash"] for event in telemetry.events]


@pytest.mark.parametrize("name", BOTH_REALTIME)
@pytest.mark.parametrize("place", ["extra_headers", "default_headers"])
async def test_the_apps_own_header_wins(
    name: str,
    place: str,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    hasher: Hasher,
) -> None:
    """The app's own header, however it is written, is what is sent, or ours where this SDK drops it."""
    instrument()
    server.script = realtime(spoken)
    own = {"openai-SAFETY-identifier": "own-77"}
    using = caller if place == "extra_headers" else caller.with_options(default_headers=own)
    given = {"extra_headers": own} if place == "extra_headers" else {}
    with end_user("u42"):
        async with Talk(connect(using, name, **given)) as talk:
            await talk.send({"type": "response.create"})
            await talk.hear("response.done")
    [seen] = server.identifiers
    assert seen in ({"own-77"} if given else {"own-77", hasher.end_user("u42")})
    assert [(seen, "caller" if seen == "own-77" else "end_user", "sent")] == telemetry.facts(*WHO)


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("form", ["dict", "raw str", "raw bytes", "model"])
async def test_forms_of_an_event(
    name: str,
    form: str,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    hasher: Hasher,
) -> None:
    """An event is changed in the form it was given in, and the app's own object stays as it was."""
    instrument()
    server.script = responses(written)
    given = {"type": "response.create", "model": "gpt-5", "input": [{"role": "user", "content": "hi"}]}
    before = repr(given)
    with end_user("u42"):
        async with Talk(connect(caller, name)) as talk:
            await _send(talk, form, given)
            await talk.hear("response.completed")
    mine = hasher.end_user("u42")
    assert [{**given, "safety_identifier": mine}] == server.of("response.create")
    assert before == repr(given)
    assert [(mine, "end_user", "sent")] == telemetry.facts(*WHO)


async def _send(talk: Talk, form: str, event: dict[str, Any]) -> None:
    if form == "dict":
        await talk.send(event)
    elif form == "model":
        from openai.types.responses import responses_client_event  # not in every version

        module: Any = responses_client_event
        model = getattr(module, "ResponseCreate", None) or module.ResponsesClientEvent
        await talk.send(model.model_validate(event))
    else:
        text = json.dumps(event)
        await of(talk.connection.send_raw(text if form == "raw str" else text.encode()))


@pytest.mark.parametrize("value", ["own-77", None, ""])
async def test_the_apps_own_field_wins(
    value: str | None, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A ``safety_identifier`` that the app wrote, null and empty included, is sent as it is."""
    instrument()
    server.script = responses(written)
    event = {"type": "response.create", "model": "gpt-5", "input": "hi", "safety_identifier": value}
    with end_user("u42"):
        async with Talk(connect(caller, "responses")) as talk:
            await talk.send(event)
            await talk.hear("response.completed")
    assert [event] == server.of("response.create")
    mine = (Hasher(KEY).end_user("u42"), "end_user", "none")
    assert [("own-77", "caller", "sent") if value else mine] == telemetry.facts(*WHO)


async def test_the_apps_own_live_field_wins(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A Live session that the app gave an identifier itself keeps it."""
    instrument()
    server.script = live
    event = {"type": "session.start", "session": {"model": "gpt-live", "safety_identifier": "own-77"}}
    with end_user("u42"):
        async with Talk(connect(caller, "live")) as talk:
            await talk.send(event)
            await talk.hear("session.started")
    assert [event] == server.of("session.start")
    assert [("own-77", "caller", "sent")] == telemetry.facts(*WHO)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"inject_hosts": "api.openai.com"}, "not_accepted"),
        ({"inject": False}, "withheld"),
        ({"hmac_key": None}, "withheld"),
        ({"identifier": False}, "none"),
    ],
)
async def test_nothing_is_added_unasked(
    settings: dict[str, Any],
    expected: str,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
) -> None:
    """Another host, injection off, no key, identifiers off: handshake and events stay as they were."""
    instrument(**settings)
    server.script = realtime(spoken)
    with end_user("u42"):
        async with Talk(connect(caller, REALTIME)) as talk:
            await talk.send({"type": "response.create"})
            await talk.hear("response.done")
        server.script = responses(written)
        async with Talk(connect(caller, "responses")) as talk:
            await talk.send({"type": "response.create", "model": "gpt-5", "input": "hi"})
            await talk.hear("response.completed")
    assert [None, None] == server.identifiers
    assert ["type"] == list(server.of("response.create")[0])
    assert ["type", "model", "input"] == list(server.of("response.create")[1])
    assert [expected, expected] == [event["openai_safety.identifier.delivery"] for event in telemetry.events]


Override = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (lambda event: None, None),
        (lambda event: {"extra_headers": {"X-App": "2"}}, None),
        (lambda event: {"extra_headers": {"openai-safety-identifier": "own-77"}}, "own-77"),
    ],
    ids=["no override", "other headers", "own header"],
)
async def test_reconnects_repeat_the_identifier(
    override: Override,
    expected: str | None,
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    hasher: Hasher,
) -> None:
    """After a drop the SDK connects again with the same identifier, whatever else its callback overrides."""
    if "on_reconnecting" not in door(caller, REALTIME).connect.__code__.co_varnames:
        pytest.skip(f"openai {openai.__version__} does not reconnect")
    instrument()

    async def script(peer: Peer) -> None:
        if peer.number == 1:
            await peer.close(1012)
        await realtime(spoken)(peer)

    server.script = script
    with end_user("u42"):
        manager = connect(caller, REALTIME, on_reconnecting=override, initial_delay=0.01, max_delay=0.02)
        async with Talk(manager) as talk:
            async for event in _iterate(talk.connection):
                if event.type == "session.created":
                    await talk.send({"type": "response.create"})
                if event.type == "response.done":
                    break
    mine = hasher.end_user("u42")
    assert [mine, expected or mine] == server.identifiers
    until(lambda: len(telemetry.events) == 2)
    assert ["failed", "completed"] == [event["openai_safety.outcome"] for event in telemetry.events]
    labels = {("openai_safety.api", "realtime"), ("openai_safety.traffic", "production")}
    assert {frozenset(labels): 2} == telemetry.points("openai_safety.realtime.sessions")


async def _iterate(connection: Any) -> Any:
    if hasattr(connection, "__aiter__"):
        async for event in connection:
            yield event
    else:
        for event in connection:
            yield event
