"""Start the real programs on free loopback ports, and be sure that they end.

    with running("loki") as loki:
        print(loki.url)

Every program gets a folder of its own, is waited for until it answers, and is killed when the block ends or
when this process dies (by the kernel: a parent-death signal). ``Running.kill()`` is ``kill -9``;
``Running.start()`` starts it again on the same ports and data. How each program is launched stands in
``launches.py``.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stack.launches import BIN, LAUNCHES, Launch

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 20.0  # Loki and Prometheus write their heads to disk on the way out
_PORTS = (15_000, 32_000)
# Of ports that were given out: a program takes a second or two until it listens.
_claims: deque[socket.socket] = deque()
_CLAIMS = 200


class NotReady(Exception):
    """A program did not answer in time or ended early; the text holds the end of its log."""


def free_ports(count: int, within: tuple[int, int] = _PORTS) -> list[int]:
    """Distinct loopback ports that nobody listens on now, and that no other process was given meanwhile.

    From below the range that systems take for outgoing connections: none of those gets in between.
    """
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            one = held.enter_context(socket.socket())
            port = random.SystemRandom().randrange(*within)
            with contextlib.suppress(OSError):
                _claims.append(_claim(port))
                one.bind(("127.0.0.1", port))
                found.append(port)
    _give_back(len(_claims) - _CLAIMS)
    return found


def _give_back(count: int) -> None:
    """Let go of the oldest claims."""
    for _ in range(count):
        _claims.popleft().close()


atexit.register(lambda: _give_back(len(_claims)))


def _claim(port: int) -> socket.socket:
    """Bind a name that only one process of this machine can have; it ends with the process, and leaves no file."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0openai-safety port {port}")
    except OSError:
        claim.close()
        raise
    return claim


def binary(name: str) -> Path:
    """Path of a built program.

    Raises:
        FileNotFoundError: it was not built.
    """
    path = BIN / name
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is not built: run `make stack-build`")
    return path


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Running:
    """One started program: where it answers, where its files are, and how to end it."""

    name: str
    folder: Path
    ports: dict[str, int]
    launch: Launch
    options: Mapping[str, Any]
    env: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _log_start: int = 0  # a restarted program must say again that it is ready

    @property
    def url(self) -> str:
        """Base URL of its main HTTP port."""
        scheme = "http://" if self.launch.ready_path else ""  # kafka and redis want host:port
        return f"{scheme}127.0.0.1:{self.ports[self.launch.ports[0]]}"

    @property
    def log(self) -> str:
        """Everything it printed so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, *, timeout: float = 240.0) -> Running:
        """Start (again) and wait until it answers.

        Raises:
            NotReady: it ended, or did not answer within ``timeout`` seconds.
        """
        self.spawn()
        deadline = time.monotonic() + timeout
        while not self.answers():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log[-3000:]
                self.stop(0)
                raise NotReady(f"{self.name} is not ready:\n{tail}")
            time.sleep(0.05)
        return self

    def spawn(self) -> None:
        """Start without waiting."""
        command, env = self.launch.command(self.folder, self.ports, self.options)
        if not Path(command[0]).exists() and shutil.which(command[0]) is None:
            raise FileNotFoundError(f"{command[0]} is not there: run `make stack-build`")
        self._log_start = len(self.log)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **env, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to whoever started us, who then ends the programs in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - nothing else survives a killed test run
            )

    def answers(self) -> bool:
        """Whether its readiness probe says yes now."""
        if not self.launch.ready_path:
            port = self.ports[self.launch.ports[0]]
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return self.launch.ready_text in self.log[self._log_start :]
            return False
        probe = f"http://127.0.0.1:{self.ports[self.launch.ready_port or self.launch.ports[0]]}"
        try:
            with urllib.request.urlopen(probe + self.launch.ready_path, timeout=2) as answer:  # noqa: S310 - loopback
                return bool(answer.status == http.client.OK)
        except (OSError, http.client.HTTPException):
            return False

    def kill(self) -> None:
        """End it at once, as a crash would (``kill -9``)."""
        self.stop(0)

    def stop(self, grace: float = _STOP_SECONDS) -> None:
        """Ask it to end, then kill it after ``grace`` seconds; harmless if it has ended."""
        process, self.process = self.process, None
        if process is None:
            return
        if grace and process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        process.kill()
        process.wait()


def prepare(
    name: str,
    *,
    folder: Path | None = None,
    ports: Mapping[str, int] | None = None,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> Running:
    """Choose folder and ports of a program without starting it; see ``launches.py`` for its options."""
    launch = LAUNCHES[name]
    place = folder or Path(tempfile.mkdtemp(prefix=f"stack-{name}-"))
    place.mkdir(parents=True, exist_ok=True)
    chosen = dict(zip(launch.ports, free_ports(len(launch.ports)), strict=True)) | dict(ports or {})
    return Running(name, place, chosen, launch, options, dict(env or {}))


@contextlib.contextmanager
def running(name: str, *, timeout: float = 240.0, **how: Any) -> Iterator[Running]:
    """Run a program for the length of a block; its folder is removed at the end unless it was given."""
    program = prepare(name, **how)
    try:
        yield program.start(timeout=timeout)
    finally:
        program.stop()
        if how.get("folder") is None:
            shutil.rmtree(program.folder, ignore_errors=True)
