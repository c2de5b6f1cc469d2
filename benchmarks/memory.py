"""Memory that a live stream holds, and what stays after many calls.

Run: python benchmarks/memory.py [CALLS [STREAMS]]; writes results/memory.json. `make bench` makes a run of
60,000 calls, unless the result there is of a longer one.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import contenders
import exchange
from rounds import HERE, child

SETTLED = 12_000  # the package remembers the last 10,000 answers: before that, memory is meant to grow
MILLION = 1_000_000


def per_stream(name: str, streams: int) -> dict[str, float]:
    """Bytes of Python memory for one open stream of which one chunk was read."""
    contenders.load(name)
    made = exchange.client(exchange.Script())
    opened = [_opened(made) for _ in range(20)]  # what is made once is not a stream's
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    opened += [_opened(made) for _ in range(streams)]
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for stream, _ in opened:
        stream.close()
    return {"bytes": (after - before) / streams}


def _opened(made: Any) -> Any:
    stream = exchange.call_open(made, "responses stream")
    reading = iter(stream)
    next(reading)
    return stream, reading


def growth(name: str, calls: int) -> dict[str, Any]:
    """Live memory blocks and resident memory as calls go on, each with a new user and a new answer."""
    pipelines = contenders.load(name)
    call = exchange.call(exchange.client(exchange.Script(fresh=True)), "responses")
    samples = []
    step = max(1, (calls - SETTLED) // 10)
    for at in range(calls + 1):
        if at >= SETTLED and (at - SETTLED) % step == 0:
            pipelines.flush()
            gc.collect()
            samples.append({"calls": at, "blocks": sys.getallocatedblocks(), "mb": _resident()})
        contenders.somebody(name, at)
        call()
    first, last = samples[0], samples[-1]
    made = last["calls"] - first["calls"]
    return {
        "samples": samples,
        "blocks_per_call": (last["blocks"] - first["blocks"]) / made,
        "mb_per_million_calls": _slope([(one["calls"], one["mb"]) for one in samples]) * MILLION,
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def _slope(points: list[tuple[float, float]]) -> float:
    """Least squares."""
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    over = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return over / sum((x - middle_x) ** 2 for x, _ in points)


def measure(calls: int, streams: int) -> dict[str, Any]:
    """Both, for the bare SDK and for us."""
    live = {name: child("memory.py", "stream", name, streams) for name in ("bare", "ours")}
    with ThreadPoolExecutor(2) as pool:  # a million calls take half an hour; memory does not mind company
        waiting = {name: pool.submit(child, "memory.py", "growth", name, calls) for name in ("bare", "ours")}
        grown = {name: one.result() for name, one in waiting.items()}
    return {
        "streams": streams,
        "calls": calls,
        "settled_after": SETTLED,
        "stream_bytes": {name: found["bytes"] for name, found in live.items()},
        "stream_added_bytes": live["ours"]["bytes"] - live["bare"]["bytes"],
        "growth": grown,
    }


def main() -> None:
    """Measure, write, print; or one measurement in a child."""
    if sys.argv[1:2] == ["--child"]:
        _, _, what, name, count = sys.argv
        print(json.dumps((per_stream if what == "stream" else growth)(name, int(count))))
        return
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    streams = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    found = measure(calls, streams)
    (HERE / "results" / "memory.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
