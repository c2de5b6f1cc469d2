"""How many candidates a second `whois` hashes: user ids in a file, both domains, the match at the very end.

Run: python benchmarks/whois_speed.py [CANDIDATES]; prints one JSON object. Times are of this machine and
include starting the command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openai_safety_otel.who.identifier import Hasher

KEY = "k" * 40


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "users.txt")
        with path.open("w") as out:
            out.writelines(f"user-{number}@example.com\n" for number in range(count))
        target = Hasher(KEY.encode()).end_user(f"user-{count - 1}@example.com")
        rates = {workers: _rate(Path(name), path, target, workers, count) for workers in (1, 2)}
    result = {"candidates": count, "cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(
        json.dumps({**result, **{f"per_second_{n}_processes": rate for n, rate in rates.items()}}, indent=2)
    )


def _rate(folder: Path, path: Path, target: str, workers: int, count: int) -> int:
    environment = {
        **os.environ,
        "OPENAI_SAFETY_HMAC_KEY": KEY,
        "OPENAI_SAFETY_STORE": str(folder / "journal.db"),
    }
    command = [
        *(str(Path(sys.executable).with_name("openai-safety")), "whois", target, "--candidates", str(path)),
        *("--by", "benchmark", "--why", "benchmark", "--workers", str(workers), "--json"),
    ]
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    took = time.perf_counter() - begun
    if json.loads(done.stdout)["tried"] != count:
        raise RuntimeError(f"not every candidate was tried: {done.stdout}")
    return round(count / took)


if __name__ == "__main__":
    main()
