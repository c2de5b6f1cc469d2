"""Candidates for `whois`: blocks of lines from a file, standard input or a database."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

BLOCK_BYTES = 1 << 20


class CandidatesError(ValueError):
    """The candidates cannot be read; the message is one line without credentials."""


def from_lines(source: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines, about a megabyte each."""
    rest = b""
    while chunk := source.read(BLOCK_BYTES):
        lines, newline, tail = (rest + chunk).rpartition(b"\n")
        rest = tail
        if newline:
            yield lines
    if rest:
        yield rest


def from_csv(source: BinaryIO, column: str) -> Iterator[bytes]:
    """Blocks of one column of a CSV file with a header.

    Raises:
        CandidatesError: there is no such column.
    """
    text = io.TextIOWrapper(source, encoding="utf-8", errors="replace", newline="")
    try:
        reader = csv.DictReader(text)
        if column not in (reader.fieldnames or ()):
            raise CandidatesError(f"no column {column!r}; there are: {', '.join(reader.fieldnames or ())}")
        yield from _blocks(row[column] for row in reader)
    finally:
        text.detach()  # the file is its opener's to close


def from_sql(url: str, query: str) -> tuple[int | None, Iterator[bytes]]:
    """How many rows a query has (None where that cannot be asked), and blocks of its first column.

    Args:
        url: an SQLAlchemy database URL.
        query: a SELECT, or ``table.column`` (``schema.table.column``).

    Raises:
        CandidatesError: the database cannot be used, or its driver or SQLAlchemy is missing.
    """
    try:
        import sqlalchemy  # noqa: PLC0415 - optional package
    except ModuleNotFoundError:
        raise CandidatesError("--sql needs SQLAlchemy: pip install 'openai-safety-otel[report]'") from None
    try:
        engine = sqlalchemy.create_engine(url)
        statement = _statement(sqlalchemy, query)
        with engine.connect() as connection:
            total = _count(sqlalchemy, connection, statement)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise CandidatesError(_one_line(error)) from None
    return total, _sql_blocks(sqlalchemy, engine, statement)


def _statement(sqlalchemy: Any, query: str) -> Any:
    names = query.strip().split(".")
    if all(name.isidentifier() for name in names) and len(names) in (2, 3):
        *schema, table, column = names
        source = sqlalchemy.table(table, sqlalchemy.column(column), schema=schema[0] if schema else None)
        return sqlalchemy.select(source.c[column])
    return sqlalchemy.text(query)


def _count(sqlalchemy: Any, connection: Any, statement: Any) -> int | None:
    inner = statement if not isinstance(statement, sqlalchemy.TextClause) else statement.columns()
    try:
        counted = sqlalchemy.select(sqlalchemy.func.count()).select_from(inner.subquery("candidates"))
        return int(connection.execute(counted).scalar_one())
    except sqlalchemy.exc.SQLAlchemyError:
        connection.execute(statement).close()  # a wrong query is told now, an uncountable one is not wrong
        return None


def _sql_blocks(sqlalchemy: Any, engine: Any, statement: Any) -> Iterator[bytes]:
    try:
        with engine.connect() as connection:
            rows = connection.execution_options(stream_results=True, yield_per=10_000).execute(statement)
            yield from _blocks(row[0] for row in rows)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise CandidatesError(_one_line(error)) from None
    finally:
        engine.dispose()


def _blocks(values: Iterable[Any]) -> Iterator[bytes]:
    block: list[str] = []
    for value in values:
        if value is not None:
            block.append(str(value))
        if len(block) == 50_000:  # noqa: PLR2004 - about a megabyte
            yield "\n".join(block).encode("utf-8", "surrogatepass")
            block.clear()
    if block:
        yield "\n".join(block).encode("utf-8", "surrogatepass")


def open_candidates(path: Path, column: str | None) -> Iterator[bytes]:
    """Blocks of a file, of one column of it where ``column`` is given.

    Raises:
        CandidatesError: the file cannot be read.
    """
    try:
        with path.open("rb") as source:
            yield from from_csv(source, column) if column else from_lines(source)
    except OSError as error:
        raise CandidatesError(f"{path}: {error.strerror}") from None


def _one_line(error: Exception) -> str:
    # Only the first line: the rest quotes the statement and a link; a URL's password is masked by SQLAlchemy.
    return str(error).strip().split("\n", 1)[0][:300]
