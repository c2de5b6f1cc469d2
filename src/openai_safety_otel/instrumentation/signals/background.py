"""Events handed from the call path to a thread of our own: never blocks, never raises, bounded, fork-safe."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from openai_safety_otel.contract.process import after_fork, at_exit, at_worker_exit
from openai_safety_otel.contract.record import SafetyEvent

Write = Callable[[SafetyEvent], None]
Drop = Callable[[str], None]
QUEUE_LIMIT = 10_000
EXIT_SECONDS = 2.0


class _Mark(threading.Event):
    """Put into the queue to learn when everything before it is written; ``last`` ends the thread."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self.last = last


class Background:
    """A bounded queue and a daemon thread, started by the first event, that writes what arrives.

    Args:
        write: takes one event, in the thread; if it raises, the event is dropped as ``write_failed``.
        name: the thread's.
        on_drop: called with the reason for each event not written (``queue_full``, ``write_failed``).
        limit: events that may wait.
    """

    def __init__(
        self, write: Write, *, name: str, on_drop: Drop | None = None, limit: int = QUEUE_LIMIT
    ) -> None:
        self._write = write
        self._name = name
        self._on_drop = on_drop
        self._limit = limit
        self.reset()
        after_fork(self.reset)
        # Registered now, not at the first event: handlers run last-in first-out, and calls that are still
        # open at exit become events in a handler registered after this one.
        at_exit(self.flush)

    def reset(self) -> None:
        """Begin anew: a forked child has neither the thread nor a right to the parent's waiting events."""
        keep_of_parent(getattr(self, "_thread", None), getattr(self, "_queue", None))
        # The C queue is reentrant: an event may be emitted by a finalizer that runs inside `put`.
        self._queue: queue.SimpleQueue[SafetyEvent | _Mark] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def emit(self, event: SafetyEvent, context: object = None) -> None:
        """Hand over one event; its span is of no interest here."""
        if self._queue.qsize() >= self._limit:
            self._dropped("queue_full")
            return
        self._queue.put(event)
        if self._thread is None:
            self._start()

    def flush(self, seconds: float = EXIT_SECONDS) -> bool:
        """Wait until everything emitted so far is written, ``seconds`` at most; whether it is."""
        return self._mark(seconds, last=False)

    def close(self, seconds: float = EXIT_SECONDS) -> bool:
        """Flush and end the thread; an event after that begins a new one."""
        done = self._mark(seconds, last=True)
        self._thread = None
        return done

    def _mark(self, seconds: float, *, last: bool) -> bool:
        if self._thread is None:
            return True
        mark = _Mark(last=last)
        self._queue.put(mark)
        return mark.wait(seconds)

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # somebody, perhaps this very thread further up, is at it
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, args=(self._queue,), name=self._name, daemon=True)
                thread.start()
                self._thread = thread
                at_worker_exit(self.flush)
        except RuntimeError:  # the interpreter is ending and starts no threads: nothing else runs here now
            while not self._queue.empty():
                self._take(self._queue.get())
        finally:
            self._starting.release()

    def _run(self, items: queue.SimpleQueue[SafetyEvent | _Mark]) -> None:
        while True:
            item = items.get()
            # A greenlet survives a fork: what waits in the queue that it knows is the parent's, and it must
            # never end, since `threading` in the child does not know it.
            while items is not self._queue:
                items.get()
            if not self._take(item):
                return

    def _take(self, item: SafetyEvent | _Mark) -> bool:
        """Write one event, or answer a mark; whether to go on."""
        if isinstance(item, _Mark):
            item.set()
            return not item.last
        try:
            self._write(item)
        except Exception:  # noqa: BLE001 - the thread must outlive whatever one event does
            self._dropped("write_failed")
        return True

    def _dropped(self, reason: str) -> None:
        if self._on_drop is not None:
            self._on_drop(reason)


_OF_PARENTS: list[object] = []


def keep_of_parent(*things: object) -> None:
    """A thread that is a greenlet exists in the child too: collected while it waits, it would complain."""
    _OF_PARENTS.extend(thing for thing in things if thing is not None)
