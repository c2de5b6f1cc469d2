"""Events as OTLP JSON files: no collector, no server; one process, one file, rotated by size.

A process writes ``openai-safety-<service>-<start>-<pid>-<random>.<n>.jsonl`` and nothing else, so lines of
two processes cannot mix; a file that is full is closed and never touched again.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.instrumentation.signals import otlp_json
from openai_safety_otel.instrumentation.signals.background import EXIT_SECONDS, Background, Drop
from openai_safety_otel.instrumentation.signals.pruning import Folder, hold
from openai_safety_otel.instrumentation.signals.resource import resource_attributes

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0
EVIDENCE = "evidence"  # the folder, below that of the events, which evidence has for itself
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


class EventFile:
    """Writes events of this process to files in ``directory``, in the background.

    Args:
        directory: made if it is missing.
        max_mb: size in megabytes at which a file is closed and the next begun; 0 means never.
        keep: full files kept for each running process, and of the ended ones together.
        resource_attributes: what the process is; by default the SDK's resource or the standard variables.
        private: write evidence, and only that, into a folder and files for their owner alone; otherwise
            everything but evidence, into files that a collector of the same group can read.
        on_drop: called with the reason for each event not kept (``queue_full``, ``write_failed``).
        retry_seconds: how long a folder in which no file could be begun is left alone.
    """

    def __init__(
        self,
        directory: str | Path,
        max_mb: float,
        keep: int,
        resource_attributes: Mapping[str, AttributeValue] | None = None,
        *,
        private: bool = False,
        on_drop: Drop | None = None,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._private = private
        self._directory = Path(directory, EVIDENCE) if private else Path(directory)
        self._max_bytes = int(max_mb * 1_000_000)
        self._keep = keep
        self._given = resource_attributes
        self._target: _Target | None = None
        self._failed_at: float | None = None
        self._retry_seconds = retry_seconds
        self._background = Background(self._write, name="openai-safety-file", on_drop=on_drop)

    def emit(self, event: SafetyEvent, context: object = None) -> None:
        """Take one event, if it is of the kind written here; never blocks, never raises."""
        if (event.scope == c.EVIDENCE_SCOPE) is self._private:
            self._background.emit(event)

    def flush(self, seconds: float = EXIT_SECONDS) -> bool:
        """Wait until everything emitted so far is on disk; whether it is, after ``seconds`` at most."""
        return self._background.flush(seconds)

    def close(self) -> None:
        """Flush, end the thread and close the file."""
        if self._background.close() and self._target is not None:
            self._target.close()
            self._target = None

    def _write(self, event: SafetyEvent) -> None:
        try:
            self._write_one(event)
        except OSError as error:
            self._complain(error)
            raise
        self._failed_at = None

    def _write_one(self, event: SafetyEvent) -> None:
        target = self._target
        if target is not None and not target.is_ours():
            target.close()
            target = self._target = None
        if target is None:
            target = self._target = self._open()
        content = otlp_json.line(event, target.resource)
        if (
            self._max_bytes
            and target.size > otlp_json.HEADER_BYTES
            and target.size + len(content) > self._max_bytes
        ):
            target = self._target = target.next()
            target.folder.prune(self._keep)
        target.append(content)

    def _open(self) -> _Target:
        if self._resting():
            raise OSError("not tried again so soon")
        resource = dict(self._given) if self._given is not None else resource_attributes()
        self._make_folder()
        service = re.sub(r"[^A-Za-z0-9_-]+", "_", str(resource.get("service.name", "unknown_service")))[:60]
        start = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        # Two containers on one volume may both be process 1 and start in the same second.
        stem = f"openai-safety-{service}-{start}-{os.getpid()}-{secrets.token_hex(3)}"
        folder = Folder(self._directory, f"openai-safety-{service}-", stem)
        target = _Target(folder, resource, 0o600 if self._private else 0o640)
        folder.prune(self._keep)
        return target

    def _make_folder(self) -> None:
        if self._private:
            self._directory.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._directory.mkdir(mode=0o700 if self._private else 0o750, parents=True, exist_ok=True)

    def _complain(self, error: OSError) -> None:
        if self._failed_at is None:
            _log.warning(
                "FILE_DIR: events cannot be written to %s: %s", self._directory, error.strerror or error
            )
        if not self._resting():
            self._failed_at = time.monotonic()

    def _resting(self) -> bool:
        """Whether the last failure to open a file is too fresh to try again."""
        return self._failed_at is not None and time.monotonic() - self._failed_at < self._retry_seconds


class _Target:
    """One open file; written by the thread that opened it, in the process that opened it."""

    def __init__(
        self, folder: Folder, resource: dict[str, AttributeValue], mode: int, number: int = 1
    ) -> None:
        self.folder = folder
        self.resource = resource
        self._pid = os.getpid()
        self.size = 0
        self._mode = mode
        self._number = number
        self.path = folder.file(number)
        self._descriptor = os.open(self.path, _FLAGS, mode)
        hold(self._descriptor)
        try:
            self.append(otlp_json.header(self.path.name))
        except OSError:  # a full disk: nothing is left of the attempt, or each would keep a descriptor open
            self.close()
            self.path.unlink(missing_ok=True)
            raise

    def append(self, content: bytes) -> None:
        """Add one line; a line that does not fit on the disk is taken back whole."""
        written = 0
        try:
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(content)

    def next(self) -> _Target:
        """Close this file for good and open the next one."""
        following = _Target(self.folder, self.resource, self._mode, self._number + 1)
        self.close()
        return following

    def close(self) -> None:
        """Give the file up; in a forked child this leaves the parent's own descriptor alone."""
        os.close(self._descriptor)

    def is_ours(self) -> bool:
        """False after a fork, and where somebody deleted the file: what is written now would be lost."""
        return self._pid == os.getpid() and os.fstat(self._descriptor).st_nlink > 0
