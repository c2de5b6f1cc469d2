"""Times as people write and read them: the one reader and the one writer. Unix seconds inside, UTC outside."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
LAST: Final = 253_402_300_799.0  # the last second of the calendar, in the year 9999
_FIRST: Final = -62_135_596_800.0
_SPAN: Final = re.compile(r"([1-9][0-9]{0,8})\s*([smhdw])")
_UNITS: Final = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


def span(text: str) -> float | None:
    """Return the seconds of ``90s``, ``30m``, ``12h``, ``7d`` or ``4w``; None for anything else."""
    found = _SPAN.fullmatch(text.strip().lower())
    return int(found[1]) * _UNITS[found[2]] if found else None


def instant(text: str) -> float:
    """Return the Unix seconds of an ISO date or time; in UTC where it names no zone.

    Raises:
        ValueError: it is neither, or outside the calendar once it is in UTC.
    """
    # Python 3.10 knows no "Z".
    found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    seconds = (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    if not _FIRST <= seconds <= LAST:
        raise ValueError("Invalid time: it is outside the years 1 to 9999")
    return seconds


def day(seconds: float) -> str:
    """Return ``2026-11-20``."""
    return _written(seconds, "%Y-%m-%d")


def minute(seconds: float) -> str:
    """Return ``2026-11-20 09:30``."""
    return _written(seconds, "%Y-%m-%d %H:%M")


def second(seconds: float) -> str:
    """Return ``2026-11-20 09:30:00``."""
    return _written(seconds, "%Y-%m-%d %H:%M:%S")


def _written(seconds: float, form: str) -> str:
    """Times outside the calendar are written as its end: one such entry must not hide all others."""
    return datetime.fromtimestamp(min(max(seconds, _FIRST), LAST), timezone.utc).strftime(form)
