"""A number and what it counts, in words."""

from __future__ import annotations


def counted(number: int, what: str, more: str = "") -> str:
    """``1 call``, ``2,000 calls``; ``more`` is a plural that is not made with an s."""
    return f"{number:,} {what if number == 1 else more or f'{what}s'}"
