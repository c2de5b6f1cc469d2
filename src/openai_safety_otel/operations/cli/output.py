"""A plain table on standard output, as commands print their lists."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from openai_safety_otel.operations.report.table import printable

_WIDE = 240  # into a file or a pipe, lines are not folded


def show(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under these names, without what somebody's text could do to a terminal."""
    table = Table(box=None)
    for name in names:
        table.add_column(name, no_wrap=name in ("id", "identifier"))
    for row in rows:
        table.add_row(*map(printable, row))
    Console(file=sys.stdout, markup=False, width=None if sys.stdout.isatty() else _WIDE).print(table)
