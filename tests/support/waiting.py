"""Waiting for what another thread or process does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")
LONGEST = 60.0
_MOST_PAUSE = 0.25


def until(look: Callable[[], Found], seconds: float = LONGEST) -> Found:
    """What ``look`` finds, as soon as it is true; the last it found, where it never is.

    Looks often at first, then four times a second.
    """
    deadline, pause = time.monotonic() + seconds, 0.005
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 2, _MOST_PAUSE)
    return found


def uvicorn_port(log: Path, line: str, times: int) -> int:
    """The port of a uvicorn that logs to a file, once it has said a line so many times."""
    if until(lambda: log.read_text().count(line) == times, 60):
        port = re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())
        if port:
            return int(port[1])
    raise AssertionError(log.read_text())
