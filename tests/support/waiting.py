"""Waiting for what another thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
LONGEST = 20.0


def until(look: Callable[[], Found], longest: float = LONGEST) -> Found:
    """What ``look`` finds, as soon as it is true; the last it found, where it never is."""
    deadline = time.monotonic() + longest
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found
