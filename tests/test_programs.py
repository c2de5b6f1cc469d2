"""How the real programs are started."""

from __future__ import annotations

import subprocess
import sys

from stack.programs import free_ports

_OTHER = "from stack.programs import free_ports; print(*free_ports(5, (20_000, 20_010)))"


def test_two_processes_are_given_different_ports() -> None:
    """Before either has started a program on them: of ten ports each gets five."""
    ours = free_ports(5, (20_000, 20_010))
    theirs = subprocess.check_output([sys.executable, "-c", _OTHER], text=True, timeout=60)
    assert sorted([*ours, *map(int, theirs.split())]) == list(range(20_000, 20_010))
