"""A thousand sessions leave nothing behind, and the work for a frame does not grow with the session."""

from __future__ import annotations

import gc

import openai

from openai_safety_otel import end_user
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.sockets.session import Session
from support.socket_client import REALTIME, Talk, connect, of
from support.socket_server import SocketServer, realtime, spoken
from support.telemetry import Instrument, Telemetry
from support.waiting import until

SESSIONS = 1_000
WARM = 200


async def _sessions(client: openai.AsyncOpenAI, observer: Observer, telemetry: Telemetry, count: int) -> int:
    """Run sessions, every second of them left open for the collector; how many records they left."""
    records = 0
    for number in range(count):
        with end_user(f"u{number}"):
            talk = Talk(connect(client, REALTIME))
            await talk.__aenter__()
            await of(talk.connection.response.create())
            await talk.hear("response.done" if number % 2 else "response.created")
            if number % 4:
                await talk.__aexit__(None, None, None)
            else:
                await talk.connection._connection.close()  # behind our back: only the collector will tell
        del talk
        if number % 100 == 99:
            gc.collect()
            assert until(lambda: not observer._open)
            records += len(telemetry.events)
            telemetry.clear()
    return records


async def test_memory_is_flat(
    async_client: openai.AsyncOpenAI, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """1,000 sessions leave 1,000 records, no session, no open call, and as many objects as there were."""
    observer = instrument().observer
    assert observer is not None
    server.script = realtime(spoken)

    async def run(count: int) -> tuple[int, int]:
        records = await _sessions(async_client, observer, telemetry, count)
        for ledger in (server.handshakes, server.paths, server.events):
            ledger.clear()
        gc.collect()
        return records, len(gc.get_objects())

    first, before = await run(WARM)
    rest, after = await run(SESSIONS - WARM)
    left = [thing for thing in gc.get_objects() if type(thing) is Session]
    assert SESSIONS == first + rest
    assert {} == observer._open
    # A few may belong to tests before this one in the same process; none may stay for each session.
    assert len(left) < SESSIONS // 50, left
    assert after - before < WARM
