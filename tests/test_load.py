"""Many users' streams on one event loop: nobody's identifier on somebody else's call, and no memory kept."""

from __future__ import annotations

import asyncio
import collections
import gc
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.who.current import Holder
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument, Telemetry

# A call costs the SDK alone 3 ms of processor time, so `make test` makes a tenth; `make test-load` (CI) all.
CALLS = int(os.environ.get("LOAD_CALLS", "1000"))
AT_A_TIME = CALLS // 20
USERS = 200
WARM = 500
REMEMBERED = 10_000
SPARE_BLOCKS = 2_500  # once, whatever the number of calls; a block kept for each call would be 10,000


@pytest.fixture
def origin() -> Iterator[str]:
    """A fast provider in a process of its own."""
    program = Path(__file__).parent / "support" / "stream_server.py"
    server = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


async def stream_as(client: openai.AsyncOpenAI, user: str) -> str:
    """One streamed answer, read to its end."""
    with end_user(user):
        stream = await client.responses.create(
            model="gpt-5", input="hello", stream=True, metadata={"user": user}
        )
        words = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    return "".join(words)


async def drive(client: openai.AsyncOpenAI, calls: int) -> collections.Counter[str]:
    """So many calls of all users in turn, so many at a time; what was answered."""
    turns = iter(range(calls))
    answers: collections.Counter[str] = collections.Counter()

    async def worker() -> None:
        for turn in turns:
            answers[await stream_as(client, f"u{turn % USERS}")] += 1

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))
    return answers


def settled() -> tuple[int, int]:
    """Memory blocks in use, and how many of our per-call objects are alive, after a collection."""
    gc.collect()
    # Not isinstance: it asks lazy objects of the SDK for their class, and so loads them.
    ours = sum(type(one) in {Call, CallRecord, Holder} for one in gc.get_objects())
    return sys.getallocatedblocks(), ours


@pytest.mark.timeout(500)
async def test_many_streams_at_once(origin: str, instrument: Instrument, telemetry: Telemetry) -> None:
    """Streams of 200 users side by side: one record each, of the right user, and memory as it was before.

    At full size 10,000 streams, 500 at a time, on one event loop.
    """
    observer = instrument().observer
    assert observer is not None
    for number in range(REMEMBERED):  # the answers kept for user reports: bounded, and full from the start
        observer.answers.told[f"resp_before_{number}"] = f"{number:064x}"
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{origin}/v1", timeout=120) as client:
        await drive(client, WARM)
        warm = len(telemetry.events)
        telemetry.clear()
        blocks, ours = settled()
        answers = await drive(client, CALLS)
        events = telemetry.events
        records = {event["gen_ai.response.id"]: event["user.hash"] for event in events}
        spans = len(telemetry.spans)
        outcomes = collections.Counter(event["openai_safety.outcome"] for event in events)
        with urllib.request.urlopen(f"{origin}/ledger", timeout=60) as shown:  # noqa: ASYNC210 - all is over
            ledger = json.load(shown)
        assert (WARM, CALLS, CALLS, {"hello": CALLS}, {"completed": CALLS}) == (
            warm,
            len(events),
            spans,
            dict(answers),
            dict(outcomes),
        )
        hashes = {f"u{number}": Hasher(KEY).end_user(f"u{number}") for number in range(USERS)}
        asked = {name: who for name, who in ledger.items() if name in records}
        assert CALLS == len(asked)
        assert {name: [user, hashes[user]] for name, (user, _) in asked.items()} == asked
        assert {name: hashes[user] for name, (user, _) in asked.items()} == records
        assert dict.fromkeys(hashes, CALLS // USERS) == collections.Counter(
            user for user, _ in asked.values()
        )
        telemetry.clear()
        del events, records, ledger, asked, answers, outcomes, hashes
        after, left = settled()
    # What settles late is a handful; what leaks grows with the calls.
    assert (True, 0) == (left <= ours + 16, len(observer._open)), (ours, left)
    assert after - blocks < SPARE_BLOCKS
