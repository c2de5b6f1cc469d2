"""The comparison itself: two lists of counts in, one verdict for each source out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from openai_safety_otel.contract.moments import HOUR
from openai_safety_otel.contract.vocabulary import UsageLedger, Verdict

SHARE: Final = 0.02
LEAST: Final = 5
TOLERANCE: Final = f"{SHARE:.0%} of the provider's count, at least {LEAST} requests, over an hour or more"
APART: Final[tuple[UsageLedger, ...]] = ("completions", "decisions")  # what a batch ran stands apart in these
_SNAPSHOT: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4}|latest)$")
_ORDER: Final[tuple[Verdict, ...]] = ("dark", "cannot_tell", "ours_only", "matched")
_DOUBTED_ALONE: Final = (
    "all of our calls were blocked, failed, cancelled, retried, in the background, on a socket, or under "
    "way when the time began or ended; whether the provider counts those in it is not documented"
)
_DOUBTED: Final = (
    "as many of our calls were blocked, failed, cancelled, retried, in the background, on a socket, or under "
    "way when the time began or ended; whether the provider counts those in it is not documented"
)
_LINES: Final = (
    "may be lines of a batch, which run at the provider: `openai-safety batch results` reads their outcomes"
)
_OPENED: Final = (
    "may be what the provider ran for calls that we saw: in a Realtime, Live or Agents session, an assistant's run, "
    "by a tool, or to moderate"
)
_UNPLACED: Final = (
    "our record has as many calls under another API key, model or host that match nothing: "
    "look at --keys, the HMAC keys, and OPENAI_SAFETY_INJECT_HOSTS for a gateway"
)
_PART: Final = "seen in part: a process without the hook, or hosted tools' turns counted one by one"
_ALONE: Final = "another organisation's key, another provider, or another name of the key or model"
_READ_LATER: Final = "results of a batch are recorded when they are read, which may be long after they ran"


@dataclass(frozen=True, slots=True)
class Counted:
    """What the provider counts of one project, API key and model; ids as it gives them."""

    ledger: UsageLedger
    project: str
    key: str
    model: str
    requests: int
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """What our record has under one API key (its keyed hash) and model.

    ``possible`` counts every request that may be in the provider's ledger, ``sure`` those that must be;
    ``elsewhere`` those that went to another host, which may be a gateway to the provider.
    """

    ledger: UsageLedger
    key: str
    model: str
    sure: int
    possible: int
    batch: bool = False
    elsewhere: int = 0


Opened = tuple[UsageLedger, str, str]
_Place = tuple[UsageLedger, str, bool, str]  # ledger, model, whether of a batch, key that is held


class Names(NamedTuple):
    """The names of projects and API keys by their ids; what has none goes by its id."""

    projects: Mapping[str, str]
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Source:
    """One row of the answer: what the provider counts beside what we have, and what that means."""

    ledger: UsageLedger
    project: str
    key: str
    model: str
    provider: int
    ours: int
    verdict: Verdict
    why: str = ""
    batch: bool = False
    dark: int = 0  # at least so many requests that nobody here saw


@dataclass(frozen=True, slots=True)
class Comparison:
    """All sources of a window (Unix seconds), the darkest first."""

    since: float
    until: float
    sources: tuple[Source, ...]

    @property
    def provider(self) -> int:
        """Requests that the provider counts."""
        return sum(one.provider for one in self.sources)

    @property
    def ours(self) -> int:
        """Requests that our record has."""
        return sum(one.ours for one in self.sources)

    @property
    def dark(self) -> int:
        """Requests that nobody here saw."""
        return sum(one.dark for one in self.sources)

    @property
    def cannot_tell(self) -> int:
        """Requests that the provider counts, of which nothing can be told."""
        return sum(one.provider for one in self.sources if one.verdict == "cannot_tell")

    @property
    def share(self) -> float | None:
        """The part of the provider's count that our record has, too; None where the provider counts nothing."""
        seen = sum(min(one.provider, one.ours) for one in self.sources)
        return seen / self.provider if self.provider else None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        sums = {name: getattr(self, name) for name in ("provider", "ours", "dark", "cannot_tell", "share")}
        window = {"since": self.since, "until": self.until, "tolerance": TOLERANCE}
        return {**window, **sums, "sources": [asdict(one) for one in self.sources]}


def compare(
    counted: Iterable[Counted],
    recorded: Collection[Recorded],
    *,
    since: float,
    until: float,
    held: Mapping[str, Collection[str]],
    names: Names,
    batched: Collection[str] = (),
    opened: Collection[Opened] = (),
) -> Comparison:
    """Put both counts side by side.

    Args:
        counted: the provider's.
        recorded: ours.
        since: begin of the window, in Unix seconds.
        until: its end.
        held: for the id of each API key that whoever asks holds, the keyed hashes that our record may have of it.
        names: of projects and keys.
        batched: the keyed hashes of API keys with which batches were made that may have run in the window.
        opened: what the provider may have run, for calls that we have, by ledger, keyed hash and model.
    """
    groups: dict[_Place, _Group] = {}
    whose = {form: key for key, forms in held.items() for form in forms}
    makers = {whose.get(form, "") for form in batched}
    read = {(row.ledger, family(row.model)) for row in recorded if row.batch}
    for one in counted:
        key = one.key if one.key in held else ""
        # A line of a batch does not say whose key sent it.
        place = (one.ledger, family(one.model), one.batch, "" if one.batch else key)
        group = groups.setdefault(place, _Group())
        group.counted.append(one)
        if (one.batch or one.ledger not in APART) and (key in makers or place[:2] in read):
            group.batched.append(one)
    for row in recorded:
        if row.batch and row.ledger not in APART:
            continue  # among the calls of a key that nobody can name
        place = (row.ledger, family(row.model), row.batch, whose.get(row.key, ""))
        if row.possible:
            groups.setdefault(place, _Group()).recorded.append(row)
    _place_nameless(groups)
    unplaced = _Unplaced(
        groups, recorded, {*names.keys, *(place[3] for place in groups if groups[place].counted)}
    )
    ran = {(ledger, whose.get(form, ""), family(model)) for ledger, form, model in opened}
    long = until - since >= HOUR
    sources = [
        _source(
            place,
            part,
            long,
            unplaced.at(place),
            bool(ran & {(*place[:1], place[3], model) for model in ("", place[1])}),
        )
        for place, group in groups.items()
        for part in group.parts(names, place[3])
    ]
    return Comparison(since, until, tuple(sorted(sources, key=_worst_first)))


def family(model: str) -> str:
    """A model without the date of its snapshot: a call that fails knows the alias alone."""
    return _SNAPSHOT.sub("", model)


class _Part(NamedTuple):
    """Project and key, the provider's count, our sure and our possible ones, and whether a batch may be in it."""

    where: tuple[str, str]
    provider: int
    sure: int
    possible: int
    batched: bool


@dataclass(slots=True)
class _Group:
    """What can be compared with each other: one key that is held, or all keys that are not.

    Of the rows that the provider counts, ``batched`` are those that may be lines of batches made here.
    """

    counted: list[Counted] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)
    batched: list[Counted] = field(default_factory=list)

    @property
    def possible(self) -> int:
        """Requests of ours that may be in the provider's ledger."""
        return sum(one.possible for one in self.recorded)

    def parts(self, names: Names, held: str) -> list[_Part]:
        """The rows of the answer.

        Of keys that nobody holds, each stands alone only where our record has nothing that may be theirs.
        """
        sure, possible = sum(one.sure for one in self.recorded), self.possible
        if self.counted and not possible:
            return [
                _Part(_where(names, [one]), one.requests, 0, 0, one in self.batched) for one in self.counted
            ]
        where = _where(names, self.counted)
        if not self.counted:
            where = (
                "",
                names.keys.get(held)
                or _listed({f"recorded as {one.key or '(no key)'}" for one in self.recorded}),
            )
        provider = sum(one.requests for one in self.counted)
        return [_Part(where, provider, sure, possible, bool(self.batched))]


def _where(names: Names, counted: Iterable[Counted]) -> tuple[str, str]:
    rows = list(counted)
    projects = {names.projects.get(one.project, one.project) for one in rows}
    return _listed(projects), _listed({names.keys.get(one.key, one.key) for one in rows})


def _listed(names: set[str]) -> str:
    shown = sorted(name or "(none)" for name in names)
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""  # noqa: PLR2004 - three are read at a glance
    return f"{' or '.join(shown[:3])}{more}"


def _place_nameless(groups: dict[_Place, _Group]) -> None:
    """Calls that name no model went to the one that the provider counts of their key, if it is one."""
    for place in [one for one, group in groups.items() if not one[1] and not group.counted]:
        there = [
            group
            for one, group in groups.items()
            if group.counted and (one[0], *one[2:]) == (place[0], *place[2:])
        ]
        if len(there) == 1:
            there[0].recorded += groups.pop(place).recorded


class _Unplaced:
    """Calls of ours that match nothing at the provider: they may be what seems to be missing elsewhere."""

    def __init__(
        self, groups: Mapping[_Place, _Group], recorded: Iterable[Recorded], known: Collection[str]
    ) -> None:
        self._of_key: Counter[tuple[UsageLedger, str]] = Counter()
        self._of_model: Counter[tuple[UsageLedger, str]] = Counter()
        for (ledger, model, batch, key), group in groups.items():
            left = max(0, group.possible - sum(one.requests for one in group.counted))
            if not batch and not group.counted:
                self._of_key[ledger, key] += left
            if not batch and (not key or key not in known):
                self._of_model[ledger, model] += left
        for row in recorded:
            self._of_model[row.ledger, family(row.model)] += row.elsewhere

    def at(self, place: _Place) -> int:
        """How many of them may belong to a source."""
        ledger, model, batch, key = place
        return 0 if batch else self._of_key[ledger, key] + self._of_model[ledger, model]


def _source(place: _Place, part: _Part, long: bool, unplaced: int, ran: bool) -> Source:
    """The first row that holds."""
    ledger, model, batch, _ = place
    where, provider, sure, possible, batched = part
    slack = max(LEAST, round(SHARE * provider))
    rows: tuple[tuple[bool, Verdict, str], ...] = (
        (not long, "cannot_tell", "less than an hour"),
        (batched and provider > sure + slack, "cannot_tell", _LINES),
        (ran and provider > possible + slack, "cannot_tell", _OPENED),
        (provider > possible + unplaced + slack, "dark", _PART if possible else ""),
        (provider > possible + slack, "cannot_tell", _UNPLACED),
        (batch and sure > provider + slack, "cannot_tell", _READ_LATER),
        (sure > provider + slack, "ours_only", _ALONE),
        (provider > sure + slack, "cannot_tell", _DOUBTED),
        (possible > provider + slack and not sure, "cannot_tell", _DOUBTED_ALONE),
        (not sure or not provider, "cannot_tell", "too few to tell"),
    )
    verdict, why = next(((name, why) for holds, name, why in rows if holds), ("matched", ""))
    dark = provider - possible - unplaced if verdict == "dark" else 0
    return Source(ledger, *where, model, provider, possible, verdict, why, batch, dark)


def _worst_first(one: Source) -> tuple[Any, ...]:
    amount = one.dark or max(one.provider, one.ours)
    return _ORDER.index(one.verdict), -amount, one.ledger, one.project, one.key, one.model
