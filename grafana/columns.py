"""Columns that tables share: identifiers, cases, traces, and where a click on each leads."""

from __future__ import annotations

from typing import Final

from grafana import frame, names
from grafana.log_queries import WHOSE, WHOSE_PAGE
from grafana.names import field
from grafana.tables import Column
from grafana.targets import explore
from openai_safety_otel.contract import conventions as c

LOKI: Final = "${loki_datasource}"


def lines_of(attribute: str) -> tuple[str, str]:
    """A link to the whole lines that carry this value."""
    query = f'{{{names.STREAM}=~".+"}} | {field(attribute)}="${{__value.raw}}"'
    return "Whole lines", explore(LOKI, {"expr": query})


TO_TRACE: Final = (
    "Trace",
    explore("${tempo_datasource}", {"queryType": "traceql", "query": "${__value.raw}"}),
)
WHO: Final = Column("Identifier", links=(frame.TO_IDENTIFIER,), short=True)
CASE: Final = Column("Case", links=(lines_of(c.NOTICE_ID),))
TIME: Final = Column("Time", unit="time:DD MMM HH:mm", width=110)

NOTICE: Final = {
    "Time": TIME,
    field(c.NOTICE_TYPE): Column("Notice", width=140),
    field(c.NOTICE_ID): CASE,
}
NOTICE_AND_WHOSE: Final = {
    **NOTICE,
    WHOSE: Column("Whose", links=(frame.TO_WHOSE,), short=True),
    WHOSE_PAGE: Column(frame.PAGE_FIELD, hidden=True),
}
DECISION: Final = {
    "Time": TIME,
    field(c.DECISION_ACTION): Column("Action", width=90),
    field(c.DECISION_BY): Column("By", width=80),
    field(c.DECISION_WHY): Column("Why"),
}
REPORT: Final = {
    "Time": TIME,
    field(c.REPORT_REASON): Column("Reason"),
}
CALL: Final = {
    "Time": TIME,
    field(c.OUTCOME): Column("Outcome", width=100),
    field(c.BLOCK_TYPE): Column("Stopped by", width=150),
    field(c.API): Column("API", width=100),
    field(c.REQUEST_MODEL): Column("Model", width=120),
    field(c.PROVIDER_REQUEST_ID): Column("Request id", links=(lines_of(c.PROVIDER_REQUEST_ID),), short=True),
    field(c.RESPONSE_ID): Column("Response id", links=(lines_of(c.RESPONSE_ID),), short=True),
    names.TRACE_ID: Column("Trace", links=(TO_TRACE,), short=True),
}
