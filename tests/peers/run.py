"""Run the peers' checks in an environment of their own, kept under ``.cache`` while its pins hold."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RERUN = ROOT / "tests" / "support" / "rerun.py"
PINS = (
    "openai==3.54.0",
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-instrumentation-genai-openai==1.3b0",
    "openinference-instrumentation-openai==0.1.66",
    "opentelemetry-instrumentation-openai==0.62.4",
    "pytest>=8.3",
    "pytest-asyncio>=0.25",
    "pytest-timeout>=2.3",
    "fastapi>=0.115",
    "uvicorn>=0.30",
)
# The next major one is split into two distributions; its beta is pinned, so that a new one breaks nothing here.
LOGFIRES = {"peers": ("logfire>=5,<6",), "peers-logfire6": ("logfire==6.0.0b8", "logfire-sdk==6.0.0b8")}


def environment(folder: Path, pins: tuple[str, ...]) -> Path:
    """The interpreter of a virtual environment with these pins and this checkout; made when they changed."""
    python = folder / "bin" / "python"
    stamp = folder / ".pins"
    wanted = hashlib.sha256("\n".join((*pins, (ROOT / "pyproject.toml").read_text())).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, "-e", str(ROOT), *pins], check=True)
        stamp.write_text(wanted)
    return python


def main() -> int:
    """Build the environments and run the checks; the exit code says whether all passed."""
    checks = str(Path(__file__).parent / "check_peers.py")
    failed = 0
    for name, logfire in LOGFIRES.items():
        python = environment(ROOT / ".cache" / name, (*PINS, *logfire))
        others = [] if name == "peers" else ["-k", "logfire"]
        command = [str(python), str(RERUN), "-q", *others, checks]
        failed += bool(subprocess.run(command, check=False, cwd=ROOT).returncode)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
