"""Where the time of a recorded call goes, function by function: ours, OpenTelemetry's under us, and the official one's.

Run: python benchmarks/profiled.py [BATCHES]; writes results/profile.json.
"""

from __future__ import annotations

import collections
import cProfile
import gc
import json
import statistics
import sys
import sysconfig
from pathlib import Path
from typing import Any

from rounds import HERE, child

CASES = ("chat", "responses", "responses, moderation")
PROFILED = ("ours", "official")
CALLS = 10  # of one batch: short, so that most batches are not interrupted
REST = "everything else"
# Whose a file is: the first part that its path holds.
_OWNERS = (
    ("ours", "/openai_safety_otel/"),
    ("official", "/opentelemetry/instrumentation/genai/"),
    ("official", "/opentelemetry/util/genai/"),
    ("opentelemetry", "/opentelemetry/"),
)
_LIBRARY = (sysconfig.get_path("stdlib"), "<")  # generated code, too
_Key = tuple[str, int, str]


def owner(file: str) -> str:
    """Whose code it is; the SDK's, its transport's and the test's are everything else."""
    return next((name for name, part in _OWNERS if part in file), REST)


def batch(call: Any) -> dict[tuple[str, _Key], tuple[float, float]]:
    """Own microseconds and calls, for one call, of each function by whose it is.

    What C functions take belongs to the function that calls them; a function of the standard library belongs to whoever
    calls it.
    """
    watch = cProfile.Profile(builtins=False)
    watch.enable()
    for _ in range(CALLS):
        call()
    watch.disable()
    watch.create_stats()
    us: collections.Counter[tuple[str, _Key]] = collections.Counter()
    times: collections.Counter[tuple[str, _Key]] = collections.Counter()
    for function, (_, calls, own, _, callers) in watch.stats.items():  # type: ignore[attr-defined]
        file = function[0]
        library = file.startswith(_LIBRARY) and "site-packages" not in file and callers
        for caller, its in (callers if library else {function: (calls, calls, own)}).items():
            us[owner(caller[0]), function] += its[2] / CALLS * 1e6
            times[owner(caller[0]), function] += its[0] / CALLS
    return {key: (us[key], times[key]) for key in us}


def profile(name: str, batches: int) -> dict[str, Any]:
    """For each case, each function in the quarter of the batches that disturbed it least."""
    from worker import Worker

    worker = Worker(name)
    found = {}
    for case in CASES:
        call = worker.sync(case)
        for _ in range(200):
            call()
        gc.collect()
        gc.freeze()
        found[case] = _quiet([batch(call) for _ in range(batches)])
    return found


def _quiet(taken: list[dict[tuple[str, _Key], tuple[float, float]]]) -> dict[str, Any]:
    totals: collections.Counter[str] = collections.Counter()
    rows = []
    for who, function in sorted({key for one in taken for key in one}):
        values = [one.get((who, function), (0.0, 0.0)) for one in taken]
        us, calls = (statistics.quantiles(column, n=4)[0] for column in zip(*values, strict=True))
        totals[who] += us
        if who != REST and calls:
            rows.append({"owner": who, "function": _name(function), "calls": calls, "own_us": round(us, 2)})
    rows.sort(key=lambda row: -row["own_us"])
    return {"own_us": dict(totals), "functions": rows}


def _name(function: _Key) -> str:
    path = function[0]
    if path.startswith("<"):
        return f"generated {function[2]}"
    parts = [part for _, part in _OWNERS[-1:] + _OWNERS[:1] if part in path]
    return f"{path.rpartition(parts[-1])[2] if parts else Path(path).name} {function[2]}"


def main() -> None:
    """Profile each in a child of its own environment, write."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(profile(sys.argv[2], int(sys.argv[3]))))
        return
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    each = {name: child("profiled.py", name, batches, of=name) for name in PROFILED}
    found = {case: {name: each[name][case] for name in PROFILED} for case in CASES}
    written = {"calls": CALLS, "batches": batches, "cases": found}
    (HERE / "results" / "profile.json").write_text(json.dumps(written, indent=1) + "\n")
    print({case: {name: of["own_us"] for name, of in both.items()} for case, both in found.items()})


if __name__ == "__main__":
    main()
