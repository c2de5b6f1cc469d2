"""The demo's table: one line an identifier, narrow enough for any terminal, and who comes first."""

from __future__ import annotations

from rich.table import Table

from openai_safety_otel.operations.report.activity import Activity, Report

_LETTERS = 12


def shortened(identifier: str) -> str:
    """The first letters of an identifier; enough to tell thirty people apart."""
    return f"{identifier[:_LETTERS]}…" if len(identifier) > _LETTERS else identifier or "(nobody)"


def identifier_table(report: Report) -> Table:
    """Calls, flags, refusals and blocks of each identifier that had any, the riskiest first."""
    table = Table("identifier", title="What the files say, riskiest first", title_justify="left")
    for name in ("calls", "flagged", "refused"):
        table.add_column(name, justify="right")
    table.add_column("blocked by type")
    quiet = [one for one in report.activities if _is_quiet(one)]
    for one in report.activities:
        if not _is_quiet(one):
            table.add_row(*_cells(one))
    if quiet:
        table.add_row(f"{len(quiet)} others", str(sum(one.calls for one in quiet)), "", "", "", style="dim")
    return table


def _cells(one: Activity) -> tuple[str, ...]:
    blocked = ", ".join(f"{kind} {many}" for kind, many in sorted(one.blocked.items()))
    counts = (str(count or "") for count in (one.calls, one.flagged, one.refused))
    return (shortened(one.identifier), *counts, blocked)


def _is_quiet(one: Activity) -> bool:
    return not (one.flagged or one.refused or one.blocked)
