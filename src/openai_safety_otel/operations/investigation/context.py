"""The three optional sources of a request's context, and what came of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

SourceState = Literal["present", "absent", "expired", "not asked"]

# How long each is kept by default: the shipped retention of evidence, and the provider's of stored objects.
EVIDENCE_DAYS: Final = 30
STORED_DAYS: Final = 30
DAY_NS: Final = 86_400 * 1_000_000_000


@dataclass(slots=True)
class ContextSource:
    """One source: its state, in words why, and what it gave (for the case file only)."""

    name: str
    state: SourceState
    text: str
    items: list[dict[str, Any]] = field(default_factory=list, repr=False)


def gone_or_never(last_signal_ns: int | None, now_ns: int, days: int) -> SourceState:
    """Nothing was found: is that because even the last block or flag is older than what is kept?"""
    return "expired" if last_signal_ns and now_ns - last_signal_ns > days * DAY_NS else "absent"
