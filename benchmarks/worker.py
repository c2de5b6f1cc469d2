"""One contender in a process of its own: runs the batches it is asked for, line by line, and says their cost.

Reads ``{"case": …, "mode": "sync" | "async", "calls": N}`` from standard input; answers with the CPU time of the
whole process (exporting threads included) for the batch, or with the wall time of each call where
``"each": true``. ``{"counts": CASE}`` answers with what one call of a case makes it record.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import contenders
import exchange


class Worker:
    """One contender, loaded, with a client of each kind."""

    def __init__(self, name: str) -> None:
        self._floors: dict[str, Any] = {}
        captured: dict[str, Any] = {}
        self._in_place = name == "in place"
        if name == "floor" or self._in_place:
            import floor

            captured = {case: floor.captured(case) for case in exchange.CASES}
        self.pipelines = contenders.load(name)
        if captured:
            import floor

            self._floors = {
                case: floor.Floor(self.pipelines, constants) for case, constants in captured.items()
            }
        self._loop = asyncio.new_event_loop()
        self._client = exchange.client(exchange.Script())
        self._async_client = exchange.async_client(exchange.Script())
        self._late_client = exchange.async_client(exchange.Script(), late=True)

    def sync(self, case: str) -> Callable[[], object]:
        """The call of a case, as this contender has it made."""
        made = exchange.call(self._client, case)
        if case not in self._floors or self._placed(case):
            return made
        return self._floors[case].around(made)

    def coroutine(self, case: str, *, late: bool = False) -> Callable[[], Any]:
        """The same for the async client."""
        made = exchange.async_call(self._late_client if late else self._async_client, case)
        if case not in self._floors or self._placed(case):
            return made
        return self._floors[case].around_async(made)

    def _placed(self, case: str) -> bool:
        if self._in_place:
            self._floors[case].put_in_place()
        return self._in_place

    def run(self, case: str, mode: str, calls: int, *, each: bool = False) -> Any:
        """CPU nanoseconds of a batch, or the wall nanoseconds of each of its calls."""
        batch = self._sync_batch if mode == "sync" else self._async_batch
        return batch(case, calls, each=each)

    def _sync_batch(self, case: str, calls: int, *, each: bool) -> Any:
        call = self.sync(case)
        if each:
            return [_timed(call) for _ in range(calls)]
        begun = time.process_time_ns()
        for _ in range(calls):
            call()
        return time.process_time_ns() - begun

    def _async_batch(self, case: str, calls: int, *, each: bool) -> Any:
        call = self.coroutine(case)

        async def all_of_them() -> int:
            begun = time.process_time_ns()
            for _ in range(calls):
                await call()
            return time.process_time_ns() - begun

        return self._loop.run_until_complete(all_of_them())

    def together(self, case: str, calls: int) -> dict[str, float]:
        """Seconds for that many calls at once on one event loop, whose provider takes 50 ms for each."""
        call = self.coroutine(case, late=True)

        async def all_at_once() -> None:
            await asyncio.gather(*(call() for _ in range(calls)))

        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        self._loop.run_until_complete(all_at_once())
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

    def counts(self, case: str) -> dict[str, int]:
        """Spans, log records and measurements of one call."""
        self.pipelines.flush()
        before = (self.pipelines.spans.count, self.pipelines.logs.count, self.pipelines.measurements())
        call = self.sync(case)
        call()
        self.pipelines.flush()
        _flush_globals()
        after = (self.pipelines.spans.count, self.pipelines.logs.count, self.pipelines.measurements())
        names = ("spans", "events", "measurements")
        return {name: new - old for name, old, new in zip(names, before, after, strict=True)}


def _flush_globals() -> None:
    """A contender that brings its own SDK has batches there."""
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        flush()


def _timed(call: Callable[[], object]) -> int:
    begun = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - begun


def main() -> None:
    """Answer each line until there are no more."""
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a contender prints must not be taken for an answer
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any
        if "counts" in asked:
            answer = worker.counts(asked["counts"])
        elif "settle" in asked:
            # The loaded app is no garbage: a look through all of it must not fall into one batch by chance.
            gc.collect()
            gc.freeze()
            answer = True
        elif "together" in asked:
            answer = worker.together(asked["case"], asked["together"])
        else:
            answer = worker.run(asked["case"], asked["mode"], asked["calls"], each=asked.get("each", False))
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
