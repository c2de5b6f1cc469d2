"""Ends the records of streams and connections that nobody closed, on a thread of its own.

They refer to themselves, so only the garbage collector frees them: in any thread, between any two
instructions, also while that thread holds a lock of the telemetry SDK. To emit anything right there could
wait for that lock for ever. The collector therefore only puts a note into a queue that is made for this.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import weakref
from collections.abc import Callable

from openai_safety_otel.contract.process import after_fork

EndCall = Callable[[], None]


class Endings:
    """Calls, soon and elsewhere, the end of each thing that was collected."""

    _started: bool

    def __init__(self) -> None:
        self._reset()
        after_fork(self._reset)

    def start(self) -> None:
        """Have the thread running; called where a thing is made, because the collector must not do it.

        Where the system gives no thread (a limit, an interpreter that is ending), what was left behind so far is ended
        here, and the next call tries again.
        """
        if self._started:
            return
        with self._lock:
            if not self._started:
                self._started = self._begun()
        if not self._started:
            self._end_waiting()

    def _begun(self) -> bool:
        try:
            threading.Thread(target=self._run, name="openai-safety-endings", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _end_waiting(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()()

    def later(self, end: EndCall) -> None:
        """Call ``end`` on the thread; may be called from the garbage collector."""
        self._queue.put(end)

    def watch(self, thing: object, end: EndCall) -> None:
        """Call ``end`` some time after the collection of ``thing``; ``end`` must not refer to it."""
        self.start()
        # Not at exit: the observer ends what is open then, before the exporters go.
        weakref.finalize(thing, self._collected, os.getpid(), end).atexit = False

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[EndCall] = queue.SimpleQueue()
        self._started = False

    def _collected(self, pid: int, end: EndCall) -> None:
        # A child tells nothing of its parent's connections.
        if pid == os.getpid():
            self._queue.put(end)

    def _run(self) -> None:
        waiting = self._queue
        while True:
            waiting.get()()


endings = Endings()
