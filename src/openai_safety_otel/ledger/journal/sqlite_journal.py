"""The journal in one SQLite file: several threads and processes of one host."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from openai_safety_otel.ledger.journal import chain
from openai_safety_otel.ledger.journal.chain import Link
from openai_safety_otel.ledger.journal.entries import (
    REOPENED,
    Decision,
    JournalError,
    Notice,
    closing,
    from_mapping,
    to_json,
)
from openai_safety_otel.ledger.journal.erasure import erased_fields, erasure

BUSY_SECONDS = 10.0
_AGAIN_SECONDS = 0.02
DELIVERY_DAYS = 30  # ten times as long as the provider retries
_SCHEMA = """
CREATE TABLE IF NOT EXISTS notices (key TEXT PRIMARY KEY, received_at INTEGER NOT NULL,
  status TEXT NOT NULL, next_at REAL, identifier TEXT, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notices_due ON notices (next_at) WHERE next_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS deliveries (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chain (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,
  identifier TEXT NOT NULL, commitment TEXT NOT NULL, digest TEXT NOT NULL, salt TEXT, body TEXT);
CREATE INDEX IF NOT EXISTS chain_identifier ON chain (identifier);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class SqliteJournal:
    """A journal in the file ``path``, created with mode 0600.

    Args:
        path: the file.
        to_read: only be read: a disk that is full, or not ours to write on, is none the worse then.

    Raises:
        JournalError: the file cannot be opened or is not a journal.
    """

    def __init__(self, path: str | os.PathLike[str], *, to_read: bool = False) -> None:
        self._path = Path(path)
        self._to_read = to_read
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._abandoned: list[sqlite3.Connection] = []
        if to_read:
            self.links()
            return
        with self._transaction() as db:
            db.execute("DELETE FROM deliveries WHERE at < ?", (int(time.time()) - DELIVERY_DAYS * 86_400,))

    def add_notice(self, notice: Notice, *, delivery: str | None = None) -> bool:
        """Store a new notice; False if the delivery id was seen before or the notice is known already."""
        if delivery is not None and self._knows(delivery):
            return False  # the usual duplicate costs no write
        with self._transaction() as db:
            if delivery is not None and not _first_delivery(db, delivery):
                return False
            new = db.execute(
                "INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?, ?)", (notice.key, *_row(notice))
            )
            if new.rowcount == 1:
                _append(db, "notice", "", chain.received(notice))
            return new.rowcount == 1

    def seen(self, delivery: str) -> bool:
        """Record a delivery id that makes no notice; True if it was seen before."""
        if self._knows(delivery):
            return True
        with self._transaction() as db:
            return not _first_delivery(db, delivery)

    def notice(self, key: str) -> Notice | None:
        """One notice by its key."""
        found = self._notices("WHERE key = ?", key)
        return found[0] if found else None

    def notices(self, *, open_only: bool = False) -> list[Notice]:
        """All notices, oldest received first."""
        return self._notices("WHERE status = 'open'" if open_only else "")

    def update_notice(self, key: str, **changes: Any) -> Notice | None:
        """Change these fields and no others; returns the notice as it is now, None if it does not exist."""
        return self.revise_notice(key, lambda _: changes)

    def revise_notice(self, key: str, changes: Callable[[Notice], Mapping[str, Any]]) -> Notice | None:
        """Change the fields that a function names when it sees the notice as stored."""
        with self._transaction() as db:
            return _change(db, key, changes)

    def close_notice(self, key: str, *, by: str, why: str, at: int) -> Notice | None:
        """Close an open notice; None if it does not exist or is closed already."""
        return self._turned(key, "open", chain.closed(key, by=by, why=why, at=at), closing(by, why, at))

    def reopen_notice(self, key: str, *, by: str, why: str, at: int) -> Notice | None:
        """Open a notice that was closed by mistake again; None if it does not exist or is open."""
        return self._turned(key, "closed", chain.reopened(key, by=by, why=why, at=at), REOPENED)

    def _turned(self, key: str, before: str, body: str, changes: dict[str, Any]) -> Notice | None:
        with self._transaction() as db:
            row = db.execute("SELECT status, identifier FROM notices WHERE key = ?", (key,)).fetchone()
            if row is None or row[0] != before:
                return None
            _append(db, "notice", row[1] or "", body)
            return _change(db, key, lambda _: changes)

    def due(self, now: float) -> list[Notice]:
        """Notices whose next step is due."""
        return self._notices("WHERE next_at IS NOT NULL AND next_at <= ?", now)

    def claim(self, key: str, *, now: float, until: float) -> bool:
        """Take a due notice's next step for this process alone; it is due again at ``until``."""
        with self._transaction() as db:
            due = db.execute("SELECT 1 FROM notices WHERE key = ? AND next_at <= ?", (key, now)).fetchone()
            return due is not None and _change(db, key, lambda _: {"next_at": until}) is not None

    def append_decision(self, decision: Decision) -> str:
        """Add a line to the audit trail; returns the head of the hash chain, which is the entry's digest."""
        with self._transaction() as db:
            return _append(db, "decision", decision.identifier, to_json(decision))

    def decisions(self, identifier: str | None = None) -> list[Decision]:
        """Decisions in the order they were made, of everybody or of one identifier."""
        where, values = ("", ()) if identifier is None else ("AND identifier = ?", (identifier,))
        with self._reading() as db:
            rows = db.execute(
                f"SELECT body FROM chain WHERE kind = 'decision' AND body NOT NULL {where} ORDER BY seq",  # noqa: S608 - our own text
                values,
            ).fetchall()
        return [from_mapping(Decision, json.loads(row[0])) for row in rows]

    def links(self) -> list[Link]:
        """The hash chain of notices and decisions, oldest first."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT kind, identifier, commitment, digest, salt, body FROM chain ORDER BY seq"
            ).fetchall()
        return [Link(*row) for row in rows]

    def fact(self, name: str) -> str | None:
        """A small named fact, e.g. the date of the last drill."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Set a small named fact."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def erase(self, identifier: str) -> int:
        """Remove an identifier from notices and decisions; returns how many entries changed."""
        with self._transaction() as db:
            keys = db.execute("SELECT key FROM notices WHERE identifier = ?", (identifier,)).fetchall()
            for (key,) in keys:
                _change(db, key, erased_fields)
            rows = db.execute(
                "SELECT seq, kind, identifier, commitment, digest, salt, body FROM chain "
                "WHERE identifier = ? ORDER BY seq",
                (identifier,),
            ).fetchall()
            goes, new = erasure([Link(*row[1:]) for row in rows], identifier)
            db.executemany(
                "UPDATE chain SET identifier = '', salt = NULL, body = NULL WHERE seq = ?",
                [rows[at][:1] for at in goes],
            )
            if new is not None:
                _append(db, "decision", new.identifier, to_json(new))
        return len(keys) + len(goes)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def _knows(self, delivery: str) -> bool:
        with self._reading() as db:
            return db.execute("SELECT 1 FROM deliveries WHERE id = ?", (delivery,)).fetchone() is not None

    def _notices(self, where: str, *values: Any) -> list[Notice]:
        with self._reading() as db:
            rows = db.execute(
                f"SELECT body FROM notices {where} ORDER BY received_at, key",  # noqa: S608 - our own text
                values,
            ).fetchall()
        return [from_mapping(Notice, json.loads(row[0])) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._open()
        except (sqlite3.Error, OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise JournalError(f"{self._path}: {reason}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a failed commit (full disk) may have rolled back by itself
                    db.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._pid != os.getpid():
            self._abandoned.append(self._connection)  # after a fork: the parent's, not to be used nor closed
            self._connection = None
        if self._connection is None:
            self._connection = (_connect_to_read if self._to_read else _connect)(self._path)
            self._pid = os.getpid()
        return self._connection


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _write_ahead(db)
        db.execute("PRAGMA synchronous=FULL")  # a commit is on the disk before it returns
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """As others connect; where nothing can be written, the file as it stands, if all that was entered is in it."""
    try:
        return _connect(path)
    except (sqlite3.Error, OSError):
        log = Path(f"{path}-wal")
        if not path.is_file() or (log.exists() and log.stat().st_size):
            raise  # SQLite cannot read this log without a file beside it
        return sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False)


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log; SQLite does not wait here for others that open the file at the same time."""
    until = time.monotonic() + BUSY_SECONDS
    while (error := _switched(db)) is not None:
        if time.monotonic() > until:
            raise error
        time.sleep(_AGAIN_SECONDS)


def _switched(db: sqlite3.Connection) -> sqlite3.OperationalError | None:
    try:
        db.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return error
    return None


def _first_delivery(db: sqlite3.Connection, delivery: str) -> bool:
    row = (delivery, int(time.time()))
    return db.execute("INSERT OR IGNORE INTO deliveries VALUES (?, ?)", row).rowcount == 1


def _row(notice: Notice) -> tuple[Any, ...]:
    return (notice.received_at, notice.status, notice.next_at, notice.identifier, to_json(notice))


def _change(
    db: sqlite3.Connection, key: str, changes: Callable[[Notice], Mapping[str, Any]]
) -> Notice | None:
    row = db.execute("SELECT body FROM notices WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    notice = from_mapping(Notice, json.loads(row[0]))
    notice = replace(notice, **changes(notice))
    db.execute(
        "UPDATE notices SET received_at = ?, status = ?, next_at = ?, identifier = ?, body = ? WHERE key = ?",
        (*_row(notice), key),
    )
    return notice


def _append(db: sqlite3.Connection, kind: chain.LinkKind, identifier: str, body: str) -> str:
    """Add an entry to the chain, within a transaction that holds the file; returns its digest."""
    row = db.execute("SELECT digest FROM chain ORDER BY seq DESC LIMIT 1").fetchone()
    link = chain.linked(row[0] if row else chain.START, kind, identifier, body)
    db.execute(
        "INSERT INTO chain (kind, identifier, commitment, digest, salt, body) VALUES (?, ?, ?, ?, ?, ?)",
        astuple(link),
    )
    return link.digest
