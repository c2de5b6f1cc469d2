"""Where the time of a recorded call goes: the functions of ours and of the OpenTelemetry SDK, by own time.

Run in the environment of ``ours``: python benchmarks/profiled.py; `make bench` writes results/profile.json.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import sys
import time
from pathlib import Path
from typing import Any

from rounds import HERE, child

CALLS = 1000
SHOWN = 40


def profile() -> dict[str, Any]:
    """Microseconds a call under the profiler, which makes small functions look dearer than they are."""
    from worker import Worker

    call = Worker("ours").sync("responses")
    for _ in range(200):
        call()
    watch = cProfile.Profile(time.process_time)  # other work on the machine is not ours
    watch.enable()
    for _ in range(CALLS):
        call()
    watch.disable()
    owners = {"ours": "openai_safety_otel", "opentelemetry": "opentelemetry"}
    totals = dict.fromkeys((*owners, "everything else"), 0.0)
    rows = []
    for (file, _, function), (_, calls, own, _, _) in pstats.Stats(watch).stats.items():  # type: ignore[attr-defined]
        owner = next((name for name, part in owners.items() if part in file), "everything else")
        totals[owner] += own / CALLS * 1e6
        if owner == "ours":
            name = f"{Path(file).parent.name}/{Path(file).name} {function}"
            rows.append({"function": name, "calls": calls / CALLS, "own_us": own / CALLS * 1e6})
    rows.sort(key=lambda row: -row["own_us"])
    return {"calls": CALLS, "own_us": totals, "functions": rows[:SHOWN], "of": len(rows)}


def main() -> None:
    """Profile in a child, write."""
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(profile()))
        return
    found = child("profiled.py")
    (HERE / "results" / "profile.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["own_us"]))


if __name__ == "__main__":
    main()
