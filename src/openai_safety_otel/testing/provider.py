"""A stand-in for the provider on a real loopback port, for the demo, tests and benchmarks.

In process: ``with Provider() as provider: OpenAI(base_url=provider.url, …)`` and then ``provider.ledger``.
On its own: ``openai-safety provider [--port N] [--replay DIR] [--block-after N]``;
``GET /_ledger`` shows what it did, ``DELETE /_ledger`` forgets it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections import deque
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from openai_safety_otel.contract.asgi import Receive, Scope, Send
from openai_safety_otel.testing.ledger import Ledger, LedgerEntry
from openai_safety_otel.testing.replay import Recordings
from openai_safety_otel.testing.routes import NONE, Route, find
from openai_safety_otel.testing.scenarios import IDENTIFIER, Act, act_for, error, settle
from openai_safety_otel.testing.shapes.common import Scene
from openai_safety_otel.testing.sockets import serve_socket
from openai_safety_otel.testing.state import Fault, State
from openai_safety_otel.testing.wire import Answer, ProviderRequest, event_stream, json_answer, parse_body

_SLICE = 0.05  # seconds between looks at whether the provider is closing


class Provider:
    """The stub: answers requests, keeps the ledger, and serves itself from a background thread.

    Args:
        block_after: enforcement blocks after which everything of an identifier is blocked; 0 means never.
        replay: a folder of recorded exchanges to serve instead of scenarios.
        port: loopback port; 0 takes a free one.
    """

    def __init__(self, *, block_after: int = 0, replay: str | Path | None = None, port: int = 0) -> None:
        self.ledger = Ledger()
        self.state = State(block_after=block_after)
        self.state.inner = self._inner
        self.state.accounts.entries = self.ledger
        self._recordings = Recordings(replay) if replay else None
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(256)
        config = uvicorn.Config(
            self, lifespan="off", log_config=None, log_level="critical", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.serve, name="provider-stub", daemon=True)

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The loopback port in use."""
        return int(self._socket.getsockname()[1])

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """What a client takes as ``base_url``; Azure clients take ``origin`` as their endpoint."""
        return f"{self.origin}/v1"

    def serve(self) -> None:
        """Serve until closed, in the calling thread."""
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def __enter__(self) -> Provider:
        # The socket listens already: a request made before the thread is up waits in its backlog.
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; open connections get a second."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._socket.close()

    # --- what a test sets ---------------------------------------------------------------------------------

    def fail(self, endpoint: str, *faults: Fault) -> None:
        """Answer the next requests of ``endpoint`` (``safety.cases``, ``responses.create``, …) with these."""
        self.state.faults.setdefault(endpoint, deque()).extend(faults)

    def add_case(
        self, case_id: str, identifier: str, *, notice: str = "warning", reason: str | None = "cyber_abuse"
    ) -> None:
        """Put a safety case where ``GET /v1/safety/cases/{id}`` finds it."""
        facts = {"entity_identifier": identifier, "reason": reason, "notice": {"type": notice}}
        self.state.objects[case_id] = {
            "id": case_id,
            "object": "safety.case",
            "created_at": 1767225600,
            **facts,
        }

    def add_alert(self, alert_id: str, **facts: Any) -> None:
        """Put a safety alert where ``GET /v1/safety/alerts/{id}`` finds it."""
        plain = {
            "id": alert_id,
            "object": "safety.alert",
            "created_at": 1767225600,
            "error_type": "other",
            "model": "gpt-5",
            "reason": None,
            "request_id": "req_1",
            "response_id": "resp_1",
            "request_paused": False,
        }
        self.state.objects[alert_id] = {**plain, **facts}

    # --- answering ----------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "websocket":
            await serve_socket(self, scope, receive, send)
        if scope["type"] != "http":
            return
        raw = await _read(receive)
        if scope["path"] == "/_ledger":
            await _send(self._show(scope["method"]), send, self._server, None)
            return
        call, endpoint = _parse(scope, raw)
        entry = self.open_entry(call, transport="http")
        answer = self.answer(call, endpoint, entry)
        entry.status = answer.status
        entry.streamed = answer.frames is not None
        answer.headers |= {"x-request-id": entry.request_id, "openai-version": "2020-10-01"}
        await _send(answer, send, self._server, entry)

    def _show(self, method: str) -> Answer:
        if method == "DELETE":
            self.ledger.clear()
        return json_answer(self.ledger.as_json())

    def open_entry(self, call: ProviderRequest, transport: str) -> LedgerEntry:
        """A new entry of the ledger for a request, or for a response on a socket."""
        found = call.identifiers()
        place = next(iter(found), "none")
        return self.ledger.open(
            api=call.api,
            endpoint=call.endpoint,
            method=call.method,
            path=call.path,
            transport=transport,
            identifiers=found,
            identifier=found.get(place),
            identifier_place=place,
            model=call.asked_model,
            attempt=call.attempt,
            digest=call.digest,
            request_id=self.state.new_id("req"),
            at=self.state.accounts.clock(),
            key=self.state.accounts.key_of(call),
        )

    def answer(self, call: ProviderRequest, endpoint: Route | None, entry: LedgerEntry) -> Answer:
        """Decide what happens to a request and give it its shape."""
        if (fault := self.state.next_fault(call.endpoint)) is not None:
            return _fault(fault, entry)
        if self._recordings is not None:
            return self._recordings.answer(call, entry)
        if endpoint is None:
            entry.outcome = "failed"
            return _error_answer(404, error("unknown_url", f"Unknown URL: {call.method} {call.path}"))
        act = settle(self.act_of(call, entry), endpoint.ways, stream=call.stream)
        if missing := _missing_parameter(call):
            act = replace(Act(way="http", outcome="failed", error=missing), name=act.name)
        entry.adopt(act)
        self.state.count_block(entry.identifier, act)
        return _played(Scene(call, act, self.state, entry), endpoint)

    def act_of(self, call: ProviderRequest, entry: LedgerEntry) -> Act:
        """What the provider does with this request: an ended identifier first, then the scenario."""
        asks = call.method == "POST" or entry.transport == "socket"
        if asks and self.state.is_blocked(entry.identifier):
            facts: dict[str, Any] = {"outcome": "blocked", "block_type": "identifier_blocked"}
            return Act(name="identifier", way="http", error=IDENTIFIER, block_source="request", **facts)
        return act_for(call) if asks else Act()

    def _inner(
        self, method: str, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> tuple[Answer, str]:
        """Play one line of a batch."""
        call, endpoint = _request(method, path, {}, headers, json.dumps(body).encode(), body)
        entry = self.open_entry(call, transport="batch")
        answer = self.answer(call, endpoint, entry)
        entry.status, entry.finished = answer.status, True
        return answer, entry.request_id


def _parse(scope: Scope, raw: bytes) -> tuple[ProviderRequest, Route | None]:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query: dict[str, str] = {}
    for name, value in parse_qsl(scope["query_string"].decode()):
        query[name] = f"{query[name]},{value}" if name in query else value
    body = parse_body(raw, headers.get("content-type", ""))
    return _request(scope["method"], scope["path"], query, headers, raw, body)


def _request(
    method: str,
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    raw: bytes,
    body: dict[str, Any],
) -> tuple[ProviderRequest, Route | None]:
    endpoint, params = find(method, path)
    name, api = (endpoint.name, endpoint.api) if endpoint else ("unknown", "unknown")
    azure = path.startswith("/openai/")
    return ProviderRequest(method, path, name, api, params, query, headers, raw, body, azure=azure), endpoint


def _missing_parameter(call: ProviderRequest) -> dict[str, Any] | None:
    asked = call.body.get("moderation")
    if isinstance(asked, dict) and not asked.get("model"):
        return error("missing_required_parameter", "Missing required parameter: 'moderation.model'.")
    return None


def _fault(fault: Fault, entry: LedgerEntry) -> Answer:
    entry.outcome = "failed"
    answer = _error_answer(fault.status, error(None, f"A fault was set: {fault.status}.", "server_error"))
    answer.delay = fault.hang
    answer.headers = dict(fault.headers)
    return answer


def _error_answer(status: int, fault: Any) -> Answer:
    flat = isinstance(fault, dict) and isinstance(fault.get("error"), str)
    return json_answer(fault if flat else {"error": fault}, status)


def _played(scene: Scene, endpoint: Route) -> Answer:
    act = scene.act
    if act.garbage is not None:
        return _garbage(scene)
    if act.way == "http" and endpoint.ways is not NONE:
        answer = _error_answer(act.status, act.error)
    else:
        answer = endpoint.shape(scene)
    answer.headers |= dict(act.headers)
    answer.cut = act.drop
    if answer.frames is None:
        answer.delay = act.hold
    elif act.drop:
        answer.frames = list(islice(answer.frames, act.after))
    if act.drop:
        scene.entry.forget_answer()
    return answer


def _garbage(scene: Scene) -> Answer:
    act, content = scene.act, scene.act.garbage or b""
    if act.way == "http":
        return Answer(act.status, content_type=act.garbage_type, body=content)
    if scene.call.stream:
        return event_stream([b"data: " + content + b"\n\n"] if content else [])
    return Answer(content_type=act.garbage_type, body=content)


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(answer: Answer, send: Send, server: uvicorn.Server, entry: LedgerEntry | None) -> None:
    await _wait(answer.delay, server)
    headers = {"content-type": answer.content_type, **answer.headers}
    if answer.frames is None:
        headers["content-length"] = str(len(answer.body))
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    for frame in answer.frames if answer.frames is not None else [answer.body]:
        if isinstance(frame, float):
            await _wait(frame, server)
            continue
        part = frame[: len(frame) // 2] if answer.cut and answer.frames is None else frame
        await send({"type": "http.response.body", "body": part, "more_body": True})
    if answer.cut:
        return  # an answer without an end: the server closes the connection
    if entry is not None:
        entry.finished = True
    await send({"type": "http.response.body", "body": b""})


async def _wait(seconds: float, server: uvicorn.Server) -> None:
    """Sleep, but not past the server's end: a hanging answer must not hold up a test."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0 and not server.should_exit:  # noqa: ASYNC110 - uvicorn has no event
        await asyncio.sleep(min(left, _SLICE))


def serve(*, port: int = 0, replay: str | Path | None = None, block_after: int = 3) -> None:
    """Run the stub in the foreground until it is interrupted; its address is printed first."""
    provider = Provider(block_after=block_after, replay=replay, port=port)
    sys.stdout.write(f"{provider.url}\n")
    sys.stdout.flush()
    provider.serve()
