"""A stand-in for an OTLP/HTTP collector that misbehaves as told; logs are decoded, metrics kept as they came."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from support.waiting import until


class Collector:
    """Listens on loopback; ``mode`` is ``accept``, ``hang``, ``trickle``, ``lose`` or an HTTP status.

    ``lose`` takes the batch and cuts the connection before the answer. ``batches`` holds, for each request
    taken, the attributes of its log records, ``requests`` each as it came; ``metrics`` the bodies of metrics.
    """

    def __init__(self, mode: str | int = "accept") -> None:
        self.mode = mode
        self.requests: list[ExportLogsServiceRequest] = []
        self.batches: list[list[dict[str, Any]]] = []
        self.resources: list[dict[str, Any]] = []
        self.metrics: list[bytes] = []
        self.asked = threading.Event()
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer._answer(self, body)

            def log_message(self, *args: Any) -> None:
                """Be silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that leaves is what is tested."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch]

    def numbers(self, name: str = "n") -> list[Any]:
        return [event[name] for event in self.events if name in event]

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        mode = self.mode
        self.asked.set()
        if mode == "hang":
            while self.mode == "hang" and not self._over.wait(0.1):
                pass
            return
        if mode in ("accept", "lose") and handler.path == "/v1/logs":
            self._keep(body)
        if handler.path == "/v1/metrics":
            self.metrics.append(body)
        if mode == "lose":
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response(mode if isinstance(mode, int) else 200)
        handler.send_header("content-type", "application/x-protobuf")
        handler.send_header("content-length", "600" if mode == "trickle" else "0")
        handler.end_headers()
        while mode == "trickle" == self.mode and not self._over.wait(0.2):
            handler.wfile.write(b"\0")

    def _keep(self, body: bytes) -> None:
        request = ExportLogsServiceRequest.FromString(body)
        self.requests.append(request)
        batch = []
        for one in request.resource_logs:
            self.resources.append({pair.key: _value(pair.value) for pair in one.resource.attributes})
            for scope in one.scope_logs:
                for record in scope.log_records:
                    facts = {pair.key: _value(pair.value) for pair in record.attributes}
                    batch.append(facts | {"_scope": scope.scope.name, "_time": record.time_unix_nano})
        self.batches.append(batch)

    def wait(self, many: int, seconds: float = 60) -> None:
        """Until that many events are here."""
        enough = until(lambda: len(self.events) >= many, seconds)
        assert enough, f"{len(self.events)} of {many} events after {seconds} s"

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
