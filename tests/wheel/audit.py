"""`make audit`: what an installation of the wheel brings, looked up among known vulnerabilities.

Ends with 1 where one is found; where the advisory service cannot be reached it says so in one line and ends
with 0, since that says nothing about us.
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
    try:
        found = [one for one in json.loads(done.stdout)["dependencies"] if one.get("vulns")]
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        if any(word in done.stderr for word in _UNREACHABLE):
            print(f"audit: NOT DONE, the advisory service cannot be reached ({last[:120]})")
            return 0
        print(f"audit: failed: {last}")
        return 1
    for one in found:
        print(f"{one['name']} {one['version']}: {', '.join(vuln['id'] for vuln in one['vulns'])}")
    print(f"audit: {len(pinned())} distributions, {len(found)} with known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
