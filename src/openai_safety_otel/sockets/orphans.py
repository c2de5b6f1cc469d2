"""Ends the records of connections that nobody closed, on a thread of its own.

A connection refers to itself, so only the garbage collector frees it: in any thread, between any two
instructions, also while that thread holds a lock of the telemetry SDK. To emit anything right there could
wait for that lock for ever. The collector therefore only puts a note into a queue that is made for this.
"""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable

End = Callable[[], None]


class Orphans:
    """Calls an end for each watched thing that was collected; its thread lives while anything is watched."""

    _thread: threading.Thread | None

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def watch(self, thing: object, end: End) -> None:
        """Call ``end`` some time after the collection of ``thing``; ``end`` must not refer to it."""
        with self._lock:
            self._watched += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="openai-safety-orphans", daemon=True)
                self._thread.start()
        # Not at exit: the observer ends what is open then, before the exporters go.
        weakref.finalize(thing, self._collected, os.getpid(), end).atexit = False

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[End] = queue.SimpleQueue()
        self._thread = None
        self._watched = 0

    def _collected(self, pid: int, end: End) -> None:
        # A child tells nothing of its parent's connections.
        if pid == os.getpid():
            self._queue.put(end)

    def _run(self) -> None:
        while True:
            self._queue.get()()
            with self._lock:
                self._watched -= 1
                if self._watched == 0:
                    self._thread = None
                    return


orphans = Orphans()
