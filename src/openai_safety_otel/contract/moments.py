"""Times as people write and read them: the one reader and the one writer. Unix seconds inside, UTC outside."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
_SPAN: Final = re.compile(r"([1-9][0-9]{0,8})\s*([smhdw])")
_UNITS: Final = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


def span(text: str) -> float | None:
    """Return the seconds of ``90s``, ``30m``, ``12h``, ``7d`` or ``4w``; None for anything else."""
    found = _SPAN.fullmatch(text.strip().lower())
    return int(found[1]) * _UNITS[found[2]] if found else None


def instant(text: str) -> float:
    """Return the Unix seconds of an ISO date or time; in UTC where it names no zone.

    Raises:
        ValueError: it is neither.
    """
    # Python 3.10 knows no "Z".
    found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()


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
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(form)
