"""`make audit`: what an installation of the wheel brings, looked up among known vulnerabilities.

Ends with 1 where one is found, or where some were looked up and others were not. Where the advisory service cannot
be reached, or knows none of them, it says NOT DONE in one line and ends with 0, since that says nothing about us.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from wheel.installed import pinned

_UNREACHABLE = ("ServiceError", "ConnectionError", "Max retries", "HTTPError", "Timeout", "Name or service")


def main() -> int:
    """Audit the exact versions that are installed here for the extras we ship."""
    with tempfile.TemporaryDirectory() as place:
        listed = Path(place) / "requirements.txt"
        listed.write_text("\n".join(pinned()) + "\n")
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--no-deps",
            "--disable-pip",
            "-f",
            "json",
            "-r",
            str(listed),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    lines, status = verdict(done.stdout, done.stderr, pinned())
    print("\n".join(lines))
    return status


def verdict(answer: str, said: str, asked: list[str]) -> tuple[list[str], int]:
    """What to print and the exit status: only what was looked up counts as looked up."""
    try:
        given = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        last = (said.strip().splitlines() or ["no answer"])[-1]
        if any(word in said for word in _UNREACHABLE):
            return [f"audit: NOT DONE, the advisory service cannot be reached ({last[:120]})"], 0
        return [f"audit: failed: {last}"], 1
    looked_up = {one["name"]: one for one in given if "skip_reason" not in one}
    missing = [one for one in asked if one.partition("==")[0] not in looked_up]
    if not looked_up:
        why = next((one["skip_reason"] for one in given), "no answer")
        return [f"audit: NOT DONE, none of {len(asked)} distributions was looked up (first: {why[:120]})"], 0
    found = [one for one in looked_up.values() if one["vulns"]]
    lines = [f"{one['name']} {one['version']}: {', '.join(v['id'] for v in one['vulns'])}" for one in found]
    lines.append(f"audit: {len(looked_up)} distributions, {len(found)} with known vulnerabilities")
    if missing:
        lines.append(f"audit: NOT DONE for {len(missing)} of {len(asked)}: {', '.join(missing)}")
    return lines, 1 if found or missing else 0


if __name__ == "__main__":
    sys.exit(main())
