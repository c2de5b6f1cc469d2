"""`make stack-up` as a new user starts it, once for all tests that look at it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack import query
from support.panels import ROOT

_LINKS = {
    "collector": r"(?m)^OTLP +(http://[^ ]+)",
    "prometheus": r"(?m)^Prometheus +(http://[^/]+)",
    "alertmanager": r"Alertmanager (http://[^/]+)",
    "loki": r"-G (http://[^/]+)/loki",
    "receiver": r"(?m)^receiver +(http://\S+)",
    "exports": r"(?m)^runbook +\. (\S+)",
}
_LAST = "Ctrl-C ends everything."


@dataclass(frozen=True)
class Up:
    """Where the printed links lead, and the environment of a shell that has read what is printed beside them."""

    collector: str
    prometheus: str
    alertmanager: str
    loki: str
    receiver: str
    exports: str

    @property
    def folder(self) -> Path:
        """Where the users are listed."""
        return Path(self.exports).parent

    @property
    def environment(self) -> dict[str, str]:
        """The operator's."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        shell = f". {shlex.quote(self.exports)} && env -0"
        told = subprocess.run(["sh", "-c", shell], env=kept, capture_output=True, text=True, check=True)
        return dict(line.split("=", 1) for line in told.stdout.split("\0") if line)

    def run(self, *words: str, **more: str) -> str:
        """What a command of ours prints in that shell."""
        done = subprocess.run(
            ["openai-safety", *words],
            env={**self.environment, **more},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the built programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(1500))


@pytest.fixture(scope="session")
def up() -> Iterator[Up]:
    command = [sys.executable, "stack/up.py"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        ended = threading.Timer(600, process.kill)  # it prints nothing any more
        ended.start()
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if line.strip() == _LAST:
                break
        ended.cancel()
        try:
            found = {name: re.search(pattern, said) for name, pattern in _LINKS.items()}
            assert None not in found.values(), said
            links = Up(**{name: match[1] for name, match in found.items() if match})
            watched = '{openai_safety_stream="decision"} | openai_safety_decision_action="watch"'
            assert query.until(lambda: bool(query.lines(links.loki, watched)), timeout=300)
            yield links
        finally:
            process.terminate()
            try:
                process.wait(300)
            finally:
                process.kill()  # nothing, where it has ended
