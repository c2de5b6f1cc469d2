"""What commands print: lines, messages and plain tables, without what somebody's text could do to a terminal."""

from __future__ import annotations

import codecs
import errno
import io
import os
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
_A_WORD = 10  # characters of a word that are not folded: a date
_IN_ASCII = {"…": "...", "✓": "+", "✗": "x", "·": "-", "→": "->", "�": "?"}


def suit_locale() -> None:
    """Let standard output say in ASCII what its encoding lacks: our signs by others, anything else by its escape."""
    codecs.register_error("openai_safety_ascii", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="openai_safety_ascii")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    escaped = (_IN_ASCII.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking)
    return "".join(escaped), error.end


@contextmanager
def _writing() -> Iterator[None]:
    """A full disk is one line; a reader that closed the pipe is click's to end quietly."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EPIPE, None):
            raise
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what is left must not fail at the exit
        raise click.ClickException(f"standard output: {error.strerror}") from None


def clean(text: str) -> str:
    """The text with its lines, and with a mark for every other character that moves a cursor or hides text."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str, *, err: bool = False, mark: str = "") -> None:
    """Print text that may hold what somebody entered; ``mark`` is ours, may be coloured, and stands before it."""
    with _writing():
        click.echo(f"{mark}{clean(text)}", err=err)


def put(data: str) -> None:
    """Write data to standard output: as it is into a file or a pipe, cleaned on a terminal."""
    with _writing():
        sys.stdout.write(clean(data) if sys.stdout.isatty() else data)
        sys.stdout.flush()  # before what is said beside it


def warn(text: str) -> None:
    """One line for the person at the terminal; never mixed with the data, and without passwords of addresses."""
    say(without_password(text), err=True)


def show(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under these names; nothing is cut, and what people paste into other commands is not folded."""
    cells = [[printable(cell) for cell in row] for row in rows]
    table = Table(box=None)
    for at, name in enumerate(names):
        words = [[row[at]] if name in _PASTED else row[at].split() for row in cells]
        longest = max((len(word) for said in words for word in said), default=0)
        whole = longest if name in _PASTED else min(longest, _A_WORD)
        table.add_column(name, no_wrap=name in _PASTED, min_width=whole, overflow="fold")
    for row in cells:
        table.add_row(*row)
    with _writing():
        Console(file=sys.stdout, markup=False, width=None if sys.stdout.isatty() else _WIDE).print(
            table, crop=False
        )
        sys.stdout.flush()


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
