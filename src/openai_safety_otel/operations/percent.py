"""How a share is written wherever people read one."""

from __future__ import annotations


def percent(share: float, places: int = 1) -> str:
    """A share as ``99.9%``, rounded; what is not all is never 100 %, and what is not nothing never 0 %."""
    least = 10.0 ** -(places + 2)
    shown = min(max(share, least), 1 - least) if 0 < share < 1 else share
    return f"{shown:.{places}%}"
