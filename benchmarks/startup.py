"""What `import` and `instrument()` add to the start of an app that has openai and OpenTelemetry already.

Run: python benchmarks/startup.py [REPEATS]; writes results/startup.json.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import Any

from rounds import HERE, interpreter, spread

from openai_safety_otel.contract.settings import environment_of_child

_HOST = (
    "import time\nimport openai\nimport opentelemetry.sdk.trace, opentelemetry.sdk.metrics, opentelemetry.sdk._logs\n"
    "import opentelemetry.instrumentation.instrumentor\n"  # as under `opentelemetry-instrument`
    "begun = time.process_time()\n"
)
_END = "\nprint(time.process_time() - begun)"
# Each in a fresh interpreter; what runs before `begun` is the app's own.
STEPS = {
    "import": "import openai_safety_otel",
    "instrument": (
        "from openai_safety_otel import SafetyInstrumentor\n"
        "SafetyInstrumentor().instrument(hmac_key=b'a-benchmark-key-of-at-least-32-bytes!!')"
    ),
    "nothing": "",
}


def seconds(python: str, step: str) -> float:
    """CPU seconds of one step in a fresh interpreter."""
    done = subprocess.run(
        [python, "-c", _HOST + STEPS[step] + _END],
        check=True,
        capture_output=True,
        text=True,
        env=environment_of_child(("OTEL_", "OPENAI_")),
    )
    return float(done.stdout.split()[-1])


def measure(repeats: int) -> dict[str, Any]:
    """Milliseconds of each step, in turns."""
    python = interpreter("ours")
    found: dict[str, list[float]] = {step: [] for step in STEPS}
    for step in STEPS:
        seconds(python, step)  # byte code is written once
    for _ in range(repeats):
        for step in random.sample(list(STEPS), len(STEPS)):
            found[step].append(1000 * seconds(python, step))
    return {"repeats": repeats, **{f"{step}_ms": spread(values) for step, values in found.items()}}


def main() -> None:
    """Measure, write, print."""
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    (HERE / "results" / "startup.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
