"""Lines of OTLP JSON to rows, in SQL: DuckDB reads, parses and types them on every core.

An attribute is ``{"key":"k","value":{"stringValue":"v"}}`` in a list. Three replacements of text make one object of
the list, ``[{"k":{"stringValue":"v"}, ...}]``, whose members are found by name. They cannot hit a text inside of a
string, where a quote has a backslash. A line on which they fail is put right in Python (``oddities.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.operations.store.schema import (
    ATTRIBUTE_COLUMNS,
    DAY,
    RESOURCE,
    STREAM,
    Column,
    quoted,
)

LONGEST_LINE: Final = 16_000_000  # bytes; a longer line is no batch of log records
_STRING: Final[dict[str, Any]] = {"stringValue": "VARCHAR"}
_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "VARCHAR": _STRING,
    "BIGINT": {"intValue": "BIGINT"},
    "DOUBLE": {"doubleValue": "DOUBLE", "intValue": "DOUBLE"},
    "BOOLEAN": {"boolValue": "BOOLEAN"},
    "VARCHAR[]": {"arrayValue": {"values": [_STRING]}},
}
_VALUES: Final = {
    "VARCHAR": "{0}.stringValue",
    "BIGINT": "{0}.intValue",
    # OTLP writes what is no number as a text.
    "DOUBLE": "if(isfinite({0}.doubleValue), {0}.doubleValue, {0}.intValue)",
    "BOOLEAN": "{0}.boolValue",
    "VARCHAR[]": "[one.stringValue FOR one IN {0}.arrayValue.values]",
}
_RECORD: Final = {
    **dict.fromkeys(("timeUnixNano", "observedTimeUnixNano"), "BIGINT"),
    **dict.fromkeys(("eventName", "severityText", "traceId", "spanId"), "VARCHAR"),
    "severityNumber": "INTEGER",
    "body": _STRING,
    "attributes": [{c.EVENT_NAME: _STRING} | {one.source: _SHAPES[one.sql] for one in ATTRIBUTE_COLUMNS}],
}
_RESOURCE: Final = {"attributes": [dict.fromkeys(RESOURCE.values(), _STRING)]}
_LINE: Final = json.dumps(
    {"resourceLogs": [{"resource": _RESOURCE, "scopeLogs": [{"logRecords": [_RECORD]}]}]}
)
# Lines of another writer may have spaces between their tokens.
_COMPACT: Final = (
    """CASE WHEN starts_with(line, '{"resourceLogs":[') THEN line ELSE TRY(json(line)::VARCHAR) END"""
)
_OBJECTS: Final = (
    f"""replace(replace(replace({_COMPACT}, '[{{"key":', '[{{'), '}},{{"key":', ','), ',"value":', ':')"""
)
# A pair that is spelled otherwise, value before key, is still one; a text "key" is none. The needle of the first search
# begins with a rare letter: looking for a quote takes as long as reading the line.
_READABLE: Final = """CASE WHEN NOT contains(objects, 'key"') THEN objects
  WHEN NOT contains(replace(objects, ':"key"', ''), '"key"') THEN objects END"""

_IDENTIFIERS: Final = (c.USER_HASH, c.IDENTIFIER_LINKED, c.REPORTED_HASH)


def _value(column: Column) -> str:
    value = _VALUES[column.sql].format(f'a."{column.source}"')
    if column.source in _IDENTIFIERS:
        value = f"nullif({value}, '')"  # an empty one is nobody's
    return f"{value} AS {column.name}"


_INFINITY: Final = 2**63 - 1  # nanoseconds that are no time to DuckDB
_EVENT: Final = f"""coalesce(nullif(r.eventName, ''), a."{c.EVENT_NAME}".stringValue)"""
_ROW: Final = f"""
SELECT CASE WHEN len(r.attributes) > 1 THEN NULL ELSE -- not one object: an attribute without a name
    nullif(nullif(coalesce(nullif(r.timeUnixNano, 0), r.observedTimeUnixNano),
      {_INFINITY}), -{_INFINITY}) END AS time_ns,
  CASE WHEN starts_with({_EVENT}, '{c.ROOT}') THEN {_EVENT} END AS event,
  coalesce(nullif(r.severityText, ''),
    CASE r.severityNumber WHEN 9 THEN 'INFO' WHEN 13 THEN 'WARN' WHEN 17 THEN 'ERROR' END) AS severity,
  r.body.stringValue AS body, nullif(r.traceId, '') AS trace_id, nullif(r.spanId, '') AS span_id,
  {", ".join(f'place."{source}".stringValue AS {name}' for name, source in RESOURCE.items())},
  {", ".join(map(_value, ATTRIBUTE_COLUMNS))},
  line AS odd_line -- another signal's is {{}}
FROM (SELECT r, r.attributes[1] AS a, place, line FROM (
  SELECT unnest(CASE WHEN line IS NULL THEN s.logRecords ELSE [NULL] END) AS r, place, line FROM (
  SELECT unnest(CASE WHEN line IS NULL THEN l.scopeLogs ELSE [NULL] END) AS s,
    l.resource.attributes[1] AS place, line FROM (
  SELECT unnest(coalesce(parsed.resourceLogs, [NULL])) AS l,
    CASE WHEN parsed.resourceLogs IS NOT NULL THEN NULL
      WHEN parsed IS NOT NULL AND NOT contains(line, '"resourceLogs"') THEN '{{}}' ELSE line END AS line FROM (
  SELECT line, TRY(json_transform({_READABLE}, '{_LINE}')) AS parsed
  FROM (SELECT line, {_OBJECTS} AS objects FROM lines WHERE line IS NOT NULL))))))
"""  # noqa: S608 - built from the contract's own names


def rows_of(paths: Iterable[Path]) -> str:
    """SQL for the rows of these files: events, and what is none (``event`` is NULL, or ``odd_line`` is not)."""
    files = ", ".join(quoted(str(path)) for path in paths)
    return f"""
WITH lines AS (SELECT * FROM read_csv([{files}], columns={{line: 'VARCHAR'}}, auto_detect=false, header=false,
  delim='\x01', quote='', escape='', strict_mode=false, null_padding=false, max_line_size={LONGEST_LINE}))
SELECT *, {DAY} AS day, {STREAM} AS stream FROM ({_ROW})
"""  # noqa: S608 - our own names
