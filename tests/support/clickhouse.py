"""ClickHouse, embedded, with our table and view."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from openai_safety_otel.operations.store import clickhouse
from openai_safety_otel.operations.store.schema import COLUMNS


class ClickHouse:
    """The real engine, embedded."""

    def __init__(self, folder: Path) -> None:
        self._session = importlib.import_module("chdb.session").Session(str(folder))
        self._session.query("CREATE DATABASE safety ENGINE = Atomic")
        self._session.query("USE safety")
        for statement in (clickhouse.table(), clickhouse.view()):
            self._session.query(statement)

    def insert(self, file: Path) -> None:
        names = ", ".join(column.name for column in COLUMNS)
        self._session.query(f"INSERT INTO stored ({names}) SELECT {names} FROM file('{file}', Parquet)")

    def execute(self, sql: str) -> None:
        self._session.query(clickhouse.dialect(sql))

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        asked = f"{clickhouse.dialect(sql, values)} SETTINGS {clickhouse.SETTINGS}"
        return [json.loads(line) for line in str(self._session.query(asked, "JSONEachRow")).splitlines()]

    def close(self) -> None:
        self._session.close()
