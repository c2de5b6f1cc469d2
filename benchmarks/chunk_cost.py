"""CPU time that a streamed chunk costs, and what observing it adds.

An observed stream and one opened while we were off are read in turn, fifty chunks at a time, in one process: what
disturbs the machine disturbs both. Run: python benchmarks/chunk_cost.py [STREAMS]; writes results/chunk_cost.json.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Any

import contenders
import exchange
from rounds import HERE, child, spread

CHUNKS = 1000
BLOCK = 50
FIRST = 50  # the first output and what comes before it are the call's
CASES = tuple(case for case, (_, _, stream) in exchange.CASES.items() if stream)
Read = Callable[[int], Awaitable[int]]


class Chunks:
    """Streams of both kinds, from one provider."""

    def __init__(self) -> None:
        from openai_safety_otel import SafetyInstrumentor

        self._pipelines = contenders.load("ours")
        self._instrumentor = SafetyInstrumentor()
        script = exchange.Script(chunks=CHUNKS)
        self._clients = {"sync": exchange.client(script), "async": exchange.async_client(script)}

    async def opened(self, case: str, mode: str) -> dict[str, Read]:
        """How to read some chunks of an observed stream, and of a bare one; each says the nanoseconds."""
        found = {"ours": await self._open(case, mode)}
        self._instrumentor.uninstrument()
        found["bare"] = await self._open(case, mode)
        contenders.ours(self._pipelines)  # as it was loaded
        return found

    async def _open(self, case: str, mode: str) -> Read:
        opened = exchange.call_open(self._clients[mode], case)
        if mode == "sync":
            return _sync(iter(opened))
        return _async(aiter(await opened))


def _sync(chunks: Iterator[Any]) -> Read:
    async def read(count: int) -> int:
        begun = time.process_time_ns()
        for _ in islice(chunks, count):
            pass
        return time.process_time_ns() - begun

    return read


def _async(chunks: AsyncIterator[Any]) -> Read:
    async def read(count: int) -> int:
        begun = time.process_time_ns()
        for _ in range(count):
            if await anext(chunks, None) is None:
                break
        return time.process_time_ns() - begun

    return read


async def _pair(reads: dict[str, Read]) -> dict[str, float]:
    """Microseconds a chunk of each, over the plain middle of the streams."""
    total = dict.fromkeys(reads, 0)
    for read in reads.values():
        await read(FIRST)
    blocks = (CHUNKS - FIRST) // BLOCK
    for _ in range(blocks):
        for name in random.sample(list(reads), len(reads)):
            total[name] += await reads[name](BLOCK)
    for read in reads.values():
        await read(CHUNKS)
    return {name: spent / (blocks * BLOCK) / 1000 for name, spent in total.items()}


async def measure(streams: int) -> dict[str, Any]:
    """Medians and quartiles over pairs of streams."""
    both, rows = Chunks(), []
    for case in CASES:
        for mode in ("sync", "async"):
            pairs = [await _pair(await both.opened(case, mode)) for _ in range(streams)]
            bare = spread([pair["bare"] for pair in pairs])
            added = spread([pair["ours"] - pair["bare"] for pair in pairs])
            percent = 100 * added["median"] / bare["median"]
            rows.append({"case": case, "mode": mode, "bare_us": bare, "added_us": added, "percent": percent})
    return {"streams": streams, "chunks": CHUNKS, "rows": rows}


def main() -> None:
    """Measure in the environment of `ours`, write, print."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(asyncio.run(measure(int(sys.argv[2])))))
        return
    found = child("chunk_cost.py", *(sys.argv[1:] or ["40"]))
    (HERE / "results" / "chunk_cost.json").write_text(json.dumps(found, indent=1) + "\n")
    for row in found["rows"]:
        print(
            row["case"],
            row["mode"],
            f"{row['bare_us']['median']:.1f} +{row['added_us']['median']:.2f} {row['percent']:.1f} %",
        )


if __name__ == "__main__":
    main()
