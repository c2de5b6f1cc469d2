"""Real servers on loopback ports: an ASGI app in a thread of this process, the receiver in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address (``127.0.0.1:port``) at which the application is served."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(64)
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, timeout_graceful_shutdown=1, ws="websockets-sansio"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[door])), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


class Served:
    """`openai-safety webhooks` in a process of its own."""

    def __init__(self, environ: dict[str, str], *options: str) -> None:
        command = [str(Path(sys.executable).with_name("openai-safety")), "webhooks", "--port", "0", *options]
        self.process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.line = self.process.stderr.readline()
        if not self.line.startswith("receiving on http://127.0.0.1:"):
            self.process.kill()
            pytest.fail(self.line + self.process.communicate()[1])
        self.url = self.line.split()[-1]

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said

    def end(self) -> None:
        """Whatever it is doing."""
        self.process.kill()
        self.process.communicate()
