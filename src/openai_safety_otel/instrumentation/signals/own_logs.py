"""A LoggerProvider of our own: the SDK's batch processor for safety events alone, with a bounded exit.

No flood of other logs evicts a safety event, a full queue is counted, and so is every batch that the exporter
could not deliver. A batch that fails is tried again for a few minutes and then given up: where the collector may
be away for longer, `FILE_DIR` keeps events on disk.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry._logs import Logger
from opentelemetry.context import Context

from openai_safety_otel.contract.process import at_exit, at_worker_exit
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.instrumentation.signals.background import QUEUE_LIMIT
from openai_safety_otel.instrumentation.signals.event import log_record
from openai_safety_otel.instrumentation.signals.exporters import within
from openai_safety_otel.instrumentation.signals.prepared import emit
from openai_safety_otel.instrumentation.signals.resource import resource_attributes

_log = logging.getLogger(__name__)
CountLost = Callable[[str, int], None]
EXIT_SECONDS = 3.0
FLUSH_SECONDS = 5.0
_BATCH = 512
_DELAY_MS = 1000
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # between tries, beside what the exporter itself waits


class OwnLogs:
    """Events to the OTLP endpoint that the environment names, through a pipeline of their own.

    Args:
        make: makes an exporter; called once in each process, at its first batch.
        on_drop: called with reason and count of what was lost (``queue_full``, ``export_failed``, ``exit``).
        limit: events that may wait.
        retry: seconds between the tries of one batch.
        resource: what the process is; by default what the SDK or the standard variables say.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        on_drop: CountLost | None = None,
        limit: int = QUEUE_LIMIT,
        retry: Sequence[float] = RETRY_SECONDS,
        resource: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        self._resource = resource
        self._on_drop = on_drop
        self._limit = limit
        self._exporter = _Exporter(make, self._lost, retry)
        self._provider: Any = None
        self._loggers: dict[str, Logger] = {}
        self._starting = threading.Lock()
        # Now, not at the first event: handlers run last-in first-out, and calls that are still open at exit
        # become events in a handler registered after this one.
        at_exit(self.close)

    def emit(self, event: SafetyEvent, context: Context | None = None) -> None:
        """Take one event; never waits for the network."""
        if self._exporter.waiting >= self._limit:
            self._lost("queue_full", 1)
            return
        logger = self._loggers.get(event.scope) or self._logger(event.scope)
        self._exporter.taken()
        emit(logger, log_record(event, context))

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Send what was emitted so far, ``seconds`` at most; whether all of it has left the queue."""
        provider = self._provider
        if provider is None:
            return True
        return within(seconds, provider.force_flush) and not self._exporter.waiting

    def close(self, seconds: float = EXIT_SECONDS) -> None:
        """Send what can be sent in ``seconds`` and count the rest; an event after that begins anew."""
        provider, self._provider = self._provider, None
        self._loggers = {}
        if provider is None:
            return
        self._exporter.ending.set()
        within(seconds, provider.shutdown)
        left = self._exporter.give_up()
        if left:
            _log.warning("openai-safety-otel: %d safety events were not delivered before the exit", left)
            self._lost("exit", left)

    def _logger(self, scope: str) -> Logger:
        with self._starting:
            if self._provider is None:
                self._provider = self._made()
                at_worker_exit(self.close)
            logger: Logger = self._provider.get_logger(scope)
            self._loggers[scope] = logger
            return logger

    def _made(self) -> Any:
        self._exporter.ending.clear()
        logs = importlib.import_module("opentelemetry.sdk._logs")
        export = importlib.import_module("opentelemetry.sdk._logs.export")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        provider = logs.LoggerProvider(
            resource=resources.Resource(dict(self._resource or resource_attributes())), shutdown_on_exit=False
        )
        provider.add_log_record_processor(
            export.BatchLogRecordProcessor(
                self._exporter,
                schedule_delay_millis=_DELAY_MS,
                max_export_batch_size=_BATCH,
                max_queue_size=self._limit,
            )
        )
        return provider

    def _lost(self, reason: str, count: int) -> None:
        if self._on_drop is not None:
            self._on_drop(reason, count)


class _Exporter:
    """The SDK's exporter, made anew in each process (connections do not survive a fork), its failures counted."""

    def __init__(self, make: Callable[[], Any], lost: CountLost, retry: Sequence[float]) -> None:
        self._make = make
        self._lost = lost
        self._retry = retry
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._quiet = _Quiet()
        self._inner: Any = None
        self._lock = threading.Lock()
        self._waiting = 0
        self.ending = threading.Event()

    @property
    def waiting(self) -> int:
        """Events taken and not yet exported, by this process."""
        return self._waiting if self._pid == os.getpid() else 0

    def taken(self) -> None:
        """One more event waits."""
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            self._waiting += 1

    def export(self, batch: Sequence[Any]) -> Any:
        """Export one batch, trying again while nobody ends us; what is given up is counted."""
        result = self._try(batch)
        for seconds in self._retry:
            if _taken(result) or self.ending.wait(seconds):
                break
            result = self._try(batch)
        with self._lock:
            counted = min(self._waiting, len(batch))  # what `give_up` counted already is not counted twice
            self._waiting -= counted
        if counted and not _taken(result):
            if not self.ending.is_set():
                _log.warning("openai-safety-otel: %d safety events given up: %s", counted, self._quiet.last)
            self._lost("export_failed", counted)
        return result

    def _try(self, batch: Sequence[Any]) -> Any:
        try:
            if self._inner is None:
                self._inner = self._make()
            with self._quiet:
                return self._inner.export(batch)
        except Exception as error:  # noqa: BLE001 - an exporter may raise anything; the next try may not
            _log.debug("exporting safety events raised %s", type(error).__name__)
            return None

    def give_up(self) -> int:
        """Nothing is waited for any more; how many were not exported."""
        with self._lock:
            left, self._waiting = self._waiting, 0
        return left

    def shutdown(self) -> None:
        """Give its connections back."""
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.shutdown()

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        """Nothing waits in an exporter."""
        return True


class _Quiet(logging.Filter):
    """Keeps what the SDK's exporters log about each of our tries; ``last`` is told when a batch is given up."""

    def __init__(self) -> None:
        super().__init__()
        self.last = "no reason given"
        self._thread: int | None = None

    def __enter__(self) -> None:
        if self._thread is None:
            for name in sorted(logging.Logger.manager.loggerDict):
                if name.startswith("opentelemetry.exporter.otlp"):
                    logging.getLogger(name).addFilter(self)
        self._thread = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._thread = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Let other threads' lines through: they are about the app's own exporters."""
        if record.thread != self._thread:
            return True
        self.last = record.getMessage()[:200]
        return False


def _taken(result: Any) -> bool:
    return getattr(result, "name", "") == "SUCCESS"
