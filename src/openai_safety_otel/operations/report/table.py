"""A report as tables for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.console import Group as Stack
from rich.table import Table
from rich.text import Text

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.operations.percent import percent
from openai_safety_otel.operations.report.activity import Activity, Group, Report, Rung, short

_COLOURS = {
    Rung.DEACTIVATED: "bold red",
    Rung.BLOCKED: "bold red",
    Rung.WARNED: "bold yellow",
    Rung.HELD: "magenta",
    Rung.ENFORCEMENT: "red",
    Rung.FLAGGED: "yellow",
    Rung.DECIDED: "cyan",
    Rung.QUIET: "dim",
}
_STAGES = {
    "quiet": "green",
    "warned": "yellow",
    "day": "bold red",
    "overdue": "bold red",
    "deactivated": "bold red",
}


def render(report: Report, *, top: int) -> RenderableType:
    """The report for a terminal: the organisation's ladder, the ``top`` riskiest lines, the rule."""
    table = (
        _Fitting(_OF_IDENTIFIERS, map(_line, report.activities[:top]))
        if report.by == "identifier"
        else _Fitting({report.by: (False, 0), **_OF_GROUPS}, map(_group, report.groups))
    )
    return Stack(_headline(report), table, *_footer(report, top))


def _headline(report: Report) -> Text:
    totals, ladder = report.totals, report.organisation
    coverage = "no call counts" if totals.coverage is None else percent(totals.coverage)
    line = Text("Organisation: ")
    line.append(ladder.text, _STAGES[ladder.stage])
    line.append(
        f"   {counted(totals.calls, 'call')}, {counted(totals.identifiers, 'identifier')}, {totals.flagged:,} flagged, "
        f"{totals.outcomes.get('refused', 0):,} refused, {sum(totals.blocked.values()):,} blocked, "
        f"identifier coverage {coverage}, {moments.minute(report.since)} to {moments.minute(report.until)} UTC"
    )
    if totals.of_library:
        line.append(f", {totals.of_library:,} under a library's constant (users cannot be told apart)")
    return line


# Column of a line: whether it is a number, and when it gives way where the terminal is narrow even for its words: those
# with the highest number first, 0 never.
_Columns = dict[str, tuple[bool, int]]
_OF_IDENTIFIERS: Final[_Columns] = {
    "identifier": (False, 0),
    "ladder": (False, 0),
    "calls": (True, 2),
    "flagged": (True, 1),
    "refused": (True, 6),
    "blocked": (False, 0),
    "highest score": (False, 3),
    "APIs": (False, 8),
    "models": (False, 9),
    "last seen": (False, 4),
    "notices": (False, 5),
    "suspended": (False, 7),
}
_OF_GROUPS: Final[_Columns] = {
    "calls": (True, 0),
    "identifiers": (True, 2),
    "flagged": (True, 1),
    "refused": (True, 5),
    "failed": (True, 6),
    "blocked": (False, 0),
    "highest score": (False, 3),
    "last seen": (False, 4),
}
_FOLDED: Final = 22  # a longer word is folded
_BETWEEN: Final = re.compile(r"\s(?!\d)")  # a number stays beside its word


class _Fitting:
    """Lines in as many columns as fit beside each other, folded between words; those that do not fit are named."""

    def __init__(self, columns: _Columns, lines: Iterable[tuple[Text, ...]]) -> None:
        self._columns = columns
        self._lines = [dict(zip(columns, line, strict=True)) for line in lines]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown, left_out = list(self._columns), list[str]()
        givers = sorted((at, name) for name, (_, at) in self._columns.items() if at)
        while givers and self._room(shown, options) < 0:
            left_out.append(givers.pop()[1])
            shown.remove(left_out[-1])
        yield self._table(shown, options)
        if left_out:
            yield Text(
                f"No room for: {', '.join(left_out)} (a wider terminal, --out, or --format json)", "dim"
            )

    def _room(self, shown: list[str], options: ConsoleOptions) -> int:
        """How many characters are left where each column is as narrow as its words; below 0 where they do not fit."""
        return options.max_width - 3 * len(shown) - 1 - sum(map(self._least, shown))

    def _least(self, name: str) -> int:
        cells = (line[name].plain for line in self._lines)
        if name == "identifier" or self._columns[name][0]:
            return max(map(len, (name, *cells)))
        words = (word for text in (name, *cells) for word in _BETWEEN.split(text))
        return min(_FOLDED, max(map(len, words)))

    def _table(self, shown: list[str], options: ConsoleOptions) -> Table:
        widths = {name: self._least(name) for name in shown}
        most = {name: max(len(name), *(len(line[name].plain) for line in self._lines), 0) for name in shown}
        for _ in range(max(0, self._room(shown, options))):
            widths[max(shown, key=lambda name: most[name] - widths[name])] += 1
        table = Table(header_style="bold", expand=False)
        for name in shown:
            table.add_column(
                name,
                justify="right" if self._columns[name][0] else "left",
                overflow="fold",
                no_wrap=name == "identifier",
                width=min(widths[name], most[name]) if self._room(shown, options) >= 0 else None,
            )
        for line in self._lines:
            table.add_row(*(line[name] for name in shown))
        return table


def _line(one: Activity) -> tuple[Text, ...]:
    top = one.top_score
    return (  # in the order of _OF_IDENTIFIERS
        _text(short(one.identifier) or "(none)"),
        Text(printable(one.ladder.text), _COLOURS[one.ladder.rung]),
        _number(one.calls),
        _number(one.flagged),
        _number(one.refused),
        _text(counts(one.blocked)),
        _text(_score(*top) if top else ""),
        _text(", ".join(one.apis)),
        _text(", ".join(one.models)),
        _when(one.last_seen),
        Text(f"{len(one.notices)}" if one.notices else ""),
        Text("yes" if one.suspended else ""),
    )


def _score(category: str, score: float) -> str:
    """A score with its category; none beside 0.00, which says nothing of anybody."""
    return f"{category} {score:.2f}" if f"{score:.2f}" != "0.00" else "0.00"


def _group(group: Group) -> tuple[Text, ...]:
    numbers = (group.calls, group.identifiers, group.flagged, group.refused, group.failed)
    return (
        _text(group.key or "(none)"),
        *(_number(number) for number in numbers),
        _text(counts(group.blocked)),
        Text("" if group.highest_score is None else f"{group.highest_score:.2f}"),
        _when(group.last_seen),
    )


def _footer(report: Report, top: int) -> Iterator[Text]:
    if report.by == "identifier":
        left = len(report.activities) - top
        if left > 0:
            yield Text(f"… and {left:,} more (--top, or --format json)", "dim")
        yield Text(report.rule, "dim")


def counts(found: dict[str, int]) -> str:
    """Counts by name, the largest first."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def _number(count: int) -> Text:
    return Text(f"{count:,}")


def _when(seconds: float | None) -> Text:
    return Text("" if seconds is None else moments.minute(seconds).partition("-")[2])  # without the year


def _text(value: str) -> Text:
    # Text, not markup, and no control characters: fields hold what strangers sent.
    return Text(printable(value))


def printable(value: str) -> str:
    """A text without control characters: an escape sequence could repaint the terminal."""
    return "".join(char if char.isprintable() else "�" for char in value)
