"""What colours mean on the dashboards: the kinds of calls, and how urgent a number is."""

from __future__ import annotations

import string
from typing import Any, Final

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from openai_safety_otel.operations.page.kinds import KINDS

# A filled tile is a task: red now, orange today. Without colour there is nothing to do.
NOW: Final = KINDS["enforcement"].dark
TODAY: Final = KINDS["filter"].dark
CALM: Final = "transparent"
INK: Final = "text"  # the theme's own, for numbers that are never a task
Steps = tuple[tuple[float | None, str], ...]
PLAIN: Final[Steps] = ((None, CALM),)
BAD_FROM_ONE: Final[Steps] = ((None, CALM), (1, NOW))
# A number that must be there: without one it is red.
MUST_BE_THERE: Final[Steps] = ((None, NOW), (0, CALM))

# Series that are neither good nor bad borrow no meaning: known names have a blue or grey of their own. Services, models
# and other open sets have one of these by the last letter of their name, and where two meet, shades of it.
NEUTRAL: Final = "blue"
OPEN: Final = ("#5794F2", "#2F5AA8", "#A9C6F5", "#A98467", "#E48AC0")
_PLAIN: Final = (
    "#5794F2",
    "#C0D8FF",
    "#3567B8",
    "#9FB0CC",
    "#7F6FD0",
    "#66B5CC",
    "#6C7683",
    "#E3E7EE",
    "#A98467",
    "#E48AC0",
    "#8FD3B6",
    "#C9B79C",
)

LEFT: Final = "left"
NAMED: Final[dict[str, tuple[str, str]]] = {key: (one.words, one.dark) for key, one in KINDS.items()} | {
    LEFT: ("left by the caller", "#6C7683")  # abandoned or cancelled: their choice, no failure
}
# Stores sort series by name: a number before it keeps the order.
RANKED: Final = {key: f"{at} {key}" for at, key in enumerate(NAMED, start=1)}


def painted(colour: str) -> DynamicConfigValue:
    """One colour, whatever the value."""
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def by_kind(panel: Any) -> Any:
    """Give each series named after a kind its words and its colour."""
    for key, (words, colour) in NAMED.items():
        panel.override_by_name(RANKED[key], [painted(colour), DynamicConfigValue("displayName", words)])
    return panel


def by_last_letter(panel: Any) -> Any:
    """Give series whose names nobody knows beforehand colours that can be told apart, mostly."""
    letters = string.ascii_lowercase + string.digits
    for at, colour in enumerate(OPEN):
        ends = "".join(one for one in letters if ord(one) % len(OPEN) == at)
        shades = {"mode": "shades", "fixedColor": colour}
        panel.override_by_regexp(f"/[{ends}]$/i", [DynamicConfigValue("color", shades)])
    return panel


def by_name(panel: Any, names: tuple[str, ...]) -> Any:
    """Give known series that mean neither good nor bad a colour of their own."""
    for at, name in enumerate(names):
        panel.override_by_name(name, [painted(_PLAIN[at % len(_PLAIN)])])
    return panel
