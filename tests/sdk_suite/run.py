"""The tests of the SDK and of its agents package, bare and hooked: whatever passes without us passes with us.

Each suite comes from the source distribution on PyPI, which carries it, or from the folder that ``SDK_SUITE`` names (a
checkout of the same package). The tests of the SDK's API resources need OpenAI's mock server: they run where
``TEST_API_BASE_URL`` says that one listens. The first argument chooses a suite; others go to pytest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers.run import ROOT, environment

TOOLS = (
    "opentelemetry-sdk>=1.45",
    "pytest>=9.0.3",
    "pytest-asyncio>=1.4.0",
    "pytest-mock>=3.14.0",
    "pytest-xdist>=3.6.1",
    "hatchling>=1.27",
    "inline-snapshot>=0.28.0",
    "rich>=13.7.1",
)


@dataclass(frozen=True, slots=True)
class Suite:
    """One package's tests: what brings them, what they need, and which of them need a server that is not here."""

    package: str
    version: str
    extras: str
    needs: tuple[str, ...]
    unserved: tuple[str, ...] = ()

    @property
    def pins(self) -> tuple[str, ...]:
        """What its environment holds."""
        return (f"{self.package}[{self.extras}]=={self.version}", *TOOLS, *self.needs)


SUITES = {
    "openai": Suite(
        "openai",
        "3.54.0",
        "aiohttp,bedrock,datalib,realtime,vertex",
        ("azure-identity>=1.14.1", "botocore>=1.43", "griffe>=1", "pillow>=12", "pyyaml>=6", "trio>=0.22.2"),
        ("tests/api_resources",),
    ),
    "agents": Suite(
        "openai-agents",
        "0.24.0",
        "encrypt,litellm,mongodb,redis,s3,sqlalchemy,viz,voice",
        (
            "aiosqlite>=0.21",
            "fakeredis>=2.31.3",
            "fastapi>=0.110",
            "openai>=3",
            "websockets>=15",
            "eval-type-backport",
        ),
    ),
}
_ENDED = re.compile(r"^(FAILED|ERROR) (\S+)", re.MULTILINE)


def folder_of(suite: Suite, python: Path, cache: Path) -> Path:
    """The folder of the suite, fetched and unpacked where nobody named one."""
    if given := os.environ.get("SDK_SUITE"):
        return Path(given)
    found = cache / f"{suite.package.replace('-', '_')}-{suite.version}"
    if not found.exists():
        with tempfile.TemporaryDirectory() as fetched:
            command = [str(python), "-m", "pip", "download", "-q", "--no-deps", "--no-binary", suite.package]
            subprocess.run([*command, "-d", fetched, f"{suite.package}=={suite.version}"], check=True)
            (archive,) = Path(fetched).glob("openai*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(cache, filter="data")
    return found


def run(suite: Suite, python: Path, folder: Path, *more: str) -> tuple[set[str], str]:
    """What failed, and the last line."""
    served = [] if os.environ.get("TEST_API_BASE_URL") else [f"--ignore={path}" for path in suite.unserved]
    chosen = more if any("::" in one for one in more) else (*more, "tests")
    command = [str(python), "-m", "pytest", "-q", "-n", "2", "--tb=line", "-rfE", *served, *chosen]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{folder}"}
    done = subprocess.run(command, cwd=folder, env=environ, check=False, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or [done.stderr[-2000:]]
    if not re.search(r"\d+ (passed|failed)", lines[-1]):
        sys.exit(f"the suite did not run: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return {name for _, name in _ENDED.findall(done.stdout)}, lines[-1]


def compare(name: str, *more: str) -> bool:
    """Run one suite both ways; whether nothing fails only with us."""
    suite, cache = SUITES[name], ROOT / ".cache"
    python = environment(cache / f"suite-{name}", suite.pins)
    folder = folder_of(suite, python, cache)
    bare, said = run(suite, python, folder, "-p", "no:openai_safety", *more)
    print(f"{name} bare:   {said}", flush=True)  # noqa: T201 - a command's own output
    hooked, said = run(suite, python, folder, "-p", "sdk_suite.hooked", *more)
    print(f"{name} hooked: {said}", flush=True)  # noqa: T201 - a command's own output
    failing = hooked - bare
    if failing:  # once more, both ways: a test that waits for a time may fail on a busy machine
        again, said = run(suite, python, folder, "-p", "sdk_suite.hooked", *sorted(failing))
        print(f"{name} again:  {said}", flush=True)  # noqa: T201 - a command's own output
        failing = again and again - run(suite, python, folder, "-p", "no:openai_safety", *sorted(again))[0]
    for test in sorted(failing):
        print(f"fails only with the hook: {test}")  # noqa: T201 - a command's own output
    return not failing


def main() -> int:
    """Run the suites; the exit code says whether something fails only with us."""
    chosen, more = (
        (sys.argv[1:2], sys.argv[2:]) if sys.argv[1:2] and sys.argv[1] in SUITES else ([], sys.argv[1:])
    )
    passed = [compare(name, *more) for name in chosen or SUITES]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
