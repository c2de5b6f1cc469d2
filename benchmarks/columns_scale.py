"""A year of events in columns: size on disk, time to compact, and each question at growing sizes.

Run: python benchmarks/columns_scale.py make FOLDER EVENTS     writes a year's store directly as Parquet
     python benchmarks/columns_scale.py ask FOLDER             asks every question; prints one JSON object
     python benchmarks/columns_scale.py subset FOLDER DAYS     lets the last days count alone
     python benchmarks/columns_scale.py compact FOLDER EVENTS  makes JSON in slices and compacts it; prints one object
     python benchmarks/columns_scale.py all FOLDER [EVENTS [JSON_EVENTS]]   all of it: 100 million, and 10 million of
                                           JSON; says on standard error where it is, writes results/columns_scale.json

Questions are asked in a process of their own with cold and warm files; 100 million events take 12 GB.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from report_speed import make as make_json

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import moments
from openai_safety_otel.operations.investigation.case import open_case
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.store import questions
from openai_safety_otel.operations.store.columns import MANIFEST, STORE, ColumnStore
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.files import compact_files, open_files
from openai_safety_otel.operations.store.schema import COLUMNS, SUFFIX, column_name, days_of
from openai_safety_otel.operations.store.writing import FORMAT

USERS = 200_000
DAYS = 365
DAY = 86_400
END = 1_790_640_000  # 2026-09-29 00:00 UTC
NOTABLE = 0.04
RESULTS = Path(__file__).parent / "results" / "columns_scale.json"
_SLICE = 250_000  # events of JSON on the disk at one time


def _columns(*, notable: bool) -> dict[str, str]:
    """SQL for each column that a wide call has."""
    kind = "'blocked'" if notable else "'completed'"
    found = {
        c.OPERATION_NAME: "'chat'", c.PROVIDER_NAME: "'openai'",
        c.REQUEST_MODEL: "if(u % 3 = 0, 'gpt-5', 'gpt-5-mini')",
        c.RESPONSE_MODEL: "'gpt-5-2026-08-07'", c.RESPONSE_ID: "'resp_' || md5(random()::VARCHAR)",
        c.FINISH_REASONS: "['stop']", c.STREAM: "u % 2 = 0", c.MAX_TOKENS: "500", c.TEMPERATURE: "0.7",
        c.INPUT_TOKENS: "(random() * 4000)::BIGINT", c.OUTPUT_TOKENS: "(random() * 800)::BIGINT",
        c.API_TYPE: "'responses'", c.SERVER_ADDRESS: "'api.openai.com'", c.USER_HASH: "who",
        c.IDENTIFIER_SOURCE: "'end_user'", c.IDENTIFIER_DELIVERY: "'sent'", c.IDENTIFIER_KEY_ID: "'k1234567'",
        c.API: "if(u % 7 = 0, 'chat', 'responses')", c.ENDPOINT: "'responses.create'",
        c.OUTCOME: f"if(random() < 0.5, {kind}, 'completed')" if notable else kind, c.RETRIES: "0",
        c.MODERATION_MODEL: "'omni-moderation-latest'", c.PROVIDER_REQUEST_ID: "'req_' || md5(random()::VARCHAR)",
        c.API_KEY_ID: "'key' || (u % 20)", c.TRAFFIC: "'production'", c.TIME_TO_FIRST_OUTPUT: "round(random(), 3)",
    }  # fmt: skip
    for direction in c.DIRECTIONS:
        found |= dict.fromkeys(c.SCORES[direction].values(), "round(random() / 10, 3)")
        found |= {c.MAX_SCORE[direction]: "0.1", c.FLAGGED[direction]: "true" if notable else "false"}
    if notable:
        found[c.FLAGGED_CATEGORIES["input"]] = "[if(u % 2 = 0, 'hate', 'violence')]"
        found[c.BLOCK_TYPE] = "if(u % 5000 = 7, 'identifier_blocked', 'cyber_policy')"
        found[c.BLOCK_CLASS] = "'enforcement'"
    return {column_name(name): sql for name, sql in found.items()}


def make(folder: Path, events: int) -> None:
    """A year's column store of so many events, written without JSON."""
    database = duckdb.connect()
    database.execute("SET threads = 2; SET memory_limit = '1500MB'")
    database.execute(
        f"CREATE TABLE users AS SELECT i AS u, md5(i::VARCHAR) || md5((-i)::VARCHAR) AS who FROM range({USERS}) t(i)"
    )
    files = {}
    for day in range(DAYS):
        if not day % 30:
            _tell(f"day {day} of {DAYS}")
        start = END - (DAYS - day) * DAY
        name = time.strftime("%Y-%m-%d", time.gmtime(start))
        for stream, share in (("completed", 1 - NOTABLE), ("notable", NOTABLE)):
            rows = round(events / DAYS * share)
            values = {
                "time_ns": "time_ns", "event": f"'{c.CALL_EVENT}'", "severity": "'INFO'", "body": "'responses.create'",
                "trace_id": "md5(random()::VARCHAR)", "span_id": "left(md5(random()::VARCHAR), 16)",
                "service": "'chat'", "instance": "'a' || (u % 10)",
                **_columns(notable=stream == "notable"),
            }  # fmt: skip
            selected = ", ".join(
                f"({values.get(column.name, 'NULL')})::{column.sql} AS {column.name}" for column in COLUMNS
            )
            target = folder / STORE / f"stream={stream}" / f"day={name}" / f"made{SUFFIX}"
            target.parent.mkdir(parents=True)
            database.execute(
                "CREATE OR REPLACE TEMP TABLE narrow AS SELECT (random() ** 2 * $users)::BIGINT % $users AS u, "
                "$start::BIGINT * 1000000000 + (i * 86400e9 / $rows)::BIGINT AS time_ns FROM range($rows) t(i)",
                {"users": USERS, "start": start, "rows": rows},
            )
            database.execute(
                f"COPY (SELECT {selected} FROM (SELECT * FROM narrow JOIN users USING (u) ORDER BY who, time_ns)) "
                f"TO '{target}' ({FORMAT}, ROW_GROUP_SIZE 30_720)"
            )
            files[str(target.relative_to(folder / STORE))] = rows
    manifest = {"files": files, "sources": {}, "skipped": {}}
    (folder / STORE / MANIFEST).write_text(json.dumps(manifest))
    ColumnStore(folder).merge_months(END)


def subset(folder: Path, days: int) -> None:
    """Let the store's last days count, with the whole month of the first of them: a point of the curve."""
    root = folder / STORE
    found = {str(path.relative_to(root)): path for path in root.rglob("*.parquet")}
    with duckdb.connect() as database:
        rows = {
            name: database.execute(f"SELECT count(*) FROM read_parquet('{path}')").fetchall()[0][0]
            for name, path in found.items()
            if days_of(name)[1] >= moments.day(END - days * DAY)
        }
    (root / MANIFEST).write_text(json.dumps({"files": rows, "sources": {}, "skipped": {}}))


def _timed(ask: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    ask()
    return round(time.perf_counter() - begun, 3)


class _Watched(Events):
    """Events that note how long each question took."""

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        begun = time.perf_counter()
        found = super().rows(sql, **values)
        TOOK.append((round(time.perf_counter() - begun, 3), " ".join(sql.split())[:90]))
        return found


TOOK: list[tuple[float, str]] = []


def ask_once(folder: Path) -> dict[str, Any]:
    """Each question of report, queue and case once, in this process."""
    result: dict[str, Any] = {}
    begun = time.perf_counter()
    opened = open_files([folder], compact=False)
    events = _Watched(opened.database, opened.origin, opened.skipped, opened.held)
    result["open"] = round(time.perf_counter() - begun, 3)
    end = events.rows("SELECT max(time_ns) // 1000000000 + 1 AS at FROM events WHERE stream = 'notable'")[0][
        "at"
    ]
    week = Window(end - 7 * DAY, end)
    result["report"] = _timed(lambda: build_report(events, week))
    result["queue"] = _timed(
        lambda: events.rows(
            questions.WAITING, since=(end - 7 * DAY) * 10**9, since_day=moments.day(end - 7 * DAY)
        )
    )
    who = events.rows("SELECT user_hash AS who FROM events WHERE stream = 'notable' LIMIT 1")[0]["who"]
    result["case"] = _timed(lambda: open_case(events, who, Window(end - 400 * DAY, end)).happened(50))
    result["slowest"] = sorted(TOOK, reverse=True)[:8]
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    events.__exit__(None, None, None)
    return result


def ask(folder: Path) -> dict[str, Any]:
    """The questions with cold files, then with warm ones."""
    found: dict[str, Any] = {"events": sum(ColumnStore(folder).manifest().files.values())}
    size = sum((folder / STORE / name).stat().st_size for name in ColumnStore(folder).manifest().files)
    found |= {"gigabytes": round(size / 1e9, 2), "bytes_an_event": round(size / found["events"])}
    for path in (folder / STORE).rglob("*.parquet"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for state in ("cold", "warm"):
        command = [sys.executable, __file__, "ask-once", str(folder)]
        found[state] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found | {"load": round(os.getloadavg()[0], 1), "cpus": os.cpu_count()}


def compact(folder: Path, events: int) -> dict[str, Any]:
    """Make JSON in slices, compact each, remove it."""
    took = size = 0.0
    for number in range(0, events, _SLICE):
        size += make_json(folder, min(_SLICE, events - number))
        begun = time.perf_counter()
        compact_files([folder])
        took += time.perf_counter() - begun
        done = min(number + _SLICE, events)
        _tell(f"{done:,}: {done / took:,.0f} a second")
        for path in folder.glob("*.jsonl"):
            path.unlink()
    columns = sum(path.stat().st_size for path in (folder / STORE).rglob("*.parquet"))
    return {
        "events": events, "json_gigabytes": round(size / 1e9, 2), "columns_gigabytes": round(columns / 1e9, 2),
        "seconds": round(took, 1), "events_a_second": round(events / took), "load": round(os.getloadavg()[0], 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


def everything(folder: Path, events: int, json_events: int) -> None:
    """The curve from a hundredth of the events to all of them, and what compaction takes; all files go at the end."""
    _tell(f"writing {events:,} events as Parquet")
    make(folder, events)
    curve = []
    for days in sorted({max(DAYS * share // 100, 1) for share in (1, 10, 26, 50, 100)}):
        subset(folder, days)
        curve.append(ask(folder))
        _tell(json.dumps(curve[-1]))
    shutil.rmtree(folder / STORE)
    _tell(f"compacting {json_events:,} events of JSON, in slices")
    command = [sys.executable, __file__, "compact", str(folder), str(json_events)]
    compacted = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    shutil.rmtree(folder / STORE)
    found = {"curve": curve, "compaction": compacted}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    _tell(f"written: {RESULTS}")


def _tell(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def main() -> None:
    """Do what the first argument says."""
    what, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    if what == "make":
        shutil.rmtree(folder / STORE, ignore_errors=True)
        make(folder, int(sys.argv[3]))
    elif what == "all":
        everything(folder, *map(int, (*sys.argv[3:5], *("100000000", "10000000")[len(sys.argv[3:5]) :])))
    else:
        ways = {"ask": ask, "ask-once": ask_once, "compact": lambda place: compact(place, int(sys.argv[3]))}
        ways["subset"] = lambda place: subset(place, int(sys.argv[3]))
        print(json.dumps(ways[what](folder), indent=2))


if __name__ == "__main__":
    main()
