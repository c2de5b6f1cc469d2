"""What a call is shown as: one word, one colour, one place in the order, on pages and dashboards alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CallKind:
    """One thing that can be said of a call: its words, and its colour on dark and on light ground."""

    words: str
    dark: str
    light: str


# Where the organisation stands, in the words of the page and of the dashboard.
STANDING: Final = {
    "calm": "no: nothing open",
    "somebody": "not yet: an end user's case is open",
    "warned": "yes: WARNED",
    "overdue": "yes: OVERDUE",
    "deactivated": "yes: DEACTIVATED",
}
# Worst first: the order of legends, stacks, tiles and tables.
KINDS: Final[dict[str, CallKind]] = {
    "organization": CallKind("organisation's access lost", "#8E0E22", "#8E0E22"),
    "enforcement": CallKind("enforcement", "#D92B3F", "#D92B3F"),
    "filter": CallKind("content filter", "#FFB357", "#D9600A"),
    "refused": CallKind("refused", "#9A46C6", "#9A46C6"),
    "flagged": CallKind("flagged", "#FADE2A", "#E8B800"),
    "local": CallKind("stopped locally", "#0E8783", "#0E8783"),
    "failed": CallKind("failed", "#B4BAC2", "#A9B0BA"),
    "completed": CallKind("completed", "#4C629C", "#4C629C"),
}
