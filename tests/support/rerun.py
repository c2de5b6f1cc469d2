"""pytest for CI: where ``RERUN_FAILED`` names a file, up to three failed tests run once more, after all others.

What passed the second time only is written into that file, and CI shows it at its end: such a test, or what it
tests, is to be mended. Nothing is run again where a developer runs the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MOST = 3  # more than that is no accident
FAILED = 1  # pytest: tests were run and some failed


def run(arguments: list[str]) -> int:
    """The exit code of pytest, or of the second time."""
    report = os.environ.get("RERUN_FAILED")
    with tempfile.TemporaryDirectory() as cache:  # several targets run at once: each remembers its own
        command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]
        status = subprocess.run(command, check=False).returncode
        failed = _failed(Path(cache))
        tests = all("::" in name for name in failed)  # or a file, or a process, that failed as a whole
        if not report or status != FAILED or not tests or not 0 < len(failed) <= MOST:
            return status
        print(f"== once more: {len(failed)} failed", flush=True)  # noqa: T201 - a command's own output
        alone = ["-n", "0"] if "-n" in arguments else []
        status = subprocess.run([*command, "--last-failed", *alone], check=False).returncode
    if status == 0:
        with Path(report).open("a") as file:
            file.writelines(f"{test}\n" for test in failed)
    return status


def _failed(cache: Path) -> list[str]:
    try:
        return sorted(json.loads((cache / "v" / "cache" / "lastfailed").read_text()))
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
