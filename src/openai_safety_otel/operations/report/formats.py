"""A report as JSON, CSV or Parquet. Times become ISO 8601 in UTC; nothing here decides anything."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import duckdb

from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.blocks import BLOCK_TYPES
from openai_safety_otel.ledger.journal import Decision, Notice
from openai_safety_otel.operations.report.activity import Activity, Group, Report
from openai_safety_otel.operations.store.schema import quoted

# What a report and a case file show of the journal's entries.
_OF_A_NOTICE: Final = (
    "id",
    "type",
    "received_at",
    "deadline_at",
    "identifier",
    "reason",
    "category",
    "status",
    "request_id",
    "subject",
    "recorded_at",
)
_OF_A_DECISION: Final = ("identifier", "action", "by", "why", "at", "until", "automatic")
# A spreadsheet runs a cell that begins like this; telemetry fields hold what strangers sent.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def iso(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(seconds, timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def document(report: Report) -> dict[str, Any]:
    """The whole report as plain JSON values."""
    lines: list[dict[str, Any]]
    if report.by == "identifier":
        lines = [activity_fields(activity) for activity in report.activities]
    else:
        lines = [group_fields(group) for group in report.groups]
    return {
        "since": iso(report.since),
        "until": iso(report.until),
        "traffic": report.traffic,
        "origin": report.origin,
        "skipped": report.skipped,
        "organisation": {**asdict(report.organisation), "deadline_at": iso(report.organisation.deadline_at)},
        "totals": asdict(report.totals),
        "notices": [notice_fields(notice) for notice in report.notices],
        "reconciliation": report.comparison and comparison_fields(report.comparison),
        "rule": report.rule,
        "by": report.by,
        "rows": lines,
    }


def activity_fields(one: Activity) -> dict[str, Any]:
    """One identifier's line."""
    decision = one.decision
    return {
        "identifier": one.identifier or None,
        "ladder": {"rung": one.ladder.rung.name.lower(), "text": one.ladder.text},
        "suspended": one.suspended,
        "calls": one.calls,
        "apis": one.apis,
        "models": one.models,
        "keys": one.keys,
        "linked": one.linked,
        "outcomes": one.outcomes,
        "flagged": one.flagged,
        "refused": one.refused,
        "blocked": one.blocked,
        "enforcement_days": one.enforcement_days,
        "enforcement_blocks": one.enforcement_blocks,
        "highest_scores": one.scores,
        "flags": one.flags,
        "first_seen": iso(one.first_seen),
        "last_seen": iso(one.last_seen),
        "holds": [asdict(hold) for hold in one.holds],
        "api_states": [
            {
                "api": state.api,
                "blocked": state.blocked,
                "blocked_at": iso(state.blocked_at),
                "answered_at": iso(state.answered_at),
            }
            for state in one.api_states
        ],
        "notices": [notice_fields(notice) for notice in one.notices],
        "decision": decision and decision_fields(decision),
    }


def notice_fields(notice: Notice) -> dict[str, Any]:
    """One notice."""
    times = {"received_at": iso(notice.received_at), "deadline_at": iso(notice.deadline_at)}
    return {**{name: getattr(notice, name) for name in _OF_A_NOTICE}, **times}


def decision_fields(decision: Decision) -> dict[str, Any]:
    """One decision."""
    times = {"at": iso(decision.at), "until": iso(decision.until)}
    return {**{name: getattr(decision, name) for name in _OF_A_DECISION}, **times}


def comparison_fields(row: dict[str, Any]) -> dict[str, Any]:
    """One comparison with the provider's own count."""
    kept = {name: value for name, value in row.items() if name != "time_ns"}
    return {**kept, "at": iso(row["time_ns"] / 1e9), "since": iso(row["since"]), "until": iso(row["until"])}


def group_fields(group: Group) -> dict[str, Any]:
    """One line of a report by something else than the identifier."""
    return {**asdict(group), "first_seen": iso(group.first_seen), "last_seen": iso(group.last_seen)}


def flat_rows(report: Report) -> list[dict[str, Any]]:
    """One flat row per line, the same columns in each: for CSV and Parquet."""
    if report.by != "identifier":
        return [_flat_group(group) for group in report.groups]
    return [_flat_activity(one) for one in report.activities]


def _flat_activity(one: Activity) -> dict[str, Any]:
    return {
        "identifier": one.identifier,
        "rung": one.ladder.rung.name.lower(),
        "ladder": one.ladder.text,
        "suspended": one.suspended,
        "calls": one.calls,
        "apis": " ".join(one.apis),
        "models": " ".join(one.models),
        "flagged": one.flagged,
        "refused": one.refused,
        **{f"blocked {kind}": one.blocked.get(kind, 0) for kind in BLOCK_TYPES},
        "enforcement_days": one.enforcement_days,
        **{f"highest {category}": one.scores.get(category) for category in vocabulary.CATEGORIES},
        "first_seen": iso(one.first_seen),
        "last_seen": iso(one.last_seen),
        "notices": len(one.notices),
        "open_notices": one.open_notices,
        "decision": one.decision.action if one.decision else None,
    }


def _flat_group(group: Group) -> dict[str, Any]:
    fields = group_fields(group)
    blocked = fields.pop("blocked")
    return {**fields, **{f"blocked {kind}": blocked.get(kind, 0) for kind in BLOCK_TYPES}}


def to_json(report: Report) -> str:
    """The report as one JSON document."""
    return json.dumps(document(report), indent=2, ensure_ascii=False)


def to_csv(report: Report) -> str:
    """The report's lines as CSV with a header; cells that a spreadsheet would run are made text."""
    out = io.StringIO()
    rows = flat_rows(report)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_empty_row(report))
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return out.getvalue()


def _empty_row(report: Report) -> dict[str, Any]:
    """A row that says nothing: its columns are those of every row."""
    if report.by == "identifier":
        return _flat_activity(Activity(""))
    return _flat_group(Group("", 0, 0, 0, 0, 0))


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def to_parquet(report: Report, target: Path) -> None:
    """Write the report's lines as a Parquet file."""
    rows = flat_rows(report)
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as database:
        lines = Path(scratch, "rows.jsonl")
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        row = _empty_row(report)
        columns = ", ".join(f"{quoted(name)}: {quoted(_sql(name, value))}" for name, value in row.items())
        database.execute(
            f"COPY (SELECT * FROM read_json({quoted(str(lines))}, format='newline_delimited', "  # noqa: S608 - our own names
            f"columns={{{columns}}})) TO {quoted(str(target))} (FORMAT parquet, COMPRESSION zstd)"
        )


def _sql(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "BIGINT"
    if name.startswith("highest"):
        return "DOUBLE"
    return "TIMESTAMP" if name.endswith("_seen") else "VARCHAR"
