"""A report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.console import Group as Stack
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from openai_safety_otel.contract import moments
from openai_safety_otel.operations.percent import percent
from openai_safety_otel.operations.report.activity import Activity, Report, Rung, short

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
    table = _Identifiers(report, top) if report.by == "identifier" else _groups(report)
    return Stack(_headline(report), table, *_footer(report, top))


def _headline(report: Report) -> Text:
    totals, ladder = report.totals, report.organisation
    coverage = "no call counts" if totals.coverage is None else percent(totals.coverage)
    line = Text("Organisation: ")
    line.append(ladder.text, _STAGES[ladder.stage])
    line.append(
        f"   {totals.calls:,} calls, {totals.identifiers:,} identifiers, {totals.flagged:,} flagged, "
        f"{totals.outcomes.get('refused', 0):,} refused, {sum(totals.blocked.values()):,} blocked, "
        f"identifier coverage {coverage}, {moments.minute(report.since)} to {moments.minute(report.until)} UTC"
    )
    if totals.of_library:
        line.append(f", {totals.of_library:,} under a library's constant (users cannot be told apart)")
    return line


# Column of an identifier's line: whether it is a number, and when it gives way where the terminal is narrow: those
# with the highest number first, 0 never.
_COLUMNS = {
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


class _Identifiers:
    """The riskiest identifiers, in as many columns as fit beside each other."""

    def __init__(self, report: Report, top: int) -> None:
        self._lines = [dict(zip(_COLUMNS, _line(one), strict=True)) for one in report.activities[:top]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = list(_COLUMNS)
        givers = sorted((name for name in shown if _COLUMNS[name][1]), key=lambda name: _COLUMNS[name][1])
        left_out = []
        while givers and self._width(console, options, shown) > options.max_width:
            left_out.append(givers.pop())
            shown.remove(left_out[-1])
        yield self._table(shown)
        if left_out:
            yield Text(
                f"No room for: {', '.join(left_out)} (a wider terminal, --out, or --format json)", "dim"
            )

    def _width(self, console: Console, options: ConsoleOptions, shown: list[str]) -> int:
        return Measurement.get(console, options.update(width=1000), self._table(shown)).maximum

    def _table(self, shown: list[str]) -> Table:
        table = Table(header_style="bold", expand=False)
        for name in shown:
            number, _ = _COLUMNS[name]
            table.add_column(
                name, justify="right" if number else "left", overflow="fold", no_wrap=name == "identifier"
            )
        for line in self._lines:
            table.add_row(*(line[name] for name in shown))
        return table


def _line(one: Activity) -> tuple[RenderableType, ...]:
    top = one.top_score
    return (  # in the order of _COLUMNS
        _text(short(one.identifier) or "(none)"),
        Text(printable(one.ladder.text), _COLOURS[one.ladder.rung]),
        f"{one.calls:,}",
        f"{one.flagged:,}",
        f"{one.refused:,}",
        _text(counts(one.blocked)),
        _text(_score(*top) if top else ""),
        _text(", ".join(one.apis)),
        _text(", ".join(one.models)),
        _when(one.last_seen),
        f"{len(one.notices)}" if one.notices else "",
        "yes" if one.suspended else "",
    )


def _score(category: str, score: float) -> str:
    """A score with its category; none beside 0.00, which says nothing of anybody."""
    return f"{category} {score:.2f}" if f"{score:.2f}" != "0.00" else "0.00"


def _groups(report: Report) -> Table:
    table = Table(header_style="bold")
    table.add_column(report.by, overflow="fold")
    for name in ("calls", "identifiers", "flagged", "refused", "failed"):
        table.add_column(name, justify="right")
    for name in ("blocked", "highest score", "last seen"):
        table.add_column(name, overflow="fold")
    for group in report.groups:
        highest = "" if group.highest_score is None else f"{group.highest_score:.2f}"
        numbers = (group.calls, group.identifiers, group.flagged, group.refused, group.failed)
        table.add_row(
            _text(group.key or "(none)"),
            *(f"{number:,}" for number in numbers),
            _text(counts(group.blocked)),
            highest,
            _when(group.last_seen),
        )
    return table


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


def _when(seconds: float | None) -> str:
    return "" if seconds is None else moments.minute(seconds).partition("-")[2]  # without the year


def _text(value: str) -> Text:
    # Text, not markup, and no control characters: fields hold what strangers sent.
    return Text(printable(value))


def printable(value: str) -> str:
    """A text without control characters: an escape sequence could repaint the terminal."""
    return "".join(char if char.isprintable() else "�" for char in value)
