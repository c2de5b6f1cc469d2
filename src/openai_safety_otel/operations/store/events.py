"""Events as a DuckDB view: what every source becomes, so that all answers come from the same queries."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from openai_safety_otel.operations.store.rows import Skipped
from openai_safety_otel.operations.store.schema import empty_table, quoted

_ROWS = 2048  # of a stream, in memory


@dataclass(slots=True)
class Events:
    """Every event of a source in the view ``events``; use as a context manager.

    ``origin`` says in words where they came from; ``scratch`` is removed at the end.
    """

    database: duckdb.DuckDBPyConnection
    origin: str
    skipped: Skipped = field(default_factory=Skipped)
    scratch: Path | None = None

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query, by column name; ``values`` fill the ``$names`` it uses."""
        return list(self.stream(sql, **values))

    def stream(self, sql: str, **values: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query, a few thousand in memory at a time; read to the end before the next query."""
        used = {name: value for name, value in values.items() if f"${name}" in sql}
        cursor = self.database.execute(sql, used or None)
        names = [column[0] for column in cursor.description or ()]
        while rows := cursor.fetchmany(_ROWS):
            for row in rows:
                yield dict(zip(names, row, strict=True))

    def bound_memory(self, megabytes: int) -> None:
        """Let queries hold no more than this; what does not fit goes to the scratch folder."""
        self.database.execute(f"SET memory_limit = '{megabytes}MB'; SET threads = 1")
        self.database.execute("SET preserve_insertion_order = false")

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)


def open_events(parts: Iterable[Path], origin: str, skipped: Skipped, scratch: Path | None) -> Events:
    """The events of these Parquet files, each event once."""
    database = duckdb.connect()
    database.execute("SET threads = 2; SET memory_limit = '600MB'; SET TimeZone = 'UTC'")
    if scratch:
        database.execute(f"SET temp_directory = {quoted(str(scratch))}")
    names = ", ".join(quoted(str(part)) for part in parts)
    source = f"SELECT * FROM read_parquet([{names}])" if names else empty_table()  # noqa: S608 - our own names
    database.execute(f"CREATE VIEW every_row AS {source}")
    skipped.duplicates += _set_duplicates_aside(database)
    return Events(database, origin, skipped, scratch)


def _set_duplicates_aside(database: duckdb.DuckDBPyConnection) -> int:
    """Define ``events``: every row once. An exporter that retries can write an event twice."""
    database.execute(
        "CREATE TEMP TABLE twice AS SELECT row_key, count(*) AS n FROM every_row GROUP BY 1 HAVING n > 1"
    )
    found = database.execute("SELECT coalesce(sum(n - 1), 0)::BIGINT FROM twice").fetchone()
    if not found or not found[0]:
        database.execute("CREATE VIEW events AS SELECT * FROM every_row")
        return 0
    database.execute(
        "CREATE TEMP TABLE once AS "
        "SELECT DISTINCT ON (row_key) * FROM every_row SEMI JOIN twice USING (row_key)"
    )
    database.execute(
        "CREATE VIEW events AS SELECT * FROM every_row ANTI JOIN twice USING (row_key) "
        "UNION ALL BY NAME SELECT * FROM once"
    )
    return int(found[0])
