"""One piece of an event file (a range of bytes) to one Parquet file; runs in worker processes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import duckdb

from openai_safety_otel.operations.store.rows import RowWriter, Skipped
from openai_safety_otel.operations.store.schema import copy_statement

LINE_LIMIT = 64 * 1024 * 1024  # a longer line is no batch of log records


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes ``start`` to ``end`` of a file, and where its rows go. Lines belong to where they begin.

    ``weight`` is what it counts for in a progress bar: bytes on the disk.
    """

    path: Path
    start: int
    end: int
    weight: int
    target: Path


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a piece."""

    piece: Piece
    rows: int
    skipped: Skipped


def compact(piece: Piece) -> Done:
    """Read one piece and write its rows as Parquet (no file where it has no rows)."""
    text = piece.target.with_suffix(".rows")
    try:
        with text.open("wb") as out:
            writer = RowWriter(out.write)
            try:
                with _open(piece.path) as source:
                    _read(source, piece, writer)
            except (OSError, EOFError):
                # Unreadable, or a compressed file cut short: what came before counts.
                writer.skipped.unreadable_files += 1
        if writer.rows:
            to_parquet(text, piece.target)
    except duckdb.Error:
        writer.skipped.broken_records += writer.rows
        return Done(piece, 0, writer.skipped)
    finally:
        text.unlink(missing_ok=True)
    return Done(piece, writer.rows, writer.skipped)


def to_parquet(text: Path, target: Path) -> None:
    """Type the rows of a text file into a Parquet file."""
    with duckdb.connect() as database:
        database.execute("SET threads = 1; SET memory_limit = '300MB'")
        database.execute("SET preserve_insertion_order = false")
        database.execute(copy_statement(str(text), str(target)))


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _read(source: BinaryIO, piece: Piece, writer: RowWriter) -> None:
    if piece.start:
        source.seek(piece.start - 1)
        for _ in _line_parts(source):  # the line that began in the piece before
            pass
    while source.tell() < piece.end:
        parts = list(_line_parts(source))
        if not parts:
            return
        if len(parts) > 1:
            writer.skipped.broken_lines += 1
            continue
        writer.line(parts[0], finished=parts[0].endswith(b"\n"))


def _line_parts(source: BinaryIO) -> Iterator[bytes]:
    """The next line: one part, or several (all but the last one empty) if it is over the limit."""
    part = source.readline(LINE_LIMIT)
    if not part:
        return
    while len(part) == LINE_LIMIT and not part.endswith(b"\n"):
        yield b""
        part = source.readline(LINE_LIMIT)
    yield part
