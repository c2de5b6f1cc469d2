"""A real receiver on loopback, a scripted case API, and the means to look at both."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import uvicorn
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.ledger.journal import Journal, Notice, open_journal
from openai_safety_otel.operations.webhooks.app import show_with
from openai_safety_otel.operations.webhooks.cases import CaseReader
from openai_safety_otel.operations.webhooks.drill import signed_headers
from openai_safety_otel.operations.webhooks.follow_up import FollowUpTools, RetryPolicy
from openai_safety_otel.operations.webhooks.measures import Measures
from openai_safety_otel.operations.webhooks.receiver import Receiver
from openai_safety_otel.operations.webhooks.verify import Verifier
from openai_safety_otel.who.identifier import Hasher
from support import waiting

SECRET = "whsec_" + base64.b64encode(b"a secret of the endpoint, for tests").decode()
HASHER = Hasher(b"k" * 32)
IDENTIFIER = "5e" * 32
CASE: dict[str, Any] = {
    "id": "C-1",
    "object": "safety.case",
    "created_at": 1,
    "entity_identifier": IDENTIFIER,
    "reason": "cyber_abuse",
    "notice": {"type": "warning"},
}
FAST = RetryPolicy(patience=0.3, first=0.01, most=0.05, tries=4, lease=1.0, poll=0.1)
Answer = tuple[int, Any]
HANG: Answer = (0, None)


def warning(case: str = "C-1", **more: Any) -> dict[str, Any]:
    """The webhook of a warning."""
    return webhook("safety.warning_issued", {"id": case}, **more)


def webhook(kind: str, data: Any, **more: Any) -> dict[str, Any]:
    """An envelope as the provider sends it."""
    return {"id": "evt_1", "object": "event", "created_at": 1, "type": kind, "data": data, **more}


@dataclass
class Collected:
    """A sink that keeps the events."""

    events: list[SafetyEvent] = field(default_factory=list)

    def emit(self, event: SafetyEvent) -> None:
        self.events.append(event)


class CaseApi:
    """The provider's case API, scripted: each path has answers, the last one repeats."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, str]] = []
        self.posted: list[tuple[str, str]] = []
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("authorization", "")))
                self._reply()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.posted.append((self.path, body.decode("utf-8", "replace")))
                self._reply()

            def _reply(self) -> None:
                status, content = outer.next(self.path)
                if status == 0:
                    outer.released.wait(30)
                    self.close_connection = True
                    return
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", str(content))
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self, path: str) -> Answer:
        found = self.answers.get(path, [(404, {"error": {"message": "no such case", "code": None}})])
        return found.pop(0) if len(found) > 1 else found[0]

    def case(self, *answers: Answer, case: str = "C-1") -> None:
        self.answers[f"/v1/safety/cases/{case}"] = list(answers)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Answered:
    """What a receiver answered."""

    status: int
    body: dict[str, Any]


class Serving:
    """An ASGI app on a real uvicorn, in a thread of this process."""

    def __init__(self, app: Any) -> None:
        # With the protocol named, asyncio switches Nagle off as it does for its own sockets.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        until(lambda: self._server.started)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()


class Bench:
    """One receiver with everything around it."""

    def __init__(
        self, store: str, api: CaseApi, *, secrets: tuple[str, ...] = (SECRET,), **means: Any
    ) -> None:
        self.journal: Journal = open_journal(store)
        self.sink = Collected()
        self.reader = InMemoryMetricReader()
        self._provider = MeterProvider([self.reader])
        retries = means.pop("retries", FAST)
        client = openai.AsyncOpenAI(api_key="sk-case", base_url=api.url + "/v1")
        cases = CaseReader(client, seconds=means.pop("case_seconds", 5.0))
        means.setdefault("cases", cases)
        body_seconds = means.pop("body_seconds", 5.0)
        mount = means.pop("mount", lambda app: app)
        self.app = Receiver(
            means.pop("receiver_journal", self.journal),
            Verifier(secrets),
            FollowUpTools(**{"sink": self.sink, "show": show_with(HASHER), **means}),
            measures=Measures(self.journal, self._provider),
            retries=retries,
            body_seconds=body_seconds,
            finish_seconds=0.1,
        )
        self.server = Serving(mount(self.app))
        self.port = self.server.port

    def send(self, body: bytes, headers: dict[str, str], method: str = "POST", path: str = "/") -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answered(answer.status, json.loads(answer.read() or b"{}"))
        finally:
            connection.close()

    def post(self, content: Any, *, delivery: str = "wh_1", secret: str = SECRET, **headers: str) -> Answered:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.send(body, signed_headers(body, secret, delivery) | headers)

    def counts(self, metric: str, label: str) -> dict[Any, Any]:
        """The values of one metric, zeros left out, by one label."""
        found: Counter[Any] = Counter()
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else []:
            for scope in resource.scope_metrics:
                for one in scope.metrics:
                    if one.name == metric:
                        for point in one.data.data_points:
                            found[(point.attributes or {})[label]] += point.value  # type: ignore[union-attr, assignment]
        return {key: value for key, value in found.items() if value}

    def settled(self, case: str = "warning:C-1") -> Notice:
        """The notice once nothing is left to do."""
        until(lambda: (found := self.journal.notice(case)) is not None and found.next_at is None)
        found = self.journal.notice(case)
        assert found is not None
        return found

    def close(self) -> None:
        self.server.close()
        self.journal.close()
        self._provider.shutdown()


def until(true: Callable[[], bool], seconds: float = waiting.LONGEST) -> None:
    """Wait for something to become true; fail if it never does."""
    assert waiting.until(true, seconds), "it never became true"
