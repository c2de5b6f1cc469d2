from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from openai_safety_otel.contract import vocabulary
from openai_safety_otel.operations.report import formats, table
from openai_safety_otel.operations.report.activity import Report
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.store.files import open_files
from support.events import ANN, BOB, DAY, NOON, blocked, call, flagged, notice, write


def report_of(tmp_path: Path, by: str = "identifier") -> Report:
    events = [
        flagged(ANN, NOON - 60, "hate", 0.75, REQUEST_MODEL="=HYPERLINK(1)"),
        blocked(ANN, NOON - 30, "cyber_policy"),
        call(BOB, NOON - 10),
        notice("warning", NOON - DAY),
    ]
    write(tmp_path, events)
    with open_files([tmp_path], compact=False) as opened:
        return build_report(opened, Window(NOON - DAY, NOON), by=by)


def test_json_says_everything(tmp_path: Path) -> None:
    """The JSON document carries window, rule, ladders, counts and the lines in risk order."""
    found = json.loads(formats.to_json(report_of(tmp_path)))
    assert (found["since"], found["until"]) == ("2026-09-28T12:00:00.000Z", "2026-09-29T12:00:00.000Z")
    assert found["organisation"]["text"] == "day 2 of 7, until 2026-10-05 12:00 UTC"
    assert found["rule"].startswith("Sorted by risk")
    assert [row["identifier"] for row in found["rows"]] == [ANN, BOB]
    ann = found["rows"][0]
    assert ann["ladder"] == {"rung": "enforcement", "text": "enforcement blocks on 1 of the last 7 days"}
    assert ann["blocked"] == {"cyber_policy": 1}
    assert ann["highest_scores"]["hate"] == 0.75
    assert found["skipped"]["broken_lines"] == 0


def test_csv_has_the_same_columns_and_runs_nothing(tmp_path: Path) -> None:
    """One line for each identifier, and no cell that a spreadsheet would take for a formula."""
    text = formats.to_csv(report_of(tmp_path))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["identifier"], row["blocked cyber_policy"], row["flagged"]) for row in rows] == [
        (ANN, "1", "1"),
        (BOB, "0", "0"),
    ]
    assert rows[0]["models"] == "'=HYPERLINK(1) gpt-5"
    assert {f"highest {category}" for category in vocabulary.CATEGORIES} <= set(rows[0])


def test_parquet_is_typed(tmp_path: Path) -> None:
    """Parquet holds numbers, booleans and times as such."""
    target = tmp_path / "out.parquet"
    formats.to_parquet(report_of(tmp_path), target)
    query = f"SELECT identifier, calls, suspended, \"highest hate\", typeof(last_seen) FROM '{target}'"
    with duckdb.connect() as database:
        assert database.execute(query).fetchall() == [
            (ANN, 2, False, 0.75, "TIMESTAMP"),
            (BOB, 1, False, None, "TIMESTAMP"),
        ]


@pytest.mark.parametrize("by", ["identifier", "api"])
def test_empty_reports_keep_their_columns(tmp_path: Path, by: str) -> None:
    """A report without lines has the header of one with lines, as CSV and as Parquet."""
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "e.jsonl").write_bytes(b"")
    with open_files([tmp_path / "none"], compact=False) as opened:
        empty = build_report(opened, Window(NOON - DAY, NOON), by=by)
    full = report_of(tmp_path / "full", by)
    assert formats.to_csv(empty) == formats.to_csv(full).splitlines(keepends=True)[0]
    formats.to_parquet(empty, tmp_path / "empty.parquet")
    formats.to_parquet(full, tmp_path / "full.parquet")
    with duckdb.connect() as database:
        schemas = [
            database.execute(
                f"SELECT name, type FROM parquet_schema('{tmp_path}/{name}.parquet')"
            ).fetchall()[1:]
            for name in ("empty", "full")
        ]
    assert schemas[0] == schemas[1]


ALL = "identifier,ladder,calls,flagged,refused,blocked,highest score,APIs,models,last seen,notices,suspended"


@pytest.mark.parametrize(
    ("by", "width", "columns", "left_out"),
    [
        ("identifier", 300, ALL, None),
        ("identifier", 160, ALL, None),
        (
            "identifier",
            120,
            "identifier,ladder,calls,flagged,refused,blocked,highest score,last seen,notices",
            "models, APIs, suspended",
        ),
        (
            "identifier",
            80,
            "identifier,ladder,calls,flagged,blocked,highest score",
            "models, APIs, suspended, refused, notices, last seen",
        ),
        ("api", 120, "api,calls,identifiers,flagged,refused,failed,blocked,highest score,last seen", None),
        ("api", 80, "api,calls,identifiers,flagged,blocked,highest score", "failed, refused, last seen"),
    ],
)
def test_a_narrow_terminal_folds_between_words_and_then_has_fewer_columns(
    tmp_path: Path, by: str, width: int, columns: str, left_out: str | None
) -> None:
    """A column goes where its words do not fit, and is named under the table; what is shown is there to its border."""
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table.render(report_of(tmp_path, by), top=9))
    lines = captured.get().splitlines()
    heads = [line.strip("┃").split("┃") for line in lines if "┃" in line]
    shown = [" ".join(" ".join(parts).split()) for parts in zip(*heads, strict=True)]
    named = re.search(r"No room for: (.*?) \(", " ".join(lines))
    assert (columns.split(","), left_out) == (shown, named and named[1])
    assert {line[0] + line[-1] for line in lines if line[0] in "┃│"} == {"┃┃", "││"}
    cells = [line.split("│") for line in lines if "│" in line]
    words = " ".join(" ".join(row[at] for row in cells) for at in range(len(shown) + 1)).split()
    assert {"cyber_policy", *(["hate", "0.75"] if by == "identifier" else ())} <= set(words)


def test_a_count_is_shown_whole_in_any_column(tmp_path: Path) -> None:
    """A number is never cut: its column goes first."""
    report = report_of(tmp_path, "api")
    report.groups[0].calls = report.groups[0].failed = 1_234_567
    for width in (60, 80, 100, 120):
        console = Console(width=width, color_system=None)
        with console.capture() as captured:
            console.print(table.render(report, top=9))
        text = captured.get()
        assert text.count("1,234,567") == 1 + ("failed" in text.partition("No room")[0])
