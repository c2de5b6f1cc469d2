"""All benchmarks in one go: ``make bench``, or ``python benchmarks/run.py --quick`` for a look.

Each writes its JSON into ``results``; the plot and the README are made from those files.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import machine
import plot
import readme

HERE = Path(__file__).parent
# Script, arguments of a full run, arguments of a quick one.
OWN = (
    ("cost_per_call.py", ("3", "30"), ("1", "3")),
    ("chunk_cost.py", ("40",), ("3",)),
    ("concurrency.py", ("6", "1000"), ("1", "100")),
    ("startup.py", ("15",), ("3",)),
    ("memory.py", ("60000", "500"), ("13000", "50")),
    ("profiled.py", ("200",), ("10",)),
)
# The same for scripts that print one JSON object, kept here as they print it.
PRINTED = (
    ("whois_speed.py", ("2000000",), ("100000",)),
    ("report_speed.py", ("1000000",), ("20000",)),
    ("reconcile_speed.py", ("10000000",), ("100000",)),
    ("suspensions.py", ("1000000",), ("10000",)),
)
# These need the real programs; they write their own results.
STACK = (("collector_throughput.py", "collector"), ("loki_ranking.py", "loki"))


def run(script: str, arguments: tuple[str, ...]) -> str:
    """Run one and give what it printed; exit code 1 says that a target was missed, which is published."""
    begun = time.perf_counter()
    print(f"{script} …", file=sys.stderr, flush=True)
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 1 or script not in dict(STACK):
        done.check_returncode()
    print(f"{script}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return done.stdout


def _longer_memory_run(calls: int) -> bool:
    found = HERE / "results" / "memory.json"
    return found.exists() and int(json.loads(found.read_text())["calls"]) > calls


def main() -> None:
    """Run all, then write the plot and the README."""
    quick = "--quick" in sys.argv[1:]
    (HERE / "results").mkdir(exist_ok=True)
    machine.write()
    for script, full, short in OWN:
        if script == "memory.py" and _longer_memory_run(int(full[0])):
            print("memory.py: left out, a longer run is there", file=sys.stderr)
        else:
            run(script, short if quick else full)
    for script, full, short in PRINTED:
        printed = json.loads(run(script, short if quick else full))
        path = HERE / "results" / f"{Path(script).stem}.json"
        path.write_text(json.dumps(printed, indent=1) + "\n")
    for script, program in STACK:
        if quick or not (HERE.parent / ".build" / f"{program}.stamp").exists():
            print(f"{script}: left out, it needs `make stack-build` and a full run", file=sys.stderr)
        else:
            run(script, ())
    plot.write()
    readme.write()


if __name__ == "__main__":
    main()
