"""However a connection ends, each record ends once: closed, dropped, cancelled, forgotten, exited."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from support.socket_client import REALTIME, Talk, connect, door, of
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
    written,
)
from support.telemetry import Instrument, Telemetry
from support.waiting import until

SEEN = ("openai_safety.outcome", "error.type", "gen_ai.response.id")


async def half(peer: Peer) -> None:
    """Begins a response and stays there."""
    await peer.say(born())
    await peer.hear("response.create")
    await peer.say(created("resp_1"), delta("resp_1"))
    await peer.hear()


async def test_dropped_in_the_middle(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A network drop raises what it always raised, and ends the running response as failed."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.say(created("resp_1"), delta("resp_1"))
        await peer.hear("response.create")
        peer.drop()

    server.script = script
    manager = connect(caller, REALTIME)
    async with Talk(manager) as talk:
        await of(talk.connection.response.create())
        await talk.hear("response.output_text.delta")
        await of(talk.connection.response.create())
        with pytest.raises(Exception, match="no close frame") as raised:
            await talk.hear("response.done")
    assert "ConnectionClosedError" == type(raised.value).__name__
    failed = ("failed", "ConnectionClosedError")
    assert {(*failed, "resp_1"), (*failed, None)} == set(telemetry.facts(*SEEN))
    assert 2 == len(telemetry.events)


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (1000, "", ("failed", "ConnectionClosedOK", "resp_1")),
        (1008, "safety identifier blocked", ("blocked", "identifier_blocked", "resp_1")),
    ],
)
async def test_closed_by_the_server(
    code: int,
    reason: str,
    expected: tuple[str, ...],
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
) -> None:
    """A server that hangs up in the middle fails the response; the reason it gives is read by the rules."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.say(created("resp_1"))
        await peer.close(code, reason)

    server.script = script
    manager = connect(caller, REALTIME)
    async with Talk(manager) as talk:
        await of(talk.connection.response.create())
        with pytest.raises(Exception, match=r"1000|1008"):
            await talk.hear("response.done")
    assert [expected] == telemetry.facts(*SEEN)
    assert reason not in str(telemetry.events) or not reason


async def test_closed_by_the_app(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A response that the app walks away from is abandoned, whether or not it had begun."""
    instrument()
    server.script = half
    manager = connect(caller, REALTIME)
    async with Talk(manager) as talk:
        await of(talk.connection.response.create())
        await talk.hear("response.output_text.delta")
        await of(talk.connection.response.create())
        await of(talk.connection.close())
    assert {("abandoned", None, "resp_1"), ("abandoned", None, None)} == set(telemetry.facts(*SEEN))
    assert 2 == len(telemetry.events)


async def test_cancelled_reader(
    async_client: openai.AsyncOpenAI, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A reading task that is cancelled ends its response as cancelled; the cancellation passes on."""
    instrument()
    server.script = half
    begun = asyncio.Event()

    async def read() -> None:
        async with Talk(connect(async_client, REALTIME)) as talk:
            await talk.connection.response.create()
            await talk.hear("response.output_text.delta")
            begun.set()
            await talk.hear("response.done")

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [("cancelled", None, "resp_1")] == telemetry.facts(*SEEN)


async def test_a_reader_that_looks_with_a_timeout(
    async_client: openai.AsyncOpenAI, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """``wait_for(recv(), …)`` cancels a reading that goes on later: the response is not over."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.say(created("resp_1"))
        await peer.hear("session.update")
        await peer.say(*spoken("resp_1")[1:])
        await peer.hear("response.create")
        await peer.say(created("resp_2"))
        await peer.hear()

    server.script = script
    async with Talk(connect(async_client, REALTIME)) as talk:
        await talk.connection.response.create()
        await talk.hear("response.created")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(talk.connection.recv(), 0.05)
        await talk.send({"type": "session.update", "session": {"type": "realtime"}})
        await talk.hear("response.done")
        await talk.connection.response.create()
        await talk.hear("response.created")
    assert [("completed", None, "resp_1"), ("abandoned", None, "resp_2")] == telemetry.facts(*SEEN)


async def test_forgotten_connection(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A connection that nobody closed ends its records when it is collected."""
    instrument()
    server.script = half
    manager = connect(caller, REALTIME)
    talk = Talk(manager)
    await talk.__aenter__()
    await of(talk.connection.response.create())
    await talk.hear("response.output_text.delta")
    socket = talk.connection._connection
    assert [] == telemetry.events
    del talk, manager
    gc.collect()
    assert [("abandoned", None, "resp_1")] == until(lambda: telemetry.facts(*SEEN))
    await of(socket.close())


async def test_collected_while_the_telemetry_is_locked(
    async_client: openai.AsyncOpenAI, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """The collector may run while its thread is inside the telemetry SDK: it must not wait for itself."""
    instrument()
    server.script = half
    talk = Talk(connect(async_client, REALTIME))
    await talk.__aenter__()
    await talk.connection.response.create()
    await talk.hear("response.created")
    socket = talk.connection._connection
    with telemetry.span_exporter._lock:
        del talk
        gc.collect()
    assert [("abandoned", None, "resp_1")] == until(lambda: telemetry.facts(*SEEN))
    await socket.close()


async def test_breaking_out_of_iteration(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """Leaving a loop over a connection is no end of it: the app may read on."""
    instrument()
    server.script = realtime(spoken)
    async with Talk(connect(caller, REALTIME)) as talk:
        await of(talk.connection.response.create())
        if hasattr(talk.connection, "__aiter__"):
            async for event in talk.connection:
                if event.type == "response.created":
                    break
        else:
            for event in talk.connection:
                if event.type == "response.created":
                    break
        assert [] == telemetry.events
        await talk.hear("response.done")
    assert [("completed", None, "resp_1_1")] == telemetry.facts(*SEEN)


PROGRAM = """
import json, sys
import openai
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor
from openai_safety_otel import SafetyInstrumentor

provider = LoggerProvider()
write = lambda record: "\\n" + json.dumps(dict(record.log_record.attributes)) + "\\n"
provider.add_log_record_processor(SimpleLogRecordProcessor(ConsoleLogRecordExporter(formatter=write)))
SafetyInstrumentor().instrument(logger_provider=provider, hmac_key=b"k" * 40)
client = openai.OpenAI(api_key="sk-test", websocket_base_url=sys.argv[1])
resource = getattr(client, "realtime", None) or client.beta.realtime
connection = resource.connect(model="gpt-realtime").enter()
connection.response.create()
while connection.recv().type != "response.output_text.delta":
    pass
if len(sys.argv) > 2:
    raise SystemExit(3)
"""


@pytest.mark.parametrize("more", [(), ("exit",)])
def test_exit_of_the_process(more: tuple[str, ...], server: SocketServer, client: openai.OpenAI) -> None:
    """A process that leaves, normally or by SystemExit, ends its open responses first."""
    door(client, REALTIME)
    server.script = half
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, server.url, *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert [("abandoned", "resp_1")] == [
        (one["openai_safety.outcome"], one["gen_ai.response.id"]) for one in lines
    ], run.stderr
    assert (3 if more else 0) == run.returncode


async def test_uninstrumenting_ends_and_lets_go(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """After uninstrumenting, an open connection works on, unobserved, and what was open has ended."""
    instrumentor = instrument()
    server.script = realtime(lambda r: [created(r), delta(r)], spoken)
    async with Talk(connect(caller, REALTIME)) as talk:
        await of(talk.connection.response.create())
        await talk.hear("response.output_text.delta")
        instrumentor.uninstrument()
        await of(talk.connection.response.create())
        await talk.hear("response.done")
    assert [("abandoned", None, "resp_1_1")] == telemetry.facts(*SEEN)


async def test_relay_that_parses_nothing(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """An app that passes raw frames on, without the SDK's parsing, leaves the same records."""
    instrument()
    server.script = realtime(spoken)
    with end_user("u42"):
        async with Talk(connect(caller, REALTIME)) as talk:
            await of(talk.connection.response.create())
            while b'"response.done"' not in await of(talk.connection.recv_bytes()):
                pass
    assert [("completed", None, "resp_1_1")] == telemetry.facts(*SEEN)
    assert 0 < telemetry.events[0]["openai_safety.time_to_first_output"]


async def test_parsing_by_hand(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """``parse_event(recv_bytes())``, as the SDK documents it, counts each frame once however often parsed."""
    instrument()
    server.script = responses(written)
    async with Talk(connect(caller, "responses")) as talk:
        await of(talk.connection.response.create(model="gpt-5", input="hi"))
        kind = ""
        while kind != "response.completed":
            raw = await of(talk.connection.recv_bytes())
            kind = talk.connection.parse_event(raw).type
            assert kind == talk.connection.parse_event(raw.decode()).type
    assert [("completed", None, "resp_1_1")] == telemetry.facts(*SEEN)


async def test_a_frame_parsed_twice(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A frame that an app parses for its log and again for its work is told once."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.say(*spoken("resp_1"), error("cyber_policy"))

    server.script = script
    async with Talk(connect(caller, REALTIME)) as talk:
        for _ in range(4):
            raw = await of(talk.connection.recv_bytes())
            talk.connection.parse_event(raw)
            talk.connection.parse_event(raw)
    assert [("completed", None, "resp_1"), ("blocked", "cyber_policy", None)] == telemetry.facts(*SEEN)


async def test_events_queued_before_the_connection(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """What is queued on a manager leaves with the connection: identifier, record and outcome are as usual."""
    manager = connect(caller, "responses")
    if not hasattr(manager, "send"):
        pytest.skip(f"openai {openai.__version__} queues nothing")
    instrument()
    server.script = responses(written)
    manager = connect(caller, "responses")
    with end_user("u42"):
        manager.send({"type": "response.create", "model": "gpt-5", "input": "hi"})
    async with Talk(manager) as talk:
        await talk.hear("response.completed")
    [sent] = server.of("response.create")
    [event] = telemetry.events
    assert ("completed", sent["safety_identifier"]) == (event["openai_safety.outcome"], event["user.hash"])


async def test_queue_that_never_left(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A manager that is thrown away unentered ends what was queued on it; it was no session."""
    instrument()
    manager = connect(caller, "responses")
    if not hasattr(manager, "send"):
        pytest.skip(f"openai {openai.__version__} queues nothing")
    manager.send({"type": "response.create", "model": "gpt-5", "input": "hi"})
    del manager
    gc.collect()
    assert [("abandoned", None, None)] == until(lambda: telemetry.facts(*SEEN))
    assert {} == telemetry.points("openai_safety.realtime.sessions")


async def test_a_steered_response_has_a_successor(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """The successor that the server begins by itself belongs to whom the steered response belonged to."""
    instrument()

    def steered(response_id: str, lane: str | None) -> list[dict[str, Any]]:
        return [
            response_event("response.created", response_id),
            response_event("response.incomplete", response_id, incomplete_details={"reason": "steered"}),
            *written("resp_successor", None),
        ]

    server.script = responses(steered)
    async with Talk(connect(caller, "responses")) as talk:
        with end_user("u42"):
            await of(talk.connection.response.create(model="gpt-5", input="hi"))
        await talk.hear("response.completed")
    assert ["resp_1_1", "resp_successor"] == [event["gen_ai.response.id"] for event in telemetry.events]
    assert 1 == len({event["user.hash"] for event in telemetry.events})


@pytest.mark.parametrize("frame", ["{", "", "not json", b"\x00\xff\x01", b"[", "7", "null"])
async def test_a_frame_that_is_no_event_is_passed_on(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, frame: str | bytes
) -> None:
    """What cannot be read reaches the caller as it was sent, tells nothing, and is no failure of ours."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.say(created("resp_1"))
        await peer.raw(frame)
        await peer.say(done("resp_1"))
        await peer.hear()

    server.script = script
    async with Talk(connect(caller, REALTIME)) as talk:
        await of(talk.connection.response.create())
        read = [await of(talk.connection.recv_bytes()) for _ in range(3)]
    assert read[1] == (frame.encode() if isinstance(frame, str) else frame)
    assert [("completed", None, "resp_1")] == telemetry.facts(*SEEN)
