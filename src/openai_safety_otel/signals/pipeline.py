"""The dedicated pipeline: safety events on a bounded queue of their own, with an exit that we bound ourselves.

A flood of other logs cannot evict them, a full queue is counted, and an event that nobody took is tried again,
or waits on disk (`SPILL_DIR`). At exit everything still deliverable is delivered for `EXIT_SECONDS` at most;
what is left then goes to the spill folder, or is counted as dropped and said in one line. An event is sent
twice only where a batch's answer was lost: one batch a failure.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable

from openai_safety_otel.record import SafetyEvent
from openai_safety_otel.settings import Settings
from openai_safety_otel.signals.background import QUEUE_LIMIT, ends_with_worker_process, keep_of_parent
from openai_safety_otel.signals.otlp import Exporting, exporter_class
from openai_safety_otel.signals.sender import Drop, Mark, Sender
from openai_safety_otel.signals.spill import Spill

_log = logging.getLogger(__name__)
EXIT_SECONDS = 2.5  # leaves half a second of the promised three for the spill file
FLUSH_SECONDS = 2.0


class Dedicated:
    """Takes events, and sends them from a daemon thread that the first event starts.

    Args:
        exporting: makes the exporter, once for each process.
        spill_dir: where events wait while the collector is away; None keeps them in memory only.
        on_drop: called with reason and count of what was lost (``queue_full``, ``rejected``, ``exit``,
            ``spill_full``, ``spill_unreadable``).
        limit: events that may wait in memory.
    """

    def __init__(
        self,
        exporting: Callable[[], Exporting],
        *,
        spill_dir: str | None = None,
        on_drop: Drop | None = None,
        limit: int = QUEUE_LIMIT,
    ) -> None:
        self._exporting = exporting
        self._spill_dir = spill_dir
        self._on_drop = on_drop
        self._limit = limit
        self._sender: Sender | None = None
        self.reset()
        _ALIVE.add(self)
        # Now, not at the first event: handlers run last-in first-out, and calls that are still open at exit
        # become events in a handler registered after this one.
        atexit.register(_leave_if_alive, weakref.ref(self))

    @classmethod
    def from_settings(cls, settings: Settings, on_drop: Drop | None = None) -> Dedicated | None:
        """The pipeline these settings ask for; None, said in one line, where no exporter can be had."""
        make = exporter_class()
        if make is None:
            _log.warning(
                "PIPELINE=dedicated: no OTLP exporter (pip install 'openai-safety-otel[otlp]'); events stay shared"
            )
            return None
        return cls(lambda: Exporting(make), spill_dir=settings.spill_dir, on_drop=on_drop)

    def reset(self) -> None:
        """Begin anew: a forked child has neither the thread nor a right to the parent's waiting events."""
        if self._sender is not None:
            self._sender.disown()
            keep_of_parent(self._thread, self._queue, self._sender)
        # The C queue is reentrant: an event may be emitted by a finalizer that runs inside `put`.
        self._queue: queue.SimpleQueue[SafetyEvent | Mark] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = False
        self._sender = Sender(self._exporting(), self._new_spill(), self._dropped)

    def _new_spill(self) -> Spill | None:
        return Spill(self._spill_dir) if self._spill_dir else None

    def emit(self, event: SafetyEvent) -> None:
        """Take one event; never blocks, never raises."""
        sender = self._sender
        if sender is None:
            return
        if self._queue.qsize() + sender.size >= self._limit:
            self._dropped("queue_full", 1)
            return
        self._queue.put(event)
        if self._over:
            self._put_away(sender)
        elif self._thread is None:
            self._start()

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Send what was emitted so far, ``seconds`` at most; whether the collector has all of it."""
        return self._mark(seconds, last=False)

    def close(self, seconds: float = EXIT_SECONDS) -> bool:
        """Send what can be sent in ``seconds``, put the rest away, end the thread; whether all arrived.

        An event after that begins anew.
        """
        done = self._mark(seconds, last=True)
        sender = self._sender
        if not done and sender is not None:
            self._put_away(sender)
        self._thread = None
        self._sender = Sender(self._exporting(), self._new_spill(), self._dropped)
        return done

    def leave(self) -> None:
        """The process ends."""
        self.close()
        self._over = True
        if self._sender is not None and not self._queue.empty():
            self._put_away(self._sender)

    def _put_away(self, sender: Sender) -> None:
        """Nobody sends any more: what is left goes to disk, or is counted."""
        left = []
        while not self._queue.empty():
            item = self._queue.get()
            if isinstance(item, SafetyEvent):
                left.append(item)
        sender.take_over(left)

    def _mark(self, seconds: float, *, last: bool) -> bool:
        if self._thread is None:
            return self._queue.empty()
        mark = Mark(last=last)
        self._queue.put(mark)
        return mark.wait(seconds) and mark.delivered

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # somebody, perhaps this very thread further up, is at it
        try:
            if self._thread is None and self._sender is not None:
                arguments = (self._sender, self._queue)
                thread = threading.Thread(
                    target=self._run, args=arguments, name="openai-safety-otlp", daemon=True
                )
                thread.start()
                self._thread = thread
                ends_with_worker_process(self, self.leave)
        except RuntimeError:  # the interpreter is ending and starts no threads
            self._over = True
            if self._sender is not None:
                self._put_away(self._sender)
        finally:
            self._starting.release()

    def _run(self, sender: Sender, items: queue.SimpleQueue[SafetyEvent | Mark]) -> None:
        sender.run(items)

    def _dropped(self, reason: str, count: int) -> None:
        if reason == "exit":
            _log.warning("openai-safety-otel: %d safety events were not delivered before the exit", count)
        if self._on_drop is not None:
            self._on_drop(reason, count)


_ALIVE: weakref.WeakSet[Dedicated] = weakref.WeakSet()


def _leave_if_alive(reference: weakref.ref[Dedicated]) -> None:
    if (alive := reference()) is not None:
        alive.leave()


def _begin_anew_in_child() -> None:
    for one in list(_ALIVE):
        one.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_in_child)
