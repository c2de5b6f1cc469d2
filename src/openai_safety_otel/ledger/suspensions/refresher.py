"""The background thread that keeps the list in memory, and does every write a call may cause."""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.process import after_fork, at_exit
from openai_safety_otel.contract.vocabulary import SuspensionsState
from openai_safety_otel.ledger.suspensions.entry import Row
from openai_safety_otel.ledger.suspensions.store import SuspensionStore, Unreadable, Update

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 5.0
MAX_TASKS = 1000
_EXIT_SECONDS = 1.0
_log = logging.getLogger(__name__)

CountDrop = Callable[[str, str], None]
# What a call asked for; runs on this thread with the source, and may raise Unreadable to be tried again.
Task = Callable[[SuspensionStore], None]


class Refresher:
    """Follows one list. ``rows`` is the index that the call path reads; only this thread changes it.

    Args:
        open_suspensions: makes the source; called on the thread, again after a fork.
        dropped: counts (signal, reason) of what could not be read or kept.
        chore: done with every heartbeat, and at the end.
    """

    def __init__(
        self,
        open_suspensions: Callable[[], SuspensionStore],
        dropped: CountDrop,
        chore: Callable[[], object] = lambda: None,
    ) -> None:
        self.rows: dict[str, Row] = {}
        self.version = -1
        self._open_source = open_suspensions
        self._dropped = dropped
        self._chore = chore
        self._born = time.monotonic()
        self._read_at: float | None = None
        self._failing: str | None = None  # the reason of the last reading, where it failed
        self._write_failing = False
        self._tasks: deque[Task] = deque()
        self._known = False
        self._reset()

    def _reset(self) -> None:
        """What a fork's child needs anew: a lock may be held, and threads do not survive."""
        self._source: SuspensionStore | None = None
        self._wake = threading.Event()
        self._stop = False
        self._first = threading.Event()
        self._beat_at = 0.0
        self._thread: threading.Thread | None = None
        self._process = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"

    def start(self, wait: float = 0.0) -> None:
        """Start following; wait at most so many seconds for the first attempt to read."""
        if self._thread is None:
            if not self._known:
                self._known = True
                after_fork(self.after_fork)
                # Takes the heartbeat back, so that an operator is not told of processes that have ended.
                at_exit(self.close)
            self._thread = threading.Thread(target=self._run, name="openai-safety-suspensions", daemon=True)
            self._thread.start()
        self._first.wait(wait)

    def age(self) -> float:
        """Seconds since the list was last read; since the start, where it never was."""
        return time.monotonic() - (self._born if self._read_at is None else self._read_at)

    def is_read(self) -> bool:
        """Whether the list was read at least once."""
        return self._read_at is not None

    def state(self) -> SuspensionsState | None:
        """What the last reading found; None before the first."""
        if self._failing is None:
            return "read" if self.is_read() else None
        return self._failing if self._failing in ("missing", "malformed") else "unreachable"  # type: ignore[return-value]

    def ask(self, task: Task) -> None:
        """Do something with the source soon; never blocks, counted where too much waits."""
        if len(self._tasks) >= MAX_TASKS:
            self._dropped("suspensions", "queue_full")
            return
        self._tasks.append(task)
        self._wake.set()

    def close(self) -> None:
        """Stop following; returns within a second."""
        self._stop = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_EXIT_SECONDS)

    def after_fork(self) -> None:
        """Go on in the child: a new thread, new connections, the list as it was until it is read again."""
        running = self._thread is not None and not self._stop
        self._reset()
        self._tasks.clear()  # the parent does them
        if running:
            # A thread's start waits for it, and under gevent the app's greenlets run meanwhile: in a child that is
            # about to become another program, too.
            _thread.start_new_thread(self._go_on, ())

    def _go_on(self) -> None:
        with own_errors("suspensions"):
            self.start()

    def _run(self) -> None:
        while not self._stop:
            with own_errors("suspensions"):
                self._turn()
            self._first.set()
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()
        with own_errors("suspensions"):
            self._let_go()

    def _turn(self) -> None:
        try:
            if self._source is None:
                self._source = self._open_source()
            self._apply(self._source.poll())
        except Unreadable as error:
            self._failed(error)
            return
        self._first.set()
        try:
            self._do_tasks(self._source)
        except Unreadable as error:
            self._write_failed(error)
        with contextlib.suppress(Unreadable):  # the next poll will tell
            self._heartbeat(self._source)

    def _do_tasks(self, source: SuspensionStore) -> None:
        while self._tasks:
            self._tasks[0](source)  # stays first until it is done
            self._tasks.popleft()
            self._write_failing = False
            self._apply(source.poll())

    def _apply(self, update: Update | None) -> None:
        self._read_at = time.monotonic()
        if self._failing is not None:
            _log.warning("suspension list: readable again")
            self._failing = None
        if update is None:
            return
        if update.whole:
            self.rows = update.rows
        else:
            self.rows.update(update.rows)
            for identifier in update.removed:
                self.rows.pop(identifier, None)
        older = (
            0 < update.version < self.version and not update.lost
        )  # one written by hand may have no version
        self.version = update.version
        self._beat_at = 0.0
        if older:
            self._dropped("suspensions", "older")
            _log.warning(
                "suspension list: an older one was put in its place; what was decided since is not in force: "
                "see the decisions, and decide again"
            )
        if update.lost:
            self._dropped("suspensions", "lost")
            _log.warning("suspension list: the store lost its data; entries in memory stay in force")
        if update.skipped:
            self._dropped("suspensions", "bad_entry")
            _log.warning("suspension list: %d entries make no sense and are passed over", update.skipped)

    def _heartbeat(self, source: SuspensionStore) -> None:
        if (now := time.monotonic()) - self._beat_at >= HEARTBEAT_SECONDS:
            self._beat_at = now
            source.hold(self._process, self.version)
            self._chore()

    def _failed(self, error: Unreadable) -> None:
        self._dropped("suspensions", error.reason)
        if self._failing != error.reason:
            self._failing = error.reason
            _log.warning("suspension list: %s; the last one read stays in force", error)

    def _write_failed(self, error: Unreadable) -> None:
        self._dropped("suspensions", "not_written")
        if not self._write_failing:
            self._write_failing = True
            _log.warning("suspension list: %s; automatic entries wait until it can be written", error)

    def _let_go(self) -> None:
        self._chore()
        if self._source is None:
            return
        with contextlib.suppress(Unreadable):  # the heartbeat runs out by itself
            self._source.release(self._process)
        self._source.close()
