from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.report.activity import Report
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.store import writing
from openai_safety_otel.operations.store.columns import MANIFEST, STORE, ColumnStore
from openai_safety_otel.operations.store.files import compact_files, open_files
from openai_safety_otel.operations.store.shared import objects, share
from store.test_columns import parquet, read
from support.events import ANN, BOB, DAY, EVE, NOON, blocked, call, decision, flagged, write

AUGUST = NOON - 40 * DAY  # 2026-08-20
OVER = NOON + 7 * DAY  # 2026-10-06: August is over for 35 days
EVENTS = [
    call(BOB, AUGUST),
    call(ANN, AUGUST + 1),
    call(ANN, AUGUST + DAY, RESPONSE_ID="resp_1"),
    call(EVE, AUGUST - DAY),
    blocked(ANN, AUGUST + 2, "cyber_policy"),
    flagged(BOB, AUGUST + DAY, "hate", 0.9),
    decision(BOB, "watch", AUGUST),
    call(ANN, NOON),
    blocked(BOB, NOON - DAY, "identifier_blocked"),
]
AFTERWARDS = [
    "stream=completed/day=2026-09-29",
    "stream=completed/month=2026-08",
    "stream=decision/day=2026-08-20",
    "stream=notable/day=2026-09-28",
    "stream=notable/month=2026-08",
]


def days(folder: Path) -> ColumnStore:
    """A store by day."""
    write(folder, EVENTS)
    compact_files([folder])
    for path in folder.glob("*.jsonl"):
        path.unlink()
    return ColumnStore(folder)


def months(folder: Path) -> ColumnStore:
    """The same with a month."""
    store = days(folder)
    assert store.merge_months(OVER) == 2
    return store


def reports(folder: Path) -> list[Report]:
    """What reports say of a time within the month, across its end, and of all of it."""
    windows = [Window(AUGUST, AUGUST + 3600), Window(AUGUST + 3600, NOON), Window(0, NOON + 1)]
    with open_files([folder], compact=False) as events:
        found = [build_report(events, window) for window in windows]
    for activity in (one for report in found for one in report.activities):
        if activity.decision:  # its id is made when it is read from an event
            activity.decision = replace(activity.decision, id="")
    return found


def test_the_days_of_a_month_that_is_over_become_one_file(tmp_path: Path) -> None:
    """A stream's days are one file once their month is over for 35 days; every answer stays what it was."""
    store = days(tmp_path)
    rows, answers = read(tmp_path), reports(tmp_path)
    by_day = parquet(tmp_path)
    assert store.merge_months(OVER - DAY) == 0
    assert parquet(tmp_path) == by_day
    assert store.merge_months(OVER) == 2
    assert parquet(tmp_path) == AFTERWARDS
    assert read(tmp_path) == rows
    assert reports(tmp_path) == answers
    assert store.merge_months(OVER) == 0


def test_a_month_is_sorted_by_person(tmp_path: Path) -> None:
    """All that one person did in a month stands together, in the order of time."""
    months(tmp_path)
    (file,) = (tmp_path / STORE).glob("stream=completed/month=*/*")
    with duckdb.connect() as database:
        order = database.execute(f"SELECT user_hash, time_ns FROM read_parquet('{file}')").fetchall()
    assert order == sorted(order)
    assert len(order) == 4


def test_a_large_month_is_in_parts_by_end_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No end user is in two of them, nor is who is in none; who is erased touches theirs alone."""
    monkeypatch.setattr(writing, "_ROWS_OF_A_PART", 2)
    write(
        tmp_path, [call(None, AUGUST + 3, IDENTIFIER_DELIVERY="none"), call(None, AUGUST - DAY)], "more.jsonl"
    )
    store = days(tmp_path)
    rows = read(tmp_path)
    assert store.merge_months(OVER) == 2
    assert read(tmp_path) == rows
    assert store.merge_months(OVER) == 0
    parts = {path: _people(path) for path in (tmp_path / STORE).glob("stream=completed/month=*/*")}
    assert sorted(parts.values(), key=repr) == [[ANN, ANN], [BOB, EVE], [None, None]]
    store.erase(f"user_hash = '{EVE}'")
    left = {path: _people(path) for path in (tmp_path / STORE).glob("stream=completed/month=*/*")}
    assert sorted(left.values(), key=repr) == [[ANN, ANN], [BOB], [None, None]]
    assert len(left.keys() & parts.keys()) == 2


def _people(path: Path) -> list[str | None]:
    with duckdb.connect() as database:
        found = database.execute(f"SELECT user_hash FROM read_parquet('{path}') ORDER BY 1").fetchall()
    return [who for (who,) in found]


def test_an_event_of_a_month_that_comes_late_or_again_counts_once(tmp_path: Path) -> None:
    """It gets a file of its day, without what the month holds already, and is in the month when that is made again."""
    store = months(tmp_path)
    rows = read(tmp_path)
    late = call(EVE, AUGUST + 5)
    write(tmp_path, [EVENTS[0], late, EVENTS[2]])
    assert len(read(tmp_path)) == len(rows) + 1
    compact_files([tmp_path])
    assert parquet(tmp_path) == sorted([*AFTERWARDS, "stream=completed/day=2026-08-20"])
    assert len(found := read(tmp_path)) == len(rows) + 1
    assert store.merge_months(OVER) == 1
    assert parquet(tmp_path) == AFTERWARDS
    assert read(tmp_path) == found


def test_a_large_month_is_not_written_again_for_a_few_events(tmp_path: Path) -> None:
    """A day of one late event stays beside a month that is more than four times larger."""
    store = months(tmp_path)
    write(tmp_path, [call(ANN, AUGUST + number) for number in range(10, 20)])
    compact_files([tmp_path])
    assert store.merge_months(OVER) == 1
    write(tmp_path, [call(EVE, AUGUST + 5)], "late.jsonl")
    compact_files([tmp_path])
    assert store.merge_months(OVER) == 0
    assert parquet(tmp_path) == sorted([*AFTERWARDS, "stream=completed/day=2026-08-20"])


def test_a_month_lets_its_days_go_one_by_one(tmp_path: Path) -> None:
    """Retention is by day in a month, too: exactly what is over goes, and the whole file with its last day."""
    store = months(tmp_path)
    before = read(tmp_path)
    for day, gone in (("2026-08-19", 0), ("2026-08-20", 1), ("2026-08-21", 2), ("2026-08-22", 1)):
        kept = {"completed": (OVER - AUGUST) / DAY + 20 - int(day[-2:]), "notable": 999.0, "decision": 999.0}
        assert store.expire(kept, OVER) == gone
        expected = [row for row in before if row["stream"] != "completed" or row["day"] >= day]
        assert read(tmp_path) == expected
    assert parquet(tmp_path) == [name for name in AFTERWARDS if name != "stream=completed/month=2026-08"]


def test_erasing_writes_only_the_months_that_hold_the_person(tmp_path: Path) -> None:
    """Who is in one month alone is gone from it; no other file is touched."""
    store = months(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / STORE).rglob("*.parquet")}
    expected = [row for row in read(tmp_path) if row["user_hash"] != EVE]
    assert store.erase(f"user_hash = '{EVE}'") == {c.CALL_EVENT: 1}
    assert read(tmp_path) == expected
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / STORE).rglob("*.parquet")}
    assert len(after.items() & before.items()) == len(before) - 1
    assert parquet(tmp_path) == AFTERWARDS
    assert all(EVE.encode() not in path.read_bytes() for path in after)


def test_days_of_another_version_become_a_month(tmp_path: Path) -> None:
    """Yesterday's files, by day and with other columns, are read and merged as today's."""
    store = days(tmp_path)
    rows, root = read(tmp_path), tmp_path / STORE
    manifest = json.loads((root / MANIFEST).read_text())
    for path in list(root.glob("stream=*/day=2026-08-20/*.parquet")):
        old = path.with_name("old.000000000000.parquet")
        with duckdb.connect() as database:
            shown = f"SELECT * EXCLUDE (openai_safety_retries), 7 AS gone FROM read_parquet('{path}')"
            database.execute(f"COPY ({shown}) TO '{old}' (FORMAT parquet)")
        path.unlink()
        manifest["files"][str(old.relative_to(root))] = manifest["files"].pop(str(path.relative_to(root)))
    (root / MANIFEST).write_text(json.dumps(manifest))
    assert read(tmp_path) == rows
    assert store.merge_months(OVER) == 2
    assert read(tmp_path) == rows


KILLED = """
import json, os, signal, sys
from pathlib import Path
from openai_safety_otel.operations.store import writing
from openai_safety_otel.operations.store.columns import ColumnStore
steps = iter(range(10**6))
def step(word):
    if next(steps) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
store = ColumnStore(Path(sys.argv[1]), step)
store.merge_months(float(sys.argv[3]))
store.expire(json.loads(sys.argv[4]), float(sys.argv[3]))
"""
KEPT = {"completed": 46.0, "notable": 999.0, "decision": 999.0}


@pytest.mark.timeout(600)
def test_a_killed_merge_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    """Killed before any step of merging and letting go: each event counts once, before the next run and after it."""
    days(tmp_path / "first")
    whole = read(tmp_path / "first")
    rest = [row for row in whole if row["stream"] != "completed" or row["day"] > "2026-08-20"]
    second = tmp_path / "second"
    for killed_at in range(100):
        shutil.rmtree(second, ignore_errors=True)
        shutil.copytree(tmp_path / "first", second)
        command = [sys.executable, "-c", KILLED, str(second)]
        done = subprocess.run([*command, str(killed_at), str(OVER), json.dumps(KEPT)], check=False)
        assert read(second) in (whole, rest)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        again = ColumnStore(second)
        again.merge_months(OVER)
        again.expire(KEPT, OVER)
        assert read(second) == rest
        assert parquet(second) == AFTERWARDS
    assert killed_at == 18  # three times a Parquet file of three steps, the manifest of two, and tidying


def test_compact_makes_months_and_shares_them(tmp_path: Path) -> None:
    """`compact --to` puts the month where its days were; who reads in between sees each event once."""
    pytest.importorskip("fsspec", reason="make test-columns installs it")
    prefix = tmp_path / "shared"
    store = days(tmp_path / "here")
    share(store, str(prefix), "host")
    rows = _shared(prefix)
    assert len(rows) == len(EVENTS)
    by_day = {path: path.read_bytes() for path in map(Path, objects(prefix))}
    done = CliRunner().invoke(
        app,
        ["compact", "--files", str(store.folder), "--to", str(prefix), "--host", "host"]
        + [part for stream in ("completed", "notable", "decision") for part in ("--keep", f"{stream}=99999")],
    )
    assert done.exit_code == 0, done.output
    merged = sorted(str(Path(name).parent.relative_to(prefix)) for name in objects(prefix))
    assert merged == parquet(store.folder)
    assert "stream=completed/month=2026-08" in merged
    assert _shared(prefix) == rows
    for path, content in by_day.items():  # as if the days were still to be removed
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert _shared(prefix) == rows


def test_a_killed_sharing_is_finished_by_the_next(tmp_path: Path) -> None:
    """What a run wrote that did not come to its end goes when the store has it no more."""
    pytest.importorskip("fsspec", reason="make test-columns installs it")
    prefix, store = tmp_path / "shared", days(tmp_path / "here")
    killed = (
        "import os, sys; from pathlib import Path; from openai_safety_otel.operations.store import shared\n"
        "replace = shared._replace\n"
        "def once(*given): replace(*given); os._exit(9)\n"
        "shared._replace = once\n"
        "shared.share(shared.ColumnStore(Path(sys.argv[1])), sys.argv[2], 'host')"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(store.folder), str(prefix)], check=False)
    assert (done.returncode, len(objects(prefix))) == (9, 1)
    store.erase("true")
    share(store, str(prefix), "host")
    assert objects(prefix) == []


def _shared(prefix: Path) -> list[dict[str, object]]:
    with open_files([prefix]) as events:
        return events.rows("SELECT * EXCLUDE (name) FROM events ORDER BY time_ns, event, user_hash")
