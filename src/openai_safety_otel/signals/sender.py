"""The thread of the dedicated pipeline: batches, second tries, the spill folder."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from openai_safety_otel.record import AttributeValue, SafetyEvent
from openai_safety_otel.signals.otlp import Exporting
from openai_safety_otel.signals.resource import resource_attributes
from openai_safety_otel.signals.spill import Spill, SpillFullError, Taken

BATCH = 512
DELAY_SECONDS = 1.0
BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
TRIES = 3
Drop = Callable[[str, int], None]
_log = logging.getLogger(__name__)


class Mark(threading.Event):
    """Put into the queue to learn what became of everything before it; ``last`` ends the thread."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self.last = last
        self.delivered = False


@dataclass(slots=True)
class _Batch:
    """Events on their way; ``tries`` failed, the first of them when ``mark`` others had been delivered."""

    events: list[SafetyEvent]
    tries: int = 0
    mark: int = 0


class Sender:
    """Sends batches in turn; a batch that fails goes to the spill folder, or behind the others.

    A batch that failed `TRIES` times while others got through is refused for what it holds: it is dropped as
    ``rejected``, and never stands in the way of others.
    """

    def __init__(self, exporting: Exporting, spill: Spill | None, dropped: Drop) -> None:
        self._exporting = exporting
        self._spill = spill
        self._dropped = dropped
        self._resource: dict[str, AttributeValue] | None = None
        self._fresh: list[SafetyEvent] = []
        self._since = 0.0
        self._waiting: deque[_Batch] = deque()
        self._sending: _Batch | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._delivered = 0
        self._refused: tuple[tuple[str, int], _Batch] | None = None
        self._complained = False
        self._ending = False
        self._lock = threading.Lock()
        self._taken_over = False
        self._disowned = False
        self.size = 0

    # -- the thread ----------------------------------------------------------------------------------------

    def run(self, items: queue.SimpleQueue[SafetyEvent | Mark]) -> None:
        """Until the last mark, or until another thread has taken over."""
        while not self._taken_over:
            try:
                item = items.get(timeout=self._pause())
            except queue.Empty:
                self._tend()
                continue
            if self._disowned:
                continue
            if isinstance(item, Mark):
                item.delivered = self._all_sent(last=item.last)
                item.set()
                if item.last:
                    return
            else:
                self._since = self._since if self._fresh else time.monotonic()
                self._fresh.append(item)
                self.size += 1
                if len(self._fresh) >= BATCH:
                    self._tend()

    def _pause(self) -> float | None:
        """Seconds until there is something to do; None waits for the next event."""
        if self._disowned:
            return None
        moments = [self._since + DELAY_SECONDS] if self._fresh else []
        if self._waiting or (self._spill is not None and self._spill.waiting):
            moments.append(self._retry_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _tend(self) -> None:
        if self._disowned:
            return
        now = time.monotonic()
        if self._fresh and (len(self._fresh) >= BATCH or now >= self._since + DELAY_SECONDS):
            self._close_batch()
        if now >= self._retry_at:
            self._ship()
        elif self._spill is not None:
            self._spill_waiting()

    def _close_batch(self) -> None:
        if self._fresh:
            self._waiting.append(_Batch(self._fresh))
            self._fresh = []

    def _ship(self) -> bool:
        """Send what waits, and then one batch from disk; whether nothing of this process is left."""
        while self._waiting and not self._taken_over:
            batch = self._sending = self._waiting.popleft()
            if not self._sent(batch):
                return False
            self.size -= len(batch.events)
        if self._spill is not None and not self._ending and not self._taken_over:
            return self._ship_spilled(self._spill)
        return not self._taken_over

    def _sent(self, batch: _Batch) -> bool:
        ok = self._try(batch.events, self._who())
        with self._lock:
            if self._taken_over or self._disowned:
                return False
            self._sending = None
            if not ok:
                self._failed(batch)
        return ok

    def _failed(self, batch: _Batch) -> None:
        if self._hopeless(batch):
            self._lose("rejected", batch)
        else:
            self._waiting.append(batch)
            if self._spill is not None:
                self._spill_waiting()

    def _hopeless(self, batch: _Batch) -> bool:
        """Whether others got through since this one failed first, often enough."""
        if batch.tries == 0:
            batch.mark = self._delivered
        batch.tries += 1
        return batch.tries >= TRIES and self._delivered > batch.mark

    def _try(self, events: list[SafetyEvent], resource: dict[str, AttributeValue]) -> bool:
        try:
            ok = not events or self._exporting.send(events, resource)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever an exporter does
            ok = False
            if not self._complained:
                self._complained = True
                _log.warning("PIPELINE=dedicated: the exporter raised %s", type(error).__name__)
        if ok:
            self._delivered += 1
            self._failures = 0
            self._retry_at = 0.0
        else:
            wait = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
            self._failures += 1
            self._retry_at = time.monotonic() + wait
        return ok

    def _who(self) -> dict[str, AttributeValue]:
        if self._resource is None:
            self._resource = resource_attributes()
        return self._resource

    # -- the spill folder ----------------------------------------------------------------------------------

    def _ship_spilled(self, spill: Spill) -> bool:
        try:
            taken = spill.take(BATCH)
            if taken is None:
                return True
            if self._try(taken.events, taken.resource):
                self._let_go(taken, "spill_unreadable", taken.unreadable)
            elif self._refused_again(taken):
                self._let_go(taken, "rejected", len(taken.events))
            else:
                return False
        except OSError as error:
            self._complain(error)
            self._retry_at = time.monotonic() + BACKOFF_SECONDS[-1]
        return not spill.waiting

    def _let_go(self, taken: Taken, reason: str, lost: int) -> None:
        taken.drop()
        self._refused = None
        if lost:
            self._dropped(reason, lost)

    def _refused_again(self, taken: Taken) -> bool:
        if self._refused is None or self._refused[0] != taken.key:
            self._refused = (taken.key, _Batch([]))
        return self._hopeless(self._refused[1])

    def _spill_waiting(self) -> None:
        while self._waiting and self._spill is not None:
            batch = self._waiting[0]
            try:
                self._spill.write(batch.events, self._who())
            except SpillFullError:
                self._lose("spill_full", batch)
            except OSError as error:
                self._complain(error)
                return  # they stay in memory, which is bounded
            else:
                self.size -= len(batch.events)
            self._waiting.popleft()

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("SPILL_DIR: events cannot wait on disk: %s", error.strerror or type(error).__name__)

    def _lose(self, reason: str, batch: _Batch) -> None:
        self.size -= len(batch.events)
        self._dropped(reason, len(batch.events))

    # -- the end -------------------------------------------------------------------------------------------

    def _all_sent(self, *, last: bool) -> bool:
        self._ending = last
        self._close_batch()
        # The collector is known to be away: what is on disk is not lost, and the exit need not wait.
        done = self._ship() if not (last and self._failures and self._spill is not None) else False
        if last and not self._taken_over:
            self._settle()
            self._exporting.close()
        return done

    def take_over(self, more: list[SafetyEvent]) -> None:
        """The thread is stuck in an export, or gone: put away what it holds, and ``more``.

        The batch that is being sent counts as not sent; if it does arrive, it arrives twice.
        """
        with self._lock:
            self._taken_over = True
            held = [self._sending] if self._sending is not None else []
            self._sending = None
        self._waiting.extendleft(held)
        self._fresh = [*self._fresh, *more]
        self.size += len(more)
        self._close_batch()
        self._settle()

    def _settle(self) -> None:
        """Nothing is sent any more: what waits goes to disk, or is counted."""
        self._spill_waiting()
        lost = sum(len(batch.events) for batch in self._waiting)
        self._waiting.clear()
        self.size = 0
        if lost:
            self._dropped("exit", lost)
        if self._spill is not None:
            self._spill.close()

    def disown(self) -> None:
        """In a forked child: nothing here is this process's.

        A thread that is a greenlet has come along. It waits for ever on its parent's queue: it must not end,
        since `threading` in the child does not know it.
        """
        self._disowned = True
        if self._spill is not None:
            self._spill.disown()
