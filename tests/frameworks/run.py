"""Run the checks of this folder on the real packages, each group in an environment kept under ``.cache``.

The groups exist because not all packages go together; `uv` makes them, since it can override a pin that nothing meets.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
TESTS = (
    "opentelemetry-sdk>=1.37",
    "pytest>=8.3",
    "pytest-asyncio>=0.25",
    "pytest-timeout>=2.3",
    "fastapi>=0.115",
)


class Group(NamedTuple):
    """Packages that go together, what is overridden among their pins, and the checks that run on them."""

    packages: tuple[str, ...]
    overrides: tuple[str, ...]
    checks: tuple[str, ...]


GROUPS = {
    "frameworks": Group(
        (
            "celery>=5.4",
            "django>=5",
            "fastapi>=0.118",
            "flask>=3",
            "httpx>=0.28",
            "langchain-openai>=1",
            "openai-agents>=0.6",
            "openai[aiohttp]>=2",
            "openai-guardrails==0.3.6; python_version >= '3.11'",
            "structlog>=25",
            "uvicorn>=0.30",
            "websockets>=13",
        ),
        (),
        ("check_web.py", "check_libraries.py", "check_guardrails.py", "check_aiohttp.py"),
    ),
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
        command = [str(python), "-m", "pytest", "-q", "-W", "default", "--disable-warnings"]
        checks = [str(HERE / check) for check in GROUPS[name].checks]
        worst = max(worst, subprocess.run([*command, *checks], check=False, cwd=ROOT).returncode)
        sys.stdout.write(f"{name}: {(time.monotonic() - started) / 60:.1f} minutes\n")
    return worst


if __name__ == "__main__":
    sys.exit(main())
