"""The demo's traffic as an agent gets it: OTLP requests of `openai-safety demo`, made as long as a benchmark wants."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from openai_safety_otel import conventions as c

EVENTS_A_REQUEST = 512  # what an SDK's batch processor sends at once
_DEMO = "import sys; from openai_safety_otel.cli import main; sys.argv[0] = 'openai-safety'; main()"


@contextmanager
def _listening(bodies: list[bytes]) -> Iterator[str]:
    """An OTLP/HTTP endpoint that keeps the log requests."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/v1/logs"):
                zipped = self.headers.get("Content-Encoding") == "gzip"
                bodies.append(gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _shown() -> list[ExportLogsServiceRequest]:
    """What one run of the demo sends."""
    bodies: list[bytes] = []
    with _listening(bodies) as url, tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-c",
            _DEMO,
            "demo",
            "--out",
            str(Path(folder) / "out"),
            "--collector",
            url,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [ExportLogsServiceRequest.FromString(body) for body in bodies]


class DemoTraffic:
    """The safety events of one run of the demo, repeated at ever later times."""

    def __init__(self) -> None:
        self._request = ExportLogsServiceRequest()
        resource = self._request.resource_logs.add()
        scope = resource.scope_logs.add()
        self._records = scope.log_records
        for shown in (one for request in _shown() for one in request.resource_logs):
            resource.resource.CopyFrom(shown.resource)
            for group in (one for one in shown.scope_logs if one.scope.name == c.SCOPE):
                scope.scope.CopyFrom(group.scope)
                self._records.extend(group.log_records)
        self.events = len(self._records)
        while len(self._records) < EVENTS_A_REQUEST:
            self._records.append(self._records[len(self._records) - self.events])
        del self._records[EVENTS_A_REQUEST:]

    def requests(self, count: int) -> list[bytes]:
        """Export requests of `EVENTS_A_REQUEST` events each, no two events of one time."""
        made, at = [], time.time_ns()
        for _ in range(count):
            for record in self._records:
                at += 1
                record.time_unix_nano = record.observed_time_unix_nano = at
            made.append(self._request.SerializeToString())
        return made

    def described(self) -> dict[str, float]:
        """Size of an event, its attributes, and the share of the calls that were moderated."""
        scored = {name for scores in c.SCORES.values() for name in scores.values()}
        attributes = [{one.key for one in record.attributes} for record in self._records]
        return {
            "events_of_the_demo": self.events,
            "bytes": len(self._request.SerializeToString()) // EVENTS_A_REQUEST,
            "attributes": round(sum(map(len, attributes)) / len(attributes), 1),
            "moderated": round(sum(bool(names & scored) for names in attributes) / len(attributes), 2),
        }
