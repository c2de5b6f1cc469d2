"""CPU time that each contender adds to a call over the bare SDK, and to a streamed chunk.

Run: python benchmarks/cost_per_call.py [STARTS [ROUNDS]]; writes results/cost_per_call.json.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import contenders
import exchange
from rounds import HERE, Process, Workers, spread

MODES = ("sync", "async")
CALLS = {False: 15, True: 1}  # in one batch: plain calls, streams
WARM = {False: 60, True: 4}
Samples = dict[tuple[str, str], dict[str, list[float]]]


def sample(names: tuple[str, ...], starts: int, rounds: int) -> tuple[Samples, dict[str, Any]]:
    """Microseconds per call of every batch: contenders in a new order each round, processes started anew."""
    samples: Samples = {
        (case, mode): {name: [] for name in names} for case in exchange.CASES for mode in MODES
    }
    counts: dict[str, Any] = {}
    for start in range(starts):
        with Workers(names) as workers:
            _warm(workers)
            for _ in range(rounds):
                _round(workers, samples)
            if start == 0:
                counts = {
                    name: {case: process.ask(counts=case) for case in exchange.CASES}
                    for name, process in workers.items()
                }
    return samples, counts


def _warm(workers: dict[str, Process]) -> None:
    for process in workers.values():
        for case, (_, _, stream) in exchange.CASES.items():
            for mode in MODES:
                process.ask(case=case, mode=mode, calls=WARM[stream])
        process.ask(settle=True)


def _round(workers: dict[str, Process], samples: Samples) -> None:
    for (case, mode), by_name in samples.items():
        calls = CALLS[exchange.CASES[case][2]]
        for name in random.sample(list(by_name), len(by_name)):
            spent = workers[name].ask(case=case, mode=mode, calls=calls)
            by_name[name].append(spent / calls / 1000)


def added(by_name: dict[str, list[float]], name: str, over: str = "bare") -> list[float]:
    """Microseconds over another contender, round by round: paired, so that slow rounds cancel."""
    return [mine - its for mine, its in zip(by_name[name], by_name[over], strict=True)]


def summary(samples: Samples, counts: dict[str, Any]) -> dict[str, Any]:
    """Medians and quartiles of what was measured, and the ratios that the targets are about."""
    rows = [_row(case, mode, by_name) for (case, mode), by_name in samples.items()]
    for row in rows:
        if row["stream"] and "ours" in row["added_us"]:
            whole = row["case"].removesuffix(" stream")
            plain = next(one for one in rows if (one["case"], one["mode"]) == (whole, row["mode"]))
            _chunk(row, plain)
    return {"chunks": exchange.CHUNKS, "rows": rows, "recorded": counts}


def _row(case: str, mode: str, by_name: dict[str, list[float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"case": case, "mode": mode, "stream": exchange.CASES[case][2]}
    row["bare_us"] = spread(by_name["bare"])
    row["added_us"] = {name: spread(added(by_name, name)) for name in by_name if name != "bare"}
    if "ours" in by_name and "floor" in by_name:
        row["ours_over_floor"] = row["added_us"]["ours"]["median"] / row["added_us"]["floor"]["median"]
    return row


def _chunk(row: dict[str, Any], plain: dict[str, Any]) -> None:
    """What we add to a stream and not to a call of its kind, over its chunks; one alone: `chunk_cost.py`."""
    over = row["added_us"]["ours"]["median"] - plain["added_us"]["ours"]["median"]
    row["ours_chunk_us"] = over / exchange.CHUNKS


def main() -> None:
    """Measure, write, print a short table."""
    starts = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 12
    names = tuple(sys.argv[3].split(",")) if len(sys.argv) > 3 else tuple(contenders.CONTENDERS)
    found = summary(*sample(names, starts, rounds))
    found |= {"starts": starts, "rounds": rounds}
    if len(sys.argv) <= 3:
        (HERE / "results" / "cost_per_call.json").write_text(json.dumps(found, indent=1) + "\n")
    for row in found["rows"]:
        print(row["case"], row["mode"], f"bare {row['bare_us']['median']:.0f}", end=" ")
        print({name: round(value["median"]) for name, value in row["added_us"].items()}, end=" ")
        print(*(f"{row[key]:.2f}" for key in ("ours_over_floor", "ours_chunk_us") if key in row))


if __name__ == "__main__":
    main()
