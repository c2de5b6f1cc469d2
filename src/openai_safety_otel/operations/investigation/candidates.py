"""Candidates for `whois`: blocks of lines from a file, standard input or a database."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import sqlite3
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote, unquote

from openai_safety_otel.contract.one_line import OneLineError

BLOCK_BYTES = 1 << 20
Blocks = Generator[bytes, None, None]  # to be closed: it holds a file or a connection
_HEAD: Final = 4  # bytes that tell gzip and byte-order marks
_GZIP: Final = b"\x1f\x8b"


class CandidatesError(OneLineError, ValueError):
    """The candidates cannot be read; the message is one line without credentials."""


def from_stream(source: BinaryIO, column: str | None = None) -> Blocks:
    """Blocks of candidates: lines, or one column of CSV; unpacked where it is gzip, without a byte-order mark.

    Raises:
        CandidatesError: it cannot be read, or there is no such column.
    """
    try:
        plain = _plain(source)
        yield from _from_csv(plain, column) if column else _from_lines(plain)
    except (OSError, EOFError, zlib.error) as error:
        raise CandidatesError(f"the candidates cannot be read: {_one_line(error)}") from None


class _PiecesAsFile(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = filter(None, pieces)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._pieces, b"")
        given, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)


def _plain(source: BinaryIO) -> BinaryIO:
    """A stream's text as UTF-8: a pipe too, of which the beginning can be read only once."""
    head = source.read(_HEAD)
    pieces = itertools.chain(
        [head.removeprefix(codecs.BOM_UTF8)], iter(lambda: source.read(BLOCK_BYTES), b"")
    )
    if head.startswith(_GZIP):
        return _plain(cast("BinaryIO", gzip.GzipFile(fileobj=_buffered(pieces))))
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = codecs.iterdecode(pieces, "utf-16", errors="replace")
        return _buffered(part.encode("utf-8", "surrogatepass") for part in text)
    return _buffered(pieces)


def _buffered(pieces: Iterator[bytes]) -> BinaryIO:
    return io.BufferedReader(_PiecesAsFile(pieces), BLOCK_BYTES)


def _from_lines(source: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines, about a megabyte each."""
    rest = b""
    while chunk := source.read(BLOCK_BYTES):
        lines, newline, tail = (rest + chunk).rpartition(b"\n")
        rest = tail
        if newline:
            yield lines
    if rest:
        yield rest


def _from_csv(source: BinaryIO, column: str) -> Iterator[bytes]:
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


def from_sql(url: str, query: str) -> tuple[int | None, Blocks]:
    """How many rows a query has (None where that cannot be asked), and blocks of its first column.

    Args:
        url: an SQLAlchemy database URL.
        query: a SELECT, or ``table.column`` (``schema.table.column``).

    Raises:
        CandidatesError: the database cannot be used, or its driver is missing.
    """
    import sqlalchemy  # noqa: PLC0415 - optional package

    try:
        engine = _engine(sqlalchemy, url)
        statement = _statement(sqlalchemy, query)
        if engine.dialect.name not in _READ_ONLY and isinstance(statement, sqlalchemy.TextClause):
            raise CandidatesError(
                f"{engine.dialect.name} connections cannot be made read-only here: give --query table.column, "
                "or pipe the user ids in with --candidates -"
            )
        with _reading(engine) as connection:
            total = _count(sqlalchemy, connection, statement)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise CandidatesError(_one_line(error)) from None
    return total, _sql_blocks(sqlalchemy, engine, statement)


def _engine(sqlalchemy: Any, url: str) -> Any:
    """An engine that opens an SQLite file only to read it, and only if it is there."""
    address = sqlalchemy.make_url(url)
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return sqlalchemy.create_engine(address, poolclass=sqlalchemy.pool.NullPool)
    name = address.database if address.query.get("uri") else f"file:{quote(address.database)}"
    path = Path(unquote(name.removeprefix("file:").partition("?")[0]))
    if not path.is_file():
        raise CandidatesError(f"{path}: no such file")
    options = address.query | {"mode": "ro", "uri": "true"}
    address = address.set(database=name, query=options)
    return sqlalchemy.create_engine(address, poolclass=sqlalchemy.pool.NullPool)


@contextmanager
def _reading(engine: Any) -> Iterator[Any]:
    """A connection that cannot write, where the database has such; nothing is ever committed."""
    with engine.connect() as connection:
        forbid = _READ_ONLY.get(engine.dialect.name)
        yield forbid(connection) if forbid else connection


def _only_reads(connection: Any) -> Any:
    """SQLite: whatever is no reading is refused when the statement is compiled: ATTACH and VACUUM INTO too."""
    allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
    connection.connection.driver_connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY
    )
    return connection


_READ_ONLY: Final[dict[str, Callable[[Any], Any]]] = {
    "sqlite": _only_reads,
    "postgresql": lambda connection: connection.execution_options(postgresql_readonly=True),
}


def _statement(sqlalchemy: Any, query: str) -> Any:
    query = query.strip().rstrip(";")
    names = query.split(".")
    if all(name.isidentifier() for name in names) and len(names) in (2, 3):
        *schema, table, column = names
        source = sqlalchemy.table(table, sqlalchemy.column(column), schema=schema[0] if schema else None)
        return sqlalchemy.select(source.c[column])
    if ";" in query:  # the second one could begin a transaction of its own
        raise CandidatesError("--query takes one statement, without a semicolon in it")
    return sqlalchemy.text(query)


def _count(sqlalchemy: Any, connection: Any, statement: Any) -> int | None:
    inner = statement if not isinstance(statement, sqlalchemy.TextClause) else statement.columns()
    try:
        counted = sqlalchemy.select(sqlalchemy.func.count()).select_from(inner.subquery("candidates"))
        return int(connection.execute(counted).scalar_one())
    except sqlalchemy.exc.SQLAlchemyError:
        connection.execute(statement).close()  # a wrong query is told now, an uncountable one is not wrong
        return None


def _sql_blocks(sqlalchemy: Any, engine: Any, statement: Any) -> Blocks:
    try:
        with _reading(engine) as connection:
            rows = connection.execution_options(stream_results=True, yield_per=10_000).execute(statement)
            yield from _blocks(row[0] for row in rows)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise CandidatesError(_one_line(error)) from None


def _blocks(values: Iterable[Any]) -> Iterator[bytes]:
    block: list[str] = []
    for value in values:
        if value is not None:
            block.append(_text(value))
        if len(block) == 50_000:  # noqa: PLR2004 - about a megabyte
            yield "\n".join(block).encode("utf-8", "surrogatepass")
            block.clear()
    if block:
        yield "\n".join(block).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    """A value of a database; a binary column's is the text that its bytes are."""
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)


def open_candidates(path: Path, column: str | None) -> Blocks:
    """Blocks of a file or a pipe, of one column of it where ``column`` is given.

    Raises:
        CandidatesError: it cannot be read.
    """
    try:
        source = path.open("rb")
    except OSError as error:
        raise CandidatesError(f"{path}: {error.strerror}") from None
    with source:
        yield from from_stream(source, column)


def _one_line(error: Exception) -> str:
    # Only the first line: the rest quotes the statement and a link; a URL's password is masked by SQLAlchemy.
    return str(error).strip().split("\n", 1)[0][:300]
