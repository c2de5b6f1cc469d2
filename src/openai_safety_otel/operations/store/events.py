"""Events as one DuckDB view: what every source becomes, so that all answers come from the same questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from openai_safety_otel.operations.store.oddities import Skipped
from openai_safety_otel.operations.store.room import room_aside
from openai_safety_otel.operations.store.schema import (
    CATEGORIES,
    COLUMNS,
    FLAGGED,
    SAME,
    empty_table,
    is_month,
    quoted,
    version_of,
)

_ROWS = 2048  # of a stream, in memory


@dataclass(slots=True)
class Events:
    """Every event of a source in the view ``events``; use as a context manager.

    ``origin`` says in words where they came from, ``notes`` what else people should know of the reading; ``held`` is
    let go at the end.
    """

    database: duckdb.DuckDBPyConnection
    origin: str
    skipped: Skipped = field(default_factory=Skipped)
    held: ExitStack = field(default_factory=ExitStack)
    notes: list[str] = field(default_factory=list)

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query, by column name; ``values`` fill the ``$names`` it uses."""
        return list(self.stream(sql, **values))

    def stream(self, sql: str, **values: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query, a few thousand in memory at a time; read to the end before the next query.

        Raises:
            StoreError: there is no room for what does not fit into memory.
        """
        used = {name: value for name, value in values.items() if f"${name}" in sql}
        with room_aside():
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
        self.held.close()


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """A database that holds 600 MB in memory at most, and the rest in the scratch folder."""
    database = duckdb.connect()
    database.execute("SET threads = 2; SET memory_limit = '600MB'; SET TimeZone = 'UTC'")
    database.execute("SET preserve_insertion_order = false; SET parquet_metadata_cache = true")
    database.execute(f"SET temp_directory = {quoted(str(scratch))}")
    return database


def open_events(
    database: duckdb.DuckDBPyConnection,
    stored: Iterable[Path | str],
    fresh: Iterable[Path],
    origin: str,
    skipped: Skipped,
    held: ExitStack,
    storage: Any = None,
) -> Events:
    """The events of these Parquet files, each event once.

    Args:
        database: what made the fresh files: a second one would take as long to start as to read a few events.
        stored: files of column stores, in each of which every event stands once.
        fresh: files just made, of what is in no store or in one since.
        origin: where they come from, in words.
        skipped: what was read past.
        held: closed with the events, the database with it.
        storage: the file system of stored files that are not on this machine.
    """
    if storage:
        database.register_filesystem(storage)
    database.execute(f"CREATE VIEW stored AS {stored_table(stored)}")
    database.execute(f"CREATE VIEW fresh AS {fresh_table(fresh)}")
    skipped.duplicates += _set_repeated_aside(database)
    database.execute(
        f"CREATE VIEW events AS SELECT *, {FLAGGED} AS flagged, {CATEGORIES} AS categories "  # noqa: S608 - our own names
        "FROM (SELECT * FROM stored UNION ALL BY NAME SELECT * FROM fresh_once)"
    )
    return Events(database, origin, skipped, held)


def stored_table(files: Iterable[Path | str]) -> str:
    """SQL for the rows of a column store's files; a column that a file of another version lacks is NULL.

    Files of one version, which their names say, have the same columns: none is opened that no question asks for.
    """
    kinds = defaultdict[tuple[str, bool], list[Path | str]](list)
    for file in files:
        kinds[version_of(str(file)), is_month(str(file))].append(file)
    tables = [
        _table(
            group,
            f"union_by_name = {not version}, hive_partitioning = true, "
            f"hive_types = {{stream: VARCHAR, {'month' if month else 'day'}: VARCHAR}}",
        )
        for (version, month), group in kinds.items()
    ]
    return " UNION ALL ".join(tables) or empty_table()


def fresh_table(files: Iterable[Path]) -> str:
    """SQL for the events of files just made."""
    return f"SELECT * FROM ({_table(files, 'hive_partitioning = false')}) WHERE event <> '' AND time_ns > 0"  # noqa: S608


def _table(files: Iterable[Path | str], options: str) -> str:
    names = ", ".join(quoted(str(file)) for file in files)
    if not names:
        return empty_table()
    columns = ", ".join(column.name for column in COLUMNS)
    return (
        f"SELECT {columns}, stream, day, name FROM ({empty_table()} UNION ALL BY NAME SELECT * FROM "  # noqa: S608 - our own names
        f"read_parquet([{names}], filename = 'name', {options}))"
    )


def _set_repeated_aside(database: duckdb.DuckDBPyConnection) -> int:
    """Define ``fresh_once``: fresh rows that are not stored, each once. An exporter can write an event twice."""
    key = f"hash({SAME})"
    days = "day IN (SELECT DISTINCT day FROM fresh)"
    database.execute(
        f"CREATE TEMP TABLE repeated AS SELECT same, sum(n) AS n, sum(old) AS old FROM ("  # noqa: S608
        f"SELECT {key} AS same, count(*) AS n, 0 AS old FROM fresh GROUP BY 1 UNION ALL "
        f"SELECT {key}, 0, 1 FROM stored SEMI JOIN (SELECT time_ns FROM fresh) USING (time_ns) WHERE {days}"
        ") GROUP BY 1 HAVING sum(n) + sum(old) > 1 AND sum(n) > 0"
    )
    found = database.execute("SELECT sum(n) - count_if(old = 0) FROM repeated").fetchone()
    if not found or not found[0]:
        database.execute("CREATE VIEW fresh_once AS SELECT * FROM fresh")
        return 0
    database.execute(
        f"CREATE TEMP TABLE once AS SELECT * FROM (SELECT *, {key} AS same FROM fresh) "  # noqa: S608
        "SEMI JOIN (SELECT same FROM repeated WHERE old = 0) USING (same) "
        "QUALIFY row_number() OVER (PARTITION BY same) = 1"
    )
    database.execute(
        f"CREATE VIEW fresh_once AS SELECT * EXCLUDE (same) FROM (SELECT *, {key} AS same FROM fresh) "  # noqa: S608
        "ANTI JOIN repeated USING (same) UNION ALL BY NAME SELECT * EXCLUDE (same) FROM once"
    )
    return int(found[0])
