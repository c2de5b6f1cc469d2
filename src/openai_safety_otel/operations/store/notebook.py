"""``openai_safety_otel.events(…)``: the events as a DuckDB relation, for notebooks."""

from __future__ import annotations

import weakref
from pathlib import Path

import duckdb

from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.operations.store.files import open_files


def events(*paths: str | Path, compact: bool = True) -> duckdb.DuckDBPyRelation:
    """Every stored event, one row each, a column for every attribute of the contract, ``.`` spelled ``_``.

    ``.df()`` of it is a DataFrame, ``.arrow()`` an Arrow table; ``.filter(…)`` and ``.query("events", "SELECT …")``
    read only the columns and days that they need. What it needs on disk goes when the process ends.

    Args:
        paths: folders and files of events; without any, ``OPENAI_SAFETY_FILE_DIR``.
        compact: take finished files into the column store of their folder first.

    Raises:
        ValueError: neither says where the events are.
        NoEventFilesError: a path does not exist.
    """
    given = paths or tuple(filter(None, (Settings.resolve().file_dir,)))
    if not given:
        raise ValueError("say where the events are: events('folder'), or OPENAI_SAFETY_FILE_DIR")
    opened = open_files(map(Path, given), compact=compact)
    weakref.finalize(events, opened.__exit__, None, None, None)  # when the process ends
    return opened.database.sql("SELECT * EXCLUDE (name) FROM events")
