"""The SDK's own tests, bare and hooked: whatever passes without us passes with us.

The suite comes from the source distribution on PyPI, which carries it, or from the folder that ``SDK_SUITE`` names (a
checkout of openai-python). The tests of its API resources need OpenAI's mock server: they run where
``TEST_API_BASE_URL`` says that one listens. Other arguments go to pytest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers.run import ROOT, environment

VERSION = "3.54.0"
PINS = (
    f"openai[aiohttp,bedrock,datalib,realtime,vertex]=={VERSION}",
    "opentelemetry-sdk>=1.45",
    "pytest>=9.0.3",
    "pytest-asyncio>=1.4.0",
    "pytest-xdist>=3.6.1",
    "inline-snapshot>=0.28.0",
    "azure-identity>=1.14.1",
    "botocore>=1.43",
    "griffe>=1",
    "pillow>=12",
    "pyyaml>=6",
    "rich>=13.7.1",
    "trio>=0.22.2",
    "hatchling>=1.27",
)
_ENDED = re.compile(r"^(FAILED|ERROR) (\S+)", re.MULTILINE)


def suite(python: Path, folder: Path) -> Path:
    """The folder of the suite, fetched and unpacked where nobody named one."""
    if given := os.environ.get("SDK_SUITE"):
        return Path(given)
    found = folder / f"openai-{VERSION}"
    if not found.exists():
        with tempfile.TemporaryDirectory() as fetched:
            command = [str(python), "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "openai"]
            subprocess.run([*command, "-d", fetched, f"openai=={VERSION}"], check=True)
            (archive,) = Path(fetched).glob("openai-*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
    return found


def run(python: Path, folder: Path, *more: str) -> tuple[set[str], str]:
    """What failed, and the last line."""
    served = [] if os.environ.get("TEST_API_BASE_URL") else ["--ignore=tests/api_resources"]
    command = [str(python), "-m", "pytest", "-q", "-n", "2", "--tb=line", "-rfE", *served, *more, "tests"]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{folder}"}
    done = subprocess.run(command, cwd=folder, env=environ, check=False, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or [done.stderr[-2000:]]
    if not re.search(r"\d+ passed", lines[-1]):
        sys.exit(f"the suite did not run: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return {name for _, name in _ENDED.findall(done.stdout)}, lines[-1]


def main() -> int:
    """Run both ways; the exit code says whether something fails only with us."""
    python = environment(ROOT / ".cache" / "sdk-suite", PINS)
    folder = suite(python, ROOT / ".cache")
    more = sys.argv[1:]
    bare, said = run(python, folder, "-p", "no:openai_safety", *more)
    print(f"bare:   {said}", flush=True)  # noqa: T201 - a command's own output
    hooked, said = run(python, folder, "-p", "sdk_suite.hooked", *more)
    print(f"hooked: {said}", flush=True)  # noqa: T201 - a command's own output
    for name in sorted(hooked - bare):
        print(f"fails only with the hook: {name}")  # noqa: T201 - a command's own output
    return 1 if hooked - bare else 0


if __name__ == "__main__":
    sys.exit(main())
