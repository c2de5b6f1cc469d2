"""How rows become the Parquet files of a column store: their order, their format, their parts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import duckdb

from openai_safety_otel.operations.store.events import connect
from openai_safety_otel.operations.store.room import room_aside
from openai_safety_otel.operations.store.schema import COLUMNS, SCHEMA, is_month, quoted

# Only a column with a dictionary gets a Bloom filter, and identifiers are to have one. A dictionary that is tried for
# every response id costs as much as sorting.
FORMAT: Final = (
    "FORMAT parquet, COMPRESSION zstd, "
    "DICTIONARY_SIZE_LIMIT 15_000, STRING_DICTIONARY_PAGE_SIZE_LIMIT 8_000_000"
)
# One person is in few row groups of a month, however large; what each takes to be looked at counts there.
_ROWS_OF_A_GROUP: Final = {"day": 30_720, "month": 122_880}
_ROWS_OF_A_PART: Final = 1_000_000


def in_columns(rows: str, target: str) -> str:
    """SQL that writes rows as a file of a column store."""
    columns = ", ".join((*(column.name for column in COLUMNS), *(["day"] if is_month(target) else ())))
    size = _ROWS_OF_A_GROUP["month" if is_month(target) else "day"]
    return (
        f"COPY (SELECT {columns} FROM ({rows}) ORDER BY user_hash, time_ns) TO {quoted(target)} "  # noqa: S608
        f"({FORMAT}, ROW_GROUP_SIZE {size}, KV_METADATA {{openai_safety_schema: '{SCHEMA}'}})"
    )


@contextmanager
def workplace() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database, and a folder for what does not fit into memory."""
    with room_aside():
        folder = tempfile.TemporaryDirectory(prefix="openai-safety-")
    with folder as name, connect(Path(name)) as database:
        yield database, Path(name)


def parts_of(database: duckdb.DuckDBPyConnection, rows: str) -> list[tuple[str, int]]:
    """Rows in parts that can be sorted: each a range of end users, as a condition, and how many rows it has."""
    found = database.execute(
        "SELECT min(user_hash), sum(n)::BIGINT FROM ("  # noqa: S608 - our own names
        "SELECT *, sum(n) OVER (ORDER BY user_hash NULLS LAST) - n AS before FROM ("
        f"SELECT user_hash, count(*) AS n FROM ({rows}) GROUP BY ALL)) "
        f"GROUP BY user_hash IS NULL, before // {_ROWS_OF_A_PART} ORDER BY 1 NULLS LAST"
    ).fetchall()
    return [
        (_between(first, following), rows) for (first, rows), (following, _) in pairwise([*found, (None, 0)])
    ]


def _between(first: str | None, following: str | None) -> str:
    if first is None:
        return "user_hash IS NULL"
    end = f" AND user_hash < {quoted(following)}" if following is not None else ""
    return f"user_hash >= {quoted(first)}{end}"
