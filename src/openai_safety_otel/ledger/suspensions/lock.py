"""Writers of one file take turns; the lock goes with the process that holds it, so a crash leaves none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

WAIT_SECONDS = 1.0


class BusyError(Exception):
    """Somebody else is writing."""


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file at ``path``: SQLite's own lock on an empty database, the same on every system.

    Raises:
        OSError: the folder cannot be written.
        BusyError: somebody else holds it for longer than `WAIT_SECONDS`.
    """
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise BusyError(f"somebody else is writing ({path.name})") from None
        raise OSError(0, f"the lock {path.name} cannot be had: {error}") from None
