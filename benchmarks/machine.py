"""What the numbers were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rounds import HERE, interpreter

_PACKAGES = ("openai", "httpx2", "pydantic", "opentelemetry-sdk", "wrapt")


def describe() -> dict[str, Any]:
    """Processor, memory, load at the start, Python and the versions of what is measured."""
    code = (
        "import json; from importlib.metadata import version\n"
        f"print(json.dumps({{n: version(n) for n in {_PACKAGES!r}}}))"
    )
    done = subprocess.run([interpreter("ours"), "-c", code], check=True, capture_output=True, text=True)
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
        "packages": json.loads(done.stdout),
    }


def write() -> None:
    """Into results/machine.json."""
    (HERE / "results" / "machine.json").write_text(json.dumps(describe(), indent=1) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
