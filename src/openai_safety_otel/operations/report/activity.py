"""What a report says, as plain facts: no database, no clock, no output format."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from openai_safety_otel.ledger.journal import Decision, Notice

OrganisationStage = Literal["quiet", "warned", "day", "overdue", "deactivated"]


SHOWN = 12  # characters of an identifier in tables


def short(identifier: str) -> str:
    """An identifier as tables show it: its first characters and ``…``, which every command takes back."""
    return f"{identifier[:SHOWN]}…" if len(identifier) > 2 * SHOWN else identifier


class Rung(IntEnum):
    """Where an identifier stands, the least risky first."""

    QUIET = 0
    DECIDED = 1
    FLAGGED = 2
    ENFORCEMENT = 3
    HELD = 4
    WARNED = 5
    BLOCKED = 6
    DEACTIVATED = 7


@dataclass(frozen=True, slots=True)
class Hold:
    """Output that begins suspiciously late: medians in seconds, and the streams they were taken from."""

    model: str
    median: float
    usual: float
    streams: int


@dataclass(frozen=True, slots=True)
class ApiState:
    """What one API did to one identifier. Times are Unix seconds, None where it never happened."""

    api: str
    blocked_at: float | None = None
    answered_at: float | None = None

    @property
    def blocked(self) -> bool:
        """Blocked by the provider, and never answered since."""
        return self.blocked_at is not None and (self.answered_at or 0.0) <= self.blocked_at


@dataclass(frozen=True, slots=True)
class OrganisationLadder:
    """Where the organisation stands. Times are Unix seconds.

    ``possibly``: the notice's case is not read, so that it may concern one identifier only.
    """

    stage: OrganisationStage = "quiet"
    text: str = "quiet"
    day: int = 0
    days: int = 7
    deadline_at: float | None = None
    notices: tuple[str, ...] = ()
    possibly: bool = False


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where an identifier stands and in which words; ``decision`` is the last one, if any."""

    rung: Rung = Rung.QUIET
    text: str = "quiet"


@dataclass(slots=True)
class Activity:
    """Everything a report says about one identifier (or, with an empty one, about calls without any).

    Counts are of the report's window; ``enforcement_days``, ``holds`` and the ladder look at the last seven
    days, ``apis_state`` at everything that is stored. Times are Unix seconds.
    """

    identifier: str
    calls: int = 0
    apis: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    flagged: int = 0
    blocked: dict[str, int] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    first_seen: float | None = None
    last_seen: float | None = None
    last_signal: float | None = None
    recent_flagged: int = 0
    enforcement_days: int = 0
    enforcement_blocks: int = 0
    holds: list[Hold] = field(default_factory=list)
    api_states: list[ApiState] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    decision: Decision | None = None
    suspended: bool = False
    ladder: Ladder = field(default_factory=Ladder)

    @property
    def refused(self) -> int:
        """Calls that the model refused."""
        return self.outcomes.get("refused", 0)

    @property
    def blocked_total(self) -> int:
        """Calls that were blocked, whoever blocked them; the page's template asks for it."""
        return sum(self.blocked.values())

    @property
    def top_score(self) -> tuple[str, float] | None:
        """The category with the highest score, and that score."""
        return max(self.scores.items(), key=lambda item: item[1], default=None)

    @property
    def open_notices(self) -> int:
        """Notices about this identifier that nobody has closed."""
        return sum(notice.open for notice in self.notices)


@dataclass(slots=True)
class Group:
    """One line of a report that is not by identifier. Times are Unix seconds."""

    key: str
    calls: int
    identifiers: int
    flagged: int
    refused: int
    failed: int
    blocked: dict[str, int] = field(default_factory=dict)
    enforcement: int = 0
    highest_score: float | None = None
    first_seen: float | None = None
    last_seen: float | None = None


@dataclass(slots=True)
class Totals:
    """The whole window in a few numbers; ``coverage`` is None where no call counts for it.

    ``of_library`` counts calls under a library's constant, whose users cannot be told apart.
    """

    calls: int = 0
    identifiers: int = 0
    without_identifier: int = 0
    flagged: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    blocked: dict[str, int] = field(default_factory=dict)
    coverage: float | None = None
    of_library: int = 0
    delivery: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayCount:
    """One day's calls of one kind, for the timeline: ``kind`` is a block type, ``flagged`` or ``refused``."""

    day: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class CategoryDay:
    """How often a category was flagged on a day, and its highest score."""

    day: str
    category: str
    flagged: int
    highest: float | None


@dataclass(frozen=True, slots=True)
class DaySignals:
    """One identifier's signals on one day."""

    day: str
    enforcement: int
    filter: int
    local: int
    flagged: int


@dataclass(slots=True)
class Report:
    """A report: its window (Unix seconds), where it was read from, what was read past, and its lines."""

    since: float
    until: float
    traffic: str
    origin: str
    skipped: dict[str, int]
    totals: Totals
    organisation: OrganisationLadder
    notices: list[Notice]
    activities: list[Activity]
    rule: str
    timeline: list[DayCount] = field(default_factory=list)
    categories: list[CategoryDay] = field(default_factory=list)
    daily: dict[str, list[DaySignals]] = field(default_factory=dict)
    by: str = "identifier"
    groups: list[Group] = field(default_factory=list)
    comparison: dict[str, Any] | None = None  # the last with the provider's own count, and its dark sources
