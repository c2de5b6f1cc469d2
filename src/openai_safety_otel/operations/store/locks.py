"""Locks between processes on one machine; where the system has none, everybody gets what they ask for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    _fcntl: Any = importlib.import_module("fcntl")
except ModuleNotFoundError:  # Windows
    _fcntl = None


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = False) -> Iterator[bool]:
    """Hold a lock on a file, which is made where it is missing; yields whether it was got.

    Args:
        path: the file.
        shared: others may hold it too, as long as they share it.
        wait: until it is free.
    """
    with path.open("ab") as file:
        got = True
        if _fcntl is not None:
            kind = _fcntl.LOCK_SH if shared else _fcntl.LOCK_EX
            try:
                _fcntl.flock(file, kind if wait else kind | _fcntl.LOCK_NB)
            except OSError:
                got = False
        yield got
