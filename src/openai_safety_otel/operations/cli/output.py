"""What commands print: lines, messages and plain tables, without what somebody's text could do to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from openai_safety_otel.contract.addresses import without_password
from openai_safety_otel.operations.report.table import printable

_PASTED = ("id", "identifier", "subject")
_WIDE = 240  # into a file or a pipe, lines are not folded


def clean(text: str) -> str:
    """The text with its lines, and with a mark for every other character that moves a cursor or hides text."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str, *, err: bool = False, mark: str = "") -> None:
    """Print text that may hold what somebody entered; ``mark`` is ours, may be coloured, and stands before it."""
    click.echo(f"{mark}{clean(text)}", err=err)


def put(data: str) -> None:
    """Write data to standard output: as it is into a file or a pipe, cleaned on a terminal."""
    sys.stdout.write(clean(data) if sys.stdout.isatty() else data)
    sys.stdout.flush()  # before what is said beside it


def warn(text: str) -> None:
    """One line for the person at the terminal; never mixed with the data, and without passwords of addresses."""
    say(without_password(text), err=True)


def show(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under these names; what people paste into other commands is never cut or folded."""
    cells = [[printable(cell) for cell in row] for row in rows]
    table = Table(box=None)
    for at, name in enumerate(names):
        whole = max((len(row[at]) for row in cells), default=0) if name in _PASTED else None
        table.add_column(name, no_wrap=whole is not None, min_width=whole)
    for row in cells:
        table.add_row(*row)
    Console(file=sys.stdout, markup=False, width=None if sys.stdout.isatty() else _WIDE).print(
        table, crop=False
    )


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, shown only on a terminal; yields ``advance(done, total)``."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
