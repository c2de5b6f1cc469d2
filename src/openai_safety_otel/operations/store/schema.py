"""The one typed table of events: a column for every attribute of the contract, named as Loki names it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from openai_safety_otel.contract import conventions as c

# Content stays where it was written: neither the columns nor a report ever hold it.
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


RECORD_COLUMNS: Final = (
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
COLUMNS: Final = (*RECORD_COLUMNS, *ATTRIBUTE_COLUMNS)
# What makes two rows the same event: an exporter that retries may write one event twice.
SAME: Final = ", ".join((
    "time_ns", "event", "trace_id", "span_id", *map(column_name, (
        c.USER_HASH, c.RESPONSE_ID, c.PROVIDER_REQUEST_ID, c.NOTICE_ID, c.NOTICE_STATUS, c.DECISION_ACTION, c.ENDPOINT,
    )),
))  # fmt: skip
# Written into each Parquet file and its name. Files of another version are read by the names of their columns.
SCHEMA: Final = hashlib.sha256(repr(COLUMNS).encode()).hexdigest()[:12]
SUFFIX: Final = f".{SCHEMA}.parquet"

FLAGGED: Final = " OR ".join(f"coalesce({column_name(c.FLAGGED[d])}, false)" for d in c.DIRECTIONS)
CATEGORIES: Final = "list_distinct(list_concat({}, {}))".format(
    *(f"coalesce({column_name(c.FLAGGED_CATEGORIES[d])}, [])" for d in c.DIRECTIONS)
)

# The collector's classes of events (stack/generate.py) and how many days each is kept (stack/config/loki.yaml).
RETENTION_DAYS: Final = {"completed": 30, "notable": 180, "decision": 400, "evidence": 30}
STREAM: Final = (
    f"CASE event WHEN '{c.DECISION_EVENT}' THEN 'decision' WHEN '{c.EVIDENCE_EVENT}' THEN 'evidence' "
    f"WHEN '{c.CALL_EVENT}' THEN CASE WHEN {column_name(c.OUTCOME)} = 'completed' "
    f"AND NOT ({FLAGGED}) AND coalesce(length({column_name(c.INPUT_TRANSFORMATIONS)}), 0) = 0 "
    "THEN 'completed' ELSE 'notable' END ELSE 'notable' END"
)
DAY: Final = "strftime(make_timestamp_ns(time_ns), '%Y-%m-%d')"


_VERSION: Final = re.compile(r"\.([0-9a-f]{12})\.parquet$")
_MONTH: Final = re.compile(r"[/\\]month=[^/\\]*[/\\][^/\\]*$")


def version_of(file: str) -> str:
    """The version in the name of a Parquet file; empty where it has none."""
    found = _VERSION.search(file)
    return found[1] if found else ""


def stream_of(name: str) -> str:
    """The stream of a file of a column store, by its name in the store."""
    return name.replace("\\", "/").split("/")[-3].partition("=")[2]


def days_of(name: str) -> tuple[str, str]:
    """The first and the last day that a file of a column store may hold, by its name in the store."""
    kind, _, value = name.replace("\\", "/").split("/")[-2].partition("=")
    return (f"{value}-01", f"{value}-31") if kind == "month" else (value, value)


def is_month(file: str) -> bool:
    """Whether a Parquet file holds the days of a month that is over: ``day`` is one of its columns then."""
    return bool(_MONTH.search(file))


def empty_table() -> str:
    """SQL for the table without rows."""
    columns = ", ".join(f"NULL::{column.sql} AS {column.name}" for column in COLUMNS)
    return (
        f"SELECT {columns}, NULL::VARCHAR AS stream, NULL::VARCHAR AS day, NULL::VARCHAR AS name WHERE false"
    )


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
