"""`openai-safety webhooks` in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest


class Served:
    """The command in a process of its own."""

    def __init__(self, environ: dict[str, str], *options: str) -> None:
        command = [str(Path(sys.executable).with_name("openai-safety")), "webhooks", "--port", "0", *options]
        self.process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.line = self.process.stderr.readline()
        if not self.line.startswith("receiving on http://127.0.0.1:"):
            self.process.kill()
            pytest.fail(self.line + self.process.communicate()[1])
        self.url = self.line.split()[-1]

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said

    def end(self) -> None:
        """Whatever it is doing."""
        self.process.kill()
        self.process.communicate()
