"""The receiver's own server, bounded: deadlines, a cap on connections, and a log that cannot be flooded."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from openai_safety_otel.operations.webhooks.receiver import Receiver

REQUEST_SECONDS: Final = 10.0  # for a whole request to arrive; a genuine one is there at once
MOST_CONNECTIONS: Final = 512
BACKLOG: Final = 128  # connections accepted at a time, before any of them is counted
_OTHER_FILES: Final = 128  # descriptors left for the journal, lookups and logs
_QUIET_SECONDS: Final = 60.0
_LOGGERS: Final = ("uvicorn.error", "asyncio", "openai_safety_otel.operations.webhooks.receiver", __name__)
_log = logging.getLogger(__name__)


class WaitingConnections:
    """Connections that have not sent a whole request yet, the oldest first."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self.waiting: dict[BoundedProtocol, None] = {}

    def make_room(self, held: int) -> None:
        """Where there are too many, end the connection that has waited longest."""
        if held > self.most and self.waiting:
            _log.warning("over %d connections: the longest without a whole request is ended", self.most)
            next(iter(self.waiting)).end()


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, in which a request that does not arrive in time ends its connection."""

    def __init__(self, *arguments: Any, waiting: WaitingConnections, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waiting = waiting
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and give it its time."""
        super().connection_made(transport)
        self._watch()
        self._waiting.make_room(len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Take data; the time runs on until the request is whole."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._rest()
        super().connection_lost(exc)

    def end(self) -> None:
        """End the connection without an answer."""
        self._rest()
        self.transport.abort()

    def _watch(self) -> None:
        whole = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if whole or self.transport.is_closing():
            self._rest()
        elif self._timer is None:
            self._timer = self.loop.call_later(self._waiting.seconds, self._late)
            self._waiting.waiting[self] = None

    def _rest(self) -> None:
        self._waiting.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        _log.warning("no whole request within %.0f s: the connection is ended", self._waiting.seconds)
        self.end()


class Damped(logging.Filter):
    """Lets each kind of message through once a minute, with how many were left out."""

    def __init__(self, seconds: float = _QUIET_SECONDS) -> None:
        super().__init__()
        self._seconds = seconds
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        kind, now = str(record.msg)[:100], time.monotonic()
        before, left_out = self._seen.get(kind, (-self._seconds, 0))
        if now - before < self._seconds:
            self._seen[kind] = (before, left_out + 1)
            return False
        if len(self._seen) > 1000:  # noqa: PLR2004 - messages with values in them
            self._seen.clear()
        self._seen[kind] = (now, 0)
        if left_out:
            record.msg = f"{record.msg} (and {left_out} more like it)"
        return True


def _room(most: int) -> int:
    """How many connections the process may have descriptors for."""
    try:
        import resource  # noqa: PLC0415 - not on Windows, which sets no such limit
    except ModuleNotFoundError:
        return most
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if files == resource.RLIM_INFINITY else files - BACKLOG - _OTHER_FILES


def guarded(
    app: Receiver, *, most: int = MOST_CONNECTIONS, seconds: float = REQUEST_SECONDS
) -> uvicorn.Server:
    """A server for the receiver that half-sent requests cannot wedge.

    Args:
        app: what is served.
        most: connections held at a time; fewer where the process may open fewer files.
        seconds: for a whole request to arrive.
    """
    waiting = WaitingConnections(max(16, min(most, _room(most))), seconds)
    protocol: Any = partial(BoundedProtocol, waiting=waiting)
    damped = Damped()
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(damped)
    return uvicorn.Server(config)
