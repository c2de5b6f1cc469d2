"""How the real programs are started."""

from __future__ import annotations

import subprocess
import sys

from stack.programs import free_ports

_OTHER = "from stack.programs import free_ports; print(*free_ports(5, (20_000, 20_010)))"


def test_two_processes_are_given_different_ports() -> None:
    """Before either has started a program on them: of ten ports each gets five."""
    ours = free_ports(5, (20_000, 20_010))
    theirs = subprocess.run(
        [sys.executable, "-W", "default", "-c", _OTHER],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert sorted([*ours, *map(int, theirs.stdout.split())]) == list(range(20_000, 20_010))
    assert theirs.stderr == "", "no socket is left open"


def test_any_number_of_ports_can_be_had() -> None:
    """A run of the tests starts hundreds of programs; those that listen by now need no claim."""
    assert all(len(set(free_ports(50))) == 50 for _ in range(10))
