"""The one typed table of events: a column for every attribute of the contract, named as Loki names it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from openai_safety_otel.contract import conventions as c

# Content stays where it was written: neither the compacted copies nor a report ever hold it.
CONTENT: Final = frozenset({c.EVIDENCE_INPUT, c.EVIDENCE_OUTPUT, c.REPORT_TEXT})
# Carried by metrics only, or written to the column ``event``.
_ELSEWHERE = frozenset({
    c.EVENT_NAME, c.TOKEN_TYPE, c.DIRECTION, c.CATEGORY, c.RESULT, c.REASON, c.ACCESS_CODE, c.SIGNAL, c.VERSION,
    c.SDK_VERSION, c.HOOK_STATE,
})  # fmt: skip
_SQL = {
    "string": "VARCHAR",
    "int": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "string[]": "VARCHAR[]",
}
# Joins the values of a list inside one text field: never part of a category or a finish reason.
LIST_SEPARATOR: Final = "\N{SYMBOL FOR UNIT SEPARATOR}"
RESOURCE: Final = {
    "service": "service.name",
    "environment": "deployment.environment.name",
    "instance": "service.instance.id",
}


def column_name(attribute: str) -> str:
    """The column of an attribute: every character but letters and digits becomes ``_``, as in Loki."""
    return re.sub(r"[^0-9a-zA-Z]", "_", attribute)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, the attribute it is read from (or a field of the record), its SQL type."""

    name: str
    source: str
    sql: str


_RECORD = (
    Column("time_ns", "", "BIGINT"),
    Column("event", "", "VARCHAR"),
    Column("severity", "", "VARCHAR"),
    Column("body", "", "VARCHAR"),
    Column("trace_id", "", "VARCHAR"),
    Column("span_id", "", "VARCHAR"),
    *(Column(name, "", "VARCHAR") for name in RESOURCE),
)
ATTRIBUTE_COLUMNS: Final = tuple(
    Column(column_name(name), name, _SQL[attribute.type])
    for name, attribute in c.ATTRIBUTES.items()
    if name not in CONTENT | _ELSEWHERE
)
COLUMNS: Final = (*_RECORD, *ATTRIBUTE_COLUMNS)
LISTS: Final = tuple(column.source for column in ATTRIBUTE_COLUMNS if column.sql == "VARCHAR[]")
# What makes two rows the same event: an exporter that retries may write one event twice.
_SAME = (
    "time_ns", "event", "trace_id", "span_id", column_name(c.USER_HASH), column_name(c.RESPONSE_ID),
    column_name(c.PROVIDER_REQUEST_ID), column_name(c.NOTICE_ID), column_name(c.NOTICE_STATUS),
    column_name(c.DECISION_ACTION), column_name(c.ENDPOINT),
)  # fmt: skip
# A copy made by another version of the table is not read.
FINGERPRINT: Final = hashlib.sha256(repr((COLUMNS, _SAME, 1)).encode()).hexdigest()[:12]


def _cast(column: Column) -> str:
    name = f'"{column.name}"'
    if column.sql == "VARCHAR":
        return name
    if column.sql == "VARCHAR[]":
        return f"string_split({name}, '{LIST_SEPARATOR}') AS {name}"
    return f"TRY_CAST({name} AS {column.sql}) AS {name}"


def copy_statement(source: str, target: str) -> str:
    """SQL that turns one file of text rows (see ``rows.py``) into one typed Parquet file."""
    texts = ", ".join(f"'{column.name}': 'VARCHAR'" for column in COLUMNS)
    typed = ", ".join(map(_cast, COLUMNS))
    same = ", ".join(_SAME)
    return (
        f"COPY (SELECT {typed}, hash({same}) AS row_key FROM read_csv({quoted(source)}, header=false, "  # noqa: S608
        f"auto_detect=false, delim=',', quote='\"', escape='\"', nullstr='null', allow_quoted_nulls=false, "
        f"strict_mode=false, max_line_size=16000000, columns={{{texts}}})) "
        f"TO {quoted(target)} (FORMAT parquet, COMPRESSION zstd)"
    )


def empty_table() -> str:
    """SQL for the table without rows."""
    columns = ", ".join(f"NULL::{column.sql} AS {column.name}" for column in COLUMNS)
    return f"SELECT {columns}, NULL::UBIGINT AS row_key WHERE false"


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
