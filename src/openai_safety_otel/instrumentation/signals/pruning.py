"""Old event files removed: a running process's own, and those that ended processes left behind."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from pathlib import Path
from typing import Any

try:
    _fcntl: Any = importlib.import_module("fcntl")
except ModuleNotFoundError:  # Windows: without locks, nobody can tell whose files are in use
    _fcntl = None

_OF_ONE_PROCESS = r"\d{8}T\d{6}-\d+-[0-9a-f]{6}\.(\d+)\.jsonl"
EVENT_FILE = re.compile(rf"openai-safety-.+-{_OF_ONE_PROCESS}")  # of any service


def hold(descriptor: int) -> None:
    """Mark an open file as in use, for as long as this process lives."""
    if _fcntl is not None:
        # A file system without locks only means that its leftovers are not tidied.
        with contextlib.suppress(OSError):
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)


def in_use(path: Path) -> bool:
    """Whether a process still writes a file; True where that cannot be told."""
    if _fcntl is None:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class Folder:
    """The files of one service in a directory, and which of them are this process's."""

    def __init__(self, directory: Path, prefix: str, stem: str) -> None:
        self._directory = directory
        self._stem = stem
        self._name = re.compile(re.escape(prefix) + _OF_ONE_PROCESS)

    def file(self, number: int) -> Path:
        """This process's file of that number."""
        return self._directory / f"{self._stem}.{number:04d}.jsonl"

    def prune(self, keep: int) -> None:
        """Keep the current file and ``keep`` full ones of this process, and ``keep`` files of ended ones."""
        groups = self._groups()
        own = groups.pop(self._stem, [])
        for path in own[: max(0, len(own) - 1 - keep)]:
            path.unlink(missing_ok=True)
        left = [path for files in groups.values() if not in_use(files[-1]) for path in files]
        left.sort(key=_age)
        for path in left[: max(0, len(left) - keep)]:
            path.unlink(missing_ok=True)

    def _groups(self) -> dict[str, list[Path]]:
        found: dict[str, list[tuple[int, Path]]] = {}
        for path in self._directory.iterdir():
            if match := self._name.fullmatch(path.name):
                stem = path.name.partition(".")[0]
                found.setdefault(stem, []).append((int(match[1]), path))
        return {stem: [path for _, path in sorted(files)] for stem, files in found.items()}


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
