"""A suspension list of a million entries: look-up, first reading, a change, and what other threads feel.

Run: python benchmarks/suspensions.py [ENTRIES]; prints one JSON object. Times are of this machine.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import tempfile
import threading
import time
import timeit
from pathlib import Path

from openai_safety_otel.contract.record import Identity
from openai_safety_otel.instrumentation.guard import Guard
from openai_safety_otel.ledger.suspensions import ListEntry, open_suspensions
from openai_safety_otel.ledger.suspensions.document import dump
from openai_safety_otel.ledger.suspensions.refresher import Refresher


class Felt(threading.Thread):
    """Another thread of the app: the longest it had to wait for its turn, in seconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0
        self.over = False

    def run(self) -> None:
        """Wake every millisecond and note how late."""
        while not self.over:
            begun = time.perf_counter()
            time.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - begun - 0.001)


def felt_during(wait_for: object, follower: Refresher) -> tuple[float, float]:
    """Seconds until the follower holds a version, and the longest pause of another thread meanwhile."""
    felt = Felt()
    felt.start()
    begun = time.perf_counter()
    while follower.version != wait_for:
        time.sleep(0.001)
    took = time.perf_counter() - begun
    felt.over = True
    felt.join()
    return took, felt.longest


def main() -> None:
    """Measure and print."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    entry = ListEntry("suspend", 4e9, "ann", "case C-1", 1e9)
    names = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(size)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list.json")
        with path.open("wb") as out:
            out.writelines(dump(1, {name: entry.row() for name in names}, {}, {}))
        follower = Refresher(lambda: open_suspensions(str(path)), lambda *_: None)
        guard = Guard(follower)
        follower.start()
        first, first_pause = felt_during(1, follower)
        person = Identity(value=names[size // 2], matches=("x" * 64, "y" * 64))
        stranger = Identity(value="z" * 64, matches=("x" * 64, "y" * 64))
        look_up = {
            name: min(timeit.repeat(lambda p=who: guard.check(p), number=2000, repeat=5)) / 2000 * 1e6
            for name, who in (("listed", person), ("not_listed", stranger))
        }
        begun = time.perf_counter()
        open_suspensions(str(path)).write({"new": entry})
        written = time.perf_counter() - begun
        changed, changed_pause = felt_during(2, follower)
        guard.close()
        print(
            json.dumps(
                {
                    "entries": size,
                    "megabytes": round(path.stat().st_size / 1e6),
                    "look_up_microseconds": {name: round(value, 2) for name, value in look_up.items()},
                    "first_reading_seconds": round(first, 2),
                    "first_reading_longest_pause_ms": round(first_pause * 1e3, 1),
                    "change_held_after_seconds": round(changed, 2),
                    "change_longest_pause_ms": round(changed_pause * 1e3, 1),
                    "write_seconds": round(written, 2),
                    "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                }
            )
        )


if __name__ == "__main__":
    main()
