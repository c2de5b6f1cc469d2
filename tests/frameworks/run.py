"""Run the checks of this folder on the real packages, each group in an environment kept under ``.cache``.

The groups exist because not all packages go together; `uv` makes them, since it can override a pin that nothing meets.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
RERUN = HERE.parent / "support" / "rerun.py"
TESTS = (
    "opentelemetry-sdk>=1.37",
    "pytest>=8.3",
    "pytest-asyncio>=0.25",
    "pytest-timeout>=2.3",
    "uvicorn>=0.30",
)


class Group(NamedTuple):
    """Packages that go together, what is overridden among their pins, and the checks that run on them."""

    packages: tuple[str, ...]
    overrides: tuple[str, ...]
    checks: tuple[str, ...]


GROUPS = {
    "frameworks": Group(
        (
            *("celery>=5.4", "django>=5", "fastapi>=0.118", "flask>=3", "structlog>=25", "websockets>=13"),
            "openai-guardrails==0.3.6; python_version >= '3.11'",
            # What docs/seen.md measures, and names with its version.
            *(
                "openai[aiohttp]==3.54.0",
                "aiohttp==3.14.5",
                "httpx==0.28.1",
                "httpx2==2.16.2",
                "requests==2.34.2",
            ),
            *("langchain-openai==1.7.4", "openai-agents==0.24.0", "pydantic-ai-slim[openai]==2.68.0"),
            *("autogen-agentchat==0.7.5", "autogen-ext[openai]==0.7.5", "dspy==3.4.1", "haystack-ai==3.4.1"),
            *("litellm==1.109.1", "semantic-kernel==1.45.0", "smolagents[openai]==1.26.0"),
        ),
        ("certifi>=2025",),
        ("check_web.py", "check_libraries.py", "check_guardrails.py", "check_aiohttp.py", "check_seen.py"),
    ),
    # Those hold openai below 3.
    "older": Group(("crewai==1.15.30", "llama-index-llms-openai==0.8.3"), (), ("check_seen.py",)),
    "instructor": Group(("instructor==1.17.0",), (), ("check_seen.py",)),
    # LiteLLM asks for releases that are not there yet.
    "litellm": Group(
        ("litellm[proxy]==1.109.1",),
        ("certifi>=2025", "litellm-proxy-extras>=0.4", "litellm-enterprise>=0.1"),
        ("check_litellm.py", "check_litellm_proxy.py"),
    ),
}


def environment(name: str, group: Group) -> Path:
    """The interpreter of a virtual environment with these packages and this checkout; made when they changed."""
    folder = ROOT / ".cache" / f"frameworks-{name}"
    python, stamp = folder / "bin" / "python", folder / ".pins"
    wanted = hashlib.sha256(repr((group, TESTS, (ROOT / "pyproject.toml").read_text())).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
        overrides = folder / "overrides.txt"
        overrides.write_text("\n".join(group.overrides))
        install = [*uv, "pip", "install", "-q", "--python", str(python), "--override", str(overrides)]
        subprocess.run([*install, "-e", str(ROOT), *TESTS, *group.packages], check=True)
        stamp.write_text(wanted)
    return python


def main() -> int:
    """Build the environments and run the checks, of the groups named or of all; the worst exit code."""
    worst = 0
    for name in sys.argv[1:] or GROUPS:
        started = time.monotonic()
        python = environment(name, GROUPS[name])
        # Warnings of frameworks, and of clients that an app never closes, are not ours to fail on.
        command = [str(python), str(RERUN), "-q", "-W", "default", "--disable-warnings"]
        checks = [str(HERE / check) for check in GROUPS[name].checks]
        env = {**os.environ, "GROUP": name}
        worst = max(worst, subprocess.run([*command, *checks], check=False, cwd=ROOT, env=env).returncode)
        sys.stdout.write(f"{name}: {(time.monotonic() - started) / 60:.1f} minutes\n")
    return worst


if __name__ == "__main__":
    sys.exit(main())
