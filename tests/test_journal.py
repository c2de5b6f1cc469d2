"""The journal: what is written stays, once, for everybody; the same on SQLite and on Redis."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.ledger.journal import (
    Decision,
    Journal,
    JournalError,
    Notice,
    notice_key,
    open_journal,
    sqlite_journal,
)
from openai_safety_otel.ledger.journal.sqlite_journal import SqliteJournal

NOTICE = Notice(
    key=notice_key("warning", "C-1"),
    id="C-1",
    type="warning",
    received_at=1_000,
    recorded_at=1_001,
    deadline_at=605_800,
    identifier="a" * 64,
    reason="cyber_abuse",
    request_id="req_1",
    pending={"emit": [0, 50.5]},
    next_at=50.5,
)


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is: the value of the setting ``store``."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    return str(tmp_path / "journal.db")


@pytest.fixture
def journal(place: str) -> Iterator[Journal]:
    opened = open_journal(place)
    yield opened
    opened.close()


def _notice(number: int) -> Notice:
    return replace(NOTICE, key=f"warning:C-{number}", id=f"C-{number}", received_at=1_000 - number)


def test_notice_comes_back_equal_from_a_new_process(place: str, journal: Journal) -> None:
    """Every field of a notice is stored: another connection reads back an equal one."""
    assert journal.add_notice(NOTICE, delivery="wh_1")
    again = open_journal(place)
    assert again.notice(NOTICE.key) == NOTICE
    assert again.notices() == [NOTICE]
    again.close()


def test_same_delivery_or_same_case_is_one_notice(journal: Journal) -> None:
    """A repeated webhook id and a repeated case are both duplicates; the first notice stays as it was."""
    other = replace(NOTICE, reason="other")
    answers = [
        journal.add_notice(NOTICE, delivery="wh_1"),
        journal.add_notice(_notice(2), delivery="wh_1"),
        journal.add_notice(other, delivery="wh_2"),
        journal.add_notice(other),
        journal.add_notice(_notice(2), delivery="wh_3"),
    ]
    assert answers == [True, False, False, False, True]
    assert journal.notices() == [_notice(2), NOTICE]


def test_a_deactivation_of_a_warned_case_is_a_notice_of_its_own(journal: Journal) -> None:
    """The same case id under a graver type is not swallowed as a duplicate."""
    graver = replace(NOTICE, key=notice_key("deactivation", "C-1"), type="deactivation", received_at=2_000)
    assert [journal.add_notice(NOTICE), journal.add_notice(graver)] == [True, True]
    assert journal.notices() == [NOTICE, graver]


def test_seen_remembers_deliveries_that_make_no_notice(place: str, journal: Journal) -> None:
    """A delivery id is new once, for every process."""
    again = open_journal(place)
    assert [journal.seen("wh_9"), again.seen("wh_9"), journal.seen("wh_10")] == [False, True, False]
    assert not again.add_notice(NOTICE, delivery="wh_9")
    again.close()


def test_update_changes_only_what_it_names(journal: Journal) -> None:
    """Fields set by one process survive another's update of other fields; unknown keys change nothing."""
    journal.add_notice(NOTICE)
    journal.update_notice(NOTICE.key, status="closed", closed_by="ann")
    changed = journal.update_notice(NOTICE.key, identifier=None, pending={}, next_at=None)
    expected = replace(NOTICE, status="closed", closed_by="ann", identifier=None, pending={}, next_at=None)
    assert changed == expected
    assert journal.notice(NOTICE.key) == expected
    assert journal.update_notice("warning:C-none", status="closed") is None


def test_closing_is_done_once(journal: Journal) -> None:
    """The first close wins and the notice leaves the open ones."""
    journal.add_notice(NOTICE)
    closed = journal.close_notice(NOTICE.key, by="ann", why="answered", at=5_000)
    assert closed == replace(NOTICE, status="closed", closed_by="ann", closed_why="answered", closed_at=5_000)
    assert journal.close_notice(NOTICE.key, by="bob", why="again", at=6_000) is None
    assert journal.close_notice("warning:C-none", by="bob", why="again", at=6_000) is None
    assert journal.notices(open_only=True) == []
    assert journal.notices() == [closed]


def test_a_due_notice_is_taken_by_one_process(place: str, journal: Journal) -> None:
    """Of many that claim a due notice one gets it, and it is due again when its lease is over."""
    journal.add_notice(NOTICE)
    assert journal.due(50.0) == []
    assert journal.due(51.0) == [NOTICE]
    others = [open_journal(place) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda j: j.claim(NOTICE.key, now=51.0, until=99.0), others))
    assert sorted(claims) == [False] * 7 + [True]
    assert journal.due(98.0) == []
    assert journal.due(99.0) == [replace(NOTICE, next_at=99.0)]
    journal.update_notice(NOTICE.key, next_at=None)
    assert journal.due(1e12) == []
    assert not journal.claim(NOTICE.key, now=1e12, until=2e12)
    for other in others:
        other.close()


_ADD_MANY = """
import sys
import threading
sys.path.insert(0, {tests!r})
from test_journal import _notice, open_journal
journal = open_journal({place!r})
print(sum(journal.add_notice(_notice(n), delivery=f"wh_{{n}}-{part}") for n in range(100)))
"""


def test_opening_waits_for_others_that_open() -> None:
    """SQLite answers "locked" at once where two switch a new file's log together: the switch is tried again."""

    class Busy:
        asked = 0

        def execute(self, text: str) -> None:
            assert "PRAGMA journal_mode=WAL" == text
            self.asked += 1
            if self.asked < 3:
                raise sqlite3.OperationalError("database is locked")

    busy: Any = Busy()
    sqlite_journal._write_ahead(busy)
    assert 3 == busy.asked


def test_processes_share_one_journal(place: str) -> None:
    """Four processes that race to add the same hundred notices add each of them exactly once."""
    tests = str(Path(__file__).parent)
    codes = [_ADD_MANY.format(tests=tests, place=place, part=part) for part in range(4)]
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for code in codes]
    added = [int(process.communicate(timeout=60)[0]) for process in running]
    opened = open_journal(place)
    assert sum(added) == 100
    assert [notice.id for notice in opened.notices()] == [f"C-{n}" for n in reversed(range(100))]
    opened.close()


def test_decisions_keep_their_order(journal: Journal) -> None:
    """Decisions come back equal and in the order made, of all or of one identifier."""
    first = Decision(identifier="a", action="suspend", by="ann", why="x", at=1.5, until=9.25)
    second = Decision(identifier="b", action="watch", by="bob", why="ü", at=2.0, details={"n": [1]})
    third = Decision(identifier="a", action="clear", by="ann", why="y", at=3.0)
    for decision in (first, second, third):
        journal.append_decision(decision)
    assert journal.decisions() == [first, second, third]
    assert journal.decisions("a") == [first, third]
    assert journal.decisions("c") == []


def test_facts_are_replaced(journal: Journal) -> None:
    """A fact holds its last value; one never set is None."""
    assert journal.fact("last_drill") is None
    journal.set_fact("last_drill", "2026-11-20")
    journal.set_fact("last_drill", "2026-11-21")
    assert journal.fact("last_drill") == "2026-11-21"


def test_erasing_keeps_a_suspension_by_identifier_only(journal: Journal) -> None:
    """Erased: the identifier in notices, the reasons in decisions; kept: that this identifier is refused."""
    mine, other = NOTICE.identifier or "", Decision(identifier="b", action="watch", by="b", why="w", at=1.0)
    watch = Decision(identifier=mine, action="watch", by="ann", why="user 42", at=1.0)
    revoke = Decision(
        identifier=mine, action="revoke", by="ann", why="user 42 again", at=2.0, details={"x": 1}
    )
    journal.add_notice(replace(NOTICE, closed_why="user 42 left"))
    for decision in (watch, other, revoke):
        journal.append_decision(decision)
    assert journal.erase(mine) == 3
    assert journal.notices() == [replace(NOTICE, identifier=None, request_id=None)]
    assert journal.decisions() == [other, replace(revoke, why="erased", details={})]
    assert journal.erase("nobody") == 0


def test_erasing_again_changes_nothing(journal: Journal) -> None:
    """What an erasure leaves, the bare suspension and the line that says who erased, outlasts the next one."""
    suspended = Decision(identifier="a", action="suspend", by="ann", why="x", at=1.0, details={"x": 1})
    erased = Decision(identifier="a", action="erase", by="bob", why="request 81", at=2.0)
    journal.append_decision(suspended)
    assert journal.erase("a") == 1
    journal.append_decision(erased)
    chain = journal.links()
    assert (journal.erase("a"), journal.links()) == (0, chain)
    journal.append_decision(Decision(identifier="a", action="watch", by="ann", why="y", at=3.0))
    assert journal.erase("a") == 1
    assert journal.decisions("a") == [replace(suspended, why="erased", details={}), erased]


def test_erasing_a_cleared_person_keeps_nothing(journal: Journal) -> None:
    """A suspension that was lifted leaves no line behind."""
    for at, action in enumerate(("suspend", "clear")):
        journal.append_decision(Decision(identifier="a", action=action, by="ann", why="x", at=at))  # type: ignore[arg-type]
    assert journal.erase("a") == 2
    assert journal.decisions() == []


_WRITE_AND_DIE = """
import os, signal, sys
from contextlib import closing
from dataclasses import replace
sys.path.insert(0, {tests!r})
from test_journal import NOTICE, open_journal
journal = open_journal({place!r})
print(journal.add_notice(NOTICE, delivery="wh_1"), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_added_survives_kill_9(place: str) -> None:
    """A notice whose add returned is there after the process was killed in the next instant."""
    code = _WRITE_AND_DIE.format(tests=str(Path(__file__).parent), place=place)
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, b"True\n"), died.stderr
    opened = open_journal(place)
    assert opened.notices() == [NOTICE]
    assert not opened.add_notice(NOTICE, delivery="wh_1")
    opened.close()


def test_sqlite_file_is_for_its_owner_and_synchronous(tmp_path: Path) -> None:
    """The file and its log have mode 0600 under any umask, and commits are synchronous."""
    previous = os.umask(0)
    try:
        journal = open_journal(str(tmp_path / "journal.db"))
        journal.add_notice(NOTICE)
    finally:
        os.umask(previous)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}
    connection = journal._open()  # type: ignore[attr-defined]
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close()


def test_a_full_disk_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    """A write that does not fit is an error, not a silent loss; the store works on once there is room."""
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.add_notice(NOTICE, delivery="wh_1")
    pages = journal._open().execute("PRAGMA page_count").fetchone()[0]
    journal._open().execute(f"PRAGMA max_page_count={pages}")
    big = replace(_notice(2), reason="x" * 50_000)
    with pytest.raises(JournalError, match="database or disk is full"):
        journal.add_notice(big, delivery="wh_2")
    assert journal.notices() == [NOTICE]
    journal._open().execute(f"PRAGMA max_page_count={pages * 100}")
    assert journal.add_notice(big, delivery="wh_2")
    assert journal.notices() == [big, NOTICE]
    journal.close()


def test_redis_says_whether_it_keeps_a_file(redis_url: str) -> None:
    """A server with an append-only file is told from one without."""
    import redis

    journal = open_journal(redis_url)
    assert journal.is_durable() is True  # type: ignore[attr-defined]
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("appendonly", "no")
        assert journal.is_durable() is False  # type: ignore[attr-defined]
        client.config_set("appendonly", "yes")
    journal.close()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("redis://:hunter2@127.0.0.1:1/0", "redis://***@127.0.0.1:1/0: "),
        ("redis://127.0.0.1:port", "redis://127.0.0.1:port: "),
        ("/nowhere/at/all.db", "/nowhere/at/all.db: "),
        (__file__, f"{__file__}: file is not a database"),
    ],
)
def test_an_unusable_store_is_one_clear_line(place: str, text: str) -> None:
    """Whatever is wrong with the store, the error is one line that names it and shows no password."""
    with pytest.raises(JournalError) as caught:
        open_journal(place)
    message = str(caught.value)
    assert message.startswith(text)
    assert "\n" not in message
    assert "hunter2" not in message
