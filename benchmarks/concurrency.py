"""A thousand calls at once on one event loop, and the slowest per cent of single calls.

Run: python benchmarks/concurrency.py [ROUNDS [CALLS]]; writes results/concurrency.json.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from typing import Any

import contenders
from rounds import HERE, Process, Workers, spread

CASE = "responses"


def together(workers: dict[str, Process], rounds: int, calls: int) -> dict[str, Any]:
    """Calls a second and CPU microseconds per call."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for process in workers.values():
        process.ask(case=CASE, together=100)
    for _ in range(rounds):
        for name in random.sample(list(workers), len(workers)):
            found[name].append(workers[name].ask(case=CASE, together=calls))
    return {
        name: {
            "calls_per_second": spread([calls / one["wall"] for one in values]),
            "cpu_us_per_call": spread([1e6 * one["cpu"] / calls for one in values]),
        }
        for name, values in found.items()
    }


def latency(workers: dict[str, Process], rounds: int) -> dict[str, Any]:
    """Median and 99th percentile of the wall time of single calls, in microseconds."""
    found: dict[str, list[float]] = {name: [] for name in workers}
    for process in workers.values():
        process.ask(case=CASE, mode="sync", calls=60, each=True)
    for _ in range(rounds):
        for name in random.sample(list(workers), len(workers)):
            times = workers[name].ask(case=CASE, mode="sync", calls=100, each=True)
            found[name] += [one / 1000 for one in times]
    points = {name: statistics.quantiles(values, n=100, method="inclusive") for name, values in found.items()}
    return {
        name: {
            "p50_us": cuts[49],
            "p99_us": cuts[98],
            "added_p50_us": cuts[49] - points["bare"][49],
            "added_p99_us": cuts[98] - points["bare"][98],
        }
        for name, cuts in points.items()
    }


def main() -> None:
    """Measure, write, print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with Workers(contenders.CONTENDERS) as workers:
        found = {
            "rounds": rounds,
            "calls": calls,
            "together": together(workers, rounds, calls),
            "latency": latency(workers, rounds),
        }
    (HERE / "results" / "concurrency.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
