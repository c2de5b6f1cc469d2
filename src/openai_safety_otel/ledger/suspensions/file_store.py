"""The list in a JSON file: read again when the file changes, written by replacing it in one step."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from openai_safety_otel.contract.replacing import replacing
from openai_safety_otel.ledger.suspensions import document
from openai_safety_otel.ledger.suspensions.entry import ListEntry, Row, active
from openai_safety_otel.ledger.suspensions.store import Holders, Unreadable, Update, missing

# A process that was not heard of for so many seconds is taken for ended: three missed heartbeats.
SILENT_SECONDS = 16.0
WAIT_SECONDS = 1.0  # for another writer
_SAFE_NAME = re.compile(r"[^A-Za-z0-9_.-]")


class FileStore:
    """The list at ``path``.

    Beside it stand ``PATH.lock`` (writers take turns), ``PATH.holders/`` (one small file for each process
    that follows the list) and, with automatic entries by number, ``PATH.blocks``.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp: tuple[int, int, int] | None = None
        self._malformed = ""
        self._blocks: dict[bytes, document.EntryBlock] = {}

    def poll(self) -> Update | None:
        """The change since the last poll; a malformed file raises, and is tried again when it changes."""
        with _readable(self._path):
            stamp = self._stamped()
            if stamp == self._stamp:
                if self._malformed:
                    raise Unreadable("malformed", self._malformed)
                return None
            data = self._path.read_bytes()
        self._stamp, self._malformed = stamp, ""
        try:
            read = document.parse(data, self._blocks)
        except document.MalformedError as error:
            self._malformed = f"{self._path}: {error}"
            raise Unreadable("malformed", self._malformed) from None
        return self._difference(read)

    def _difference(self, read: document.Document) -> Update:
        """What is new, from the blocks that are new; the whole list where that is not much less."""
        old, self._blocks = self._blocks, read.blocks
        fresh = [block for key, block in read.blocks.items() if key not in old]
        gone = [block for key, block in old.items() if key not in read.blocks]
        skipped = sum(len(block.skipped) for block in fresh)
        if len(fresh) + len(gone) > len(old):
            return Update(read.version, read.rows(), skipped=skipped)
        rows: dict[str, Row] = {}
        for block in fresh:
            rows.update(block.rows)
        # An identifier that stands twice in a hand-written file may still be in a block that did not change.
        lost = {name for block in gone for name in block.rows if name not in rows}
        lost -= {name for name in lost if any(name in block.rows for block in read.blocks.values())}
        return Update(read.version, rows, tuple(lost), whole=False, skipped=skipped)

    def _stamped(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def create(self, entries: Mapping[str, ListEntry]) -> int | None:
        """Create the file, and its folder; None where it is there already, whatever it holds."""
        with _readable(self._path):
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with file_lock(self._beside("lock")):
                if os.path.lexists(self._path):
                    return None
                rows = {name: entry.row() for name, entry in entries.items()}
                with replacing(self._path, mode=0o640) as out:
                    out.writelines(document.dump(1, rows, {}, {}))
        return 1

    def write(self, changes: Mapping[str, ListEntry | None]) -> int:
        """Set or remove entries; expired ones are swept out. A malformed file is not overwritten."""
        with _readable(self._path):
            self._path.stat()  # no lock is made beside a list that does not exist
        with _readable(self._path), file_lock(self._beside("lock")):
            read = self._document()
            rows, now = read.rows(), time.time()
            for name in [name for name, row in rows.items() if row[1] is not None and row[1] <= now]:
                del rows[name]
            for name, entry in changes.items():
                if entry is None:
                    rows.pop(name, None)
                    self._forget_blocks(name)
                else:
                    rows[name] = entry.row()
            version = read.version + 1
            with replacing(self._path, mode=0o640, keep=True) as out:
                out.writelines(document.dump(version, rows, read.skipped(), read.other))
        return version

    def look_up(self, identifiers: Iterable[str]) -> dict[str, ListEntry]:
        """The entries of these identifiers, from the file as it is now."""
        with _readable(self._path):
            rows = self._document().rows()
        return active({name: rows.get(name) for name in identifiers})

    def entries(self) -> dict[str, ListEntry]:
        """Every active entry."""
        with _readable(self._path):
            return active(self._document().rows())

    def _document(self) -> document.Document:
        try:
            return document.parse(self._path.read_bytes(), self._blocks)
        except document.MalformedError as error:
            raise Unreadable("malformed", f"{self._path}: {error}") from None

    def hold(self, process: str, version: int) -> None:
        """Write this process's heartbeat; where the folder cannot be written, nobody counts it."""
        folder = self._beside("holders")
        try:
            folder.mkdir(mode=0o750, exist_ok=True)
            (folder / _SAFE_NAME.sub("_", process)).write_text(str(version))
        except OSError:
            return

    def release(self, process: str) -> None:
        """Remove this process's heartbeat."""
        with _readable(self._path):
            (self._beside("holders") / _SAFE_NAME.sub("_", process)).unlink(missing_ok=True)

    def holders(self, version: int) -> Holders:
        """Count heartbeats that are fresh; those long silent are removed."""
        running = holding = 0
        for beat in self._beside("holders").glob("*"):
            try:
                age, text = time.time() - beat.stat().st_mtime, beat.read_text()
                if age > SILENT_SECONDS:
                    beat.unlink()
                    continue
            except OSError:
                continue  # it ended while we looked
            running += 1
            holding += text.isdigit() and int(text) >= version
        return Holders(running, holding)

    def count_block(self, identifier: str, *, now: float, window: float) -> int:
        """Count in a small file shared by the processes of this host."""
        path = self._beside("blocks")
        with _readable(self._path):
            self._path.stat()
        with _readable(path), file_lock(self._beside("lock")):
            kept = _counts(path, now - window)
            times = [*kept.get(identifier, []), now]
            with replacing(path, mode=0o660, keep=True) as out:
                out.write(json.dumps({**kept, identifier: times}).encode())
        return len(times)

    def _forget_blocks(self, identifier: str) -> None:
        """What is cleared counts from nothing again, or its next block would suspend at once."""
        path = self._beside("blocks")
        kept = _counts(path, 0.0)
        if kept.pop(identifier, None):
            with replacing(path, mode=0o660, keep=True) as out:
                out.write(json.dumps(kept).encode())

    def close(self) -> None:
        """Nothing is kept open."""

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{ending}")


def _counts(path: Path, since: float) -> dict[str, list[float]]:
    """Block times not older than ``since``; a damaged file starts anew."""
    try:
        stored = json.loads(path.read_bytes())
        recent = {name: [at for at in times if at > since] for name, times in stored.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}
    return {name: times for name, times in recent.items() if times}


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file at ``path``: SQLite's own lock on an empty database, the same on every system.

    Raises:
        OSError: the folder cannot be written.
        Unreadable: somebody else holds it for longer than `WAIT_SECONDS`.
    """
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise Unreadable("busy", f"{path}: somebody else is writing") from None
        raise OSError(0, f"the lock {path.name} cannot be had: {error}") from None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise missing(str(path)) from None
    except OSError as error:
        raise Unreadable("unreachable", f"{path}: {error.strerror or type(error).__name__}") from None
