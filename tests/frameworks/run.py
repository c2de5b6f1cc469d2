"""Run the recipes of `docs/frameworks.md` on the real frameworks, in an environment kept under ``.cache``."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PINS = (
    "celery>=5.4",
    "django>=5",
    "fastapi>=0.118",
    "flask>=3",
    "httpx>=0.28",
    "langchain-openai>=1",
    "litellm>=1.80",
    "openai-agents>=0.6",
    "openai[aiohttp]>=2",
    "openai-guardrails==0.3.6; python_version >= '3.11'",
    "opentelemetry-sdk>=1.37",
    "pytest>=8.3",
    "pytest-asyncio>=0.25",
    "pytest-timeout>=2.3",
    "structlog>=25",
    "uvicorn>=0.30",
    "websockets>=13",
)


def peers() -> Any:
    """The sibling script that knows how an environment is made."""
    spec = importlib.util.spec_from_file_location("peers_run", ROOT / "tests" / "peers" / "run.py")
    if spec is None or spec.loader is None:
        raise ImportError("tests/peers/run.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Build the environment and run the checks; the exit code is pytest's."""
    python = peers().environment(ROOT / ".cache" / "frameworks", PINS)
    checks = [str(path) for path in sorted(Path(__file__).parent.glob("check_*.py"))]
    # Warnings of frameworks, and of clients that an app never closes, are not ours to fail on.
    command = [str(python), "-m", "pytest", "-q", "-W", "default", "--disable-warnings"]
    command += sys.argv[1:] or checks
    return subprocess.run(command, check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
