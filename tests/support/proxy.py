"""A TCP proxy on loopback whose far side can be made slow, or be gone."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Proxy:
    """Passes bytes on to a port; ``stall()`` holds them back, ``gone()`` refuses, ``back()`` mends both."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._moving = threading.Event()
        self._moving.set()
        self._closed = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._accept()

    def _accept(self) -> None:
        listener = self._listener

        def loop() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    return
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._moving.wait()
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Hold every byte back."""
        self._moving.clear()

    def gone(self) -> None:
        """Close every connection and accept no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()
        self._closed = True

    def back(self) -> None:
        """Pass everything on again, on the same port."""
        self._moving.set()
        if self._closed:
            self._closed = False
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._accept()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._moving.set()
        self.gone()
