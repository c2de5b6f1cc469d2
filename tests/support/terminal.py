"""A command on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence


def on_terminal(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What a command that ends well writes to its terminal."""
    terminal, side = pty.openpty()
    with subprocess.Popen(command, env=environment, stdout=side, stderr=subprocess.PIPE) as process:
        os.close(side)
        shown = bytearray()
        try:
            while block := os.read(terminal, 65_536):
                shown += block
        except OSError:  # Linux: the other side is closed
            pass
        assert process.wait() == 0
    os.close(terminal)
    return shown.decode()
