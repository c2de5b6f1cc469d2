"""Run the spine's tests on each supported openai and OpenTelemetry; environments kept in ``.cache``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers.run import RERUN, ROOT, environment

TOOLS = (
    "pytest>=8.3",
    "pytest-asyncio>=0.25",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "trio>=0.27",
)
STUB = ("fastapi>=0.115", "uvicorn>=0.30", "websockets>=13", "httpx>=0.27,<1")
# The newest OpenTelemetry that opentelemetry-distro can have, and the newest without it. `make test` runs all of these
# tests, and the others, on the newest of everything.
WITH_DISTRO = (
    "opentelemetry-sdk==1.45.1",
    "opentelemetry-exporter-otlp==1.45.1",
    "opentelemetry-distro==0.66b1",
)
NEWEST = ("opentelemetry-sdk==1.45.2", "opentelemetry-instrumentation==0.66b2")
CELLS = {
    "1.66.5": WITH_DISTRO,
    "2.54.0": NEWEST,
    "3.0.0": WITH_DISTRO,
    "3.52.0": NEWEST,
}
TESTS = (
    "tests/spine",
    "tests/sockets",
    "tests/test_endpoints.py",
    "tests/test_outcome*.py",
    "tests/test_block_rules.py",
    "tests/test_refusing.py",
)


def main() -> int:
    """Every cell in turn (or those named as arguments); the exit code says whether all passed."""
    failed = []
    for version in sys.argv[1:] or CELLS:
        pins = (f"openai=={version}", *CELLS[version], *TOOLS, *STUB)
        python = environment(ROOT / ".cache" / f"matrix-{version}", pins)
        print(f"== openai {version}, {CELLS[version][0]}", flush=True)  # noqa: T201 - a command's own output
        tests = [str(path.relative_to(ROOT)) for name in TESTS for path in sorted(ROOT.glob(name))]
        command = [str(python), str(RERUN), "-q", "-n", "2", "--dist", "loadfile", *tests]
        if subprocess.run(command, check=False, cwd=ROOT, env=os.environ).returncode:
            failed.append(version)
    if failed:
        print(f"failed on openai {', '.join(failed)}", flush=True)  # noqa: T201 - a command's own output
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
