"""The stub's WebSockets: Realtime, Responses and Live, playing the same scenarios as over HTTP.

A scenario marker in what the user writes decides each response; a marker in the model's name or in the header
``x-stub-scenario`` decides the handshake. Each response (and, for Live, each session) has an entry of its own
in the ledger with ``transport="socket"``; the handshake has one named ``….connect``.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import parse_qsl

from openai_safety_otel.contract.asgi import Receive, Scope, Send
from openai_safety_otel.testing.ledger import LedgerEntry
from openai_safety_otel.testing.scenarios import Act, settle
from openai_safety_otel.testing.shapes import responses
from openai_safety_otel.testing.shapes.common import Scene
from openai_safety_otel.testing.state import State
from openai_safety_otel.testing.wire import ProviderRequest, all_text

JsonObject = dict[str, Any]
_SPOKEN = frozenset(
    {"session.instructions.append", "session.thinking.append", "session.commentary.append", "response.create"}
)
_REALTIME_WAYS = frozenset({"failed", "frame", "filter", "length"})
_STATUS = {"filter": ("incomplete", "content_filter"), "length": ("incomplete", "max_output_tokens")}


class SocketProvider(Protocol):
    """What a socket asks of the provider it belongs to."""

    state: State

    def open_entry(self, call: ProviderRequest, transport: str) -> LedgerEntry:
        """A new entry of the ledger."""
        ...

    def act_of(self, call: ProviderRequest, entry: LedgerEntry) -> Act:
        """What the provider does with this request."""
        ...


@dataclass(slots=True)
class Connection:
    """One accepted socket: what the handshake said, what was written so far, and how to answer."""

    provider: SocketProvider
    api: str
    call: ProviderRequest
    receive: Receive
    send: Send
    written: str = ""
    session: JsonObject = field(default_factory=dict)

    async def say(self, message: JsonObject) -> None:
        """Send one event."""
        await self.send({"type": "websocket.send", "text": json.dumps(message)})

    async def close(self, code: int = 1000) -> None:
        """Close the socket."""
        await self.send({"type": "websocket.close", "code": code})

    async def messages(self) -> AsyncIterator[JsonObject]:
        """What the client sends, until it leaves."""
        while True:
            got = await self.receive()
            if got["type"] == "websocket.disconnect":
                return
            if got["type"] == "websocket.receive":
                yield json.loads(got.get("text") or got["bytes"])

    def event_id(self) -> str:
        """A fresh id of a server event."""
        return self.provider.state.new_id("event")

    def scene(self, endpoint: str, body: JsonObject, ways: frozenset[str]) -> Scene:
        """Open the ledger for one response and decide what happens to it."""
        call = replace(self.call, endpoint=endpoint, api=self.api, body=body, raw=json.dumps(body).encode())
        entry = self.provider.open_entry(call, transport="socket")
        entry.status, entry.streamed = 101, True
        act = self.decide(call, entry, ways)
        self.note(entry, act)
        return Scene(call, act, self.provider.state, entry)

    def decide(self, call: ProviderRequest, entry: LedgerEntry, ways: frozenset[str]) -> Act:
        """What happens to a response; what HTTP tells by its status, a socket tells by an error event."""
        act = self.provider.act_of(call, entry)
        if act.way == "http" and "http" not in ways:
            act = replace(act, way="frame")
        return settle(act, ways, stream=True)

    def note(self, entry: LedgerEntry, act: Act) -> None:
        """Write what happens into the ledger."""
        entry.adopt(act)
        self.provider.state.count_block(entry.identifier, act)


# --- Responses -------------------------------------------------------------------------------------------


async def serve_responses(connection: Connection) -> None:
    """Every ``response.create`` is answered by the events that HTTP would stream, on its own lane."""
    async for message in connection.messages():
        if message.get("type") != "response.create":
            continue
        lane = {"stream_id": message["stream_id"]} if "stream_id" in message else {}
        body = {name: value for name, value in message.items() if name not in {"type", "stream_id"}}
        scene = connection.scene("responses.create", {**body, "stream": True}, responses.WAYS)
        if scene.act.way == "http":
            fault = {"type": "error", "status": scene.act.status, "error": scene.act.error}
            await connection.say({**fault, **lane})
            scene.entry.finished = True
            continue
        scene.entry.response_id = response_id = scene.state.new_id("resp")
        if not await _say_all(connection, scene, responses.events(scene, response_id), lane):
            return


async def _say_all(connection: Connection, scene: Scene, events: Any, more: JsonObject) -> bool:
    """Send the events; False where the scenario cuts the connection."""
    for number, event in enumerate(events):
        if scene.act.drop and number >= scene.act.after:
            scene.entry.forget_answer()
            await connection.close(1011)
            return False
        if isinstance(event, float):
            await asyncio.sleep(event)
        else:
            await connection.say({**event, **more})
    scene.entry.finished = True
    return True


# --- Realtime --------------------------------------------------------------------------------------------


async def serve_realtime(connection: Connection) -> None:
    """Items are remembered; each ``response.create`` answers the last one."""
    model = connection.call.query.get("model", "gpt-realtime")
    connection.session = {"id": connection.provider.state.new_id("sess"), "object": "realtime.session"}
    connection.session |= {"type": "realtime", "model": model}
    await _session(connection, "session.created")
    async for message in connection.messages():
        kind = message.get("type")
        if kind == "session.update":
            connection.session |= message.get("session") or {}
            await _session(connection, "session.updated")
        elif kind == "conversation.item.create":
            connection.written = all_text(message["item"])
            added = {"type": "conversation.item.added", "event_id": connection.event_id()}
            await connection.say({**added, "previous_item_id": None, "item": message["item"]})
        elif kind == "response.create" and not await _respond(connection, message):
            return


async def _session(connection: Connection, kind: str) -> None:
    await connection.say({"type": kind, "event_id": connection.event_id(), "session": connection.session})


async def _respond(connection: Connection, message: JsonObject) -> bool:
    asked = message.get("response") or {}
    text = all_text(asked.get("input")) or asked.get("instructions") or connection.written
    body = {"model": connection.session["model"], "input": text}
    scene = connection.scene("realtime.response", body, _REALTIME_WAYS)
    if scene.act.way == "frame":
        fault = {"type": "error", "event_id": connection.event_id()}
        await connection.say({**fault, "error": {**scene.act.error, "event_id": message.get("event_id")}})
        scene.entry.finished = True
        return True
    scene.entry.response_id = response_id = scene.state.new_id("resp")
    return await _say_all(connection, scene, _realtime_events(connection, scene, response_id), {})


def _realtime_events(connection: Connection, scene: Scene, response_id: str) -> Any:
    place = {"response_id": response_id, "item_id": "item_1", "output_index": 0, "content_index": 0}
    answer: JsonObject = {"object": "realtime.response", "id": response_id, "output": [], "usage": None}
    answer |= {"status_details": None, "metadata": None}

    def event(kind: str, **content: Any) -> JsonObject:
        return {"type": kind, "event_id": connection.event_id(), **content}

    yield event("response.created", response={**answer, "status": "in_progress"})
    if scene.act.hold:
        yield scene.act.hold
    for word in scene.words:
        yield event("response.output_text.delta", delta=word, **place)
    yield event("response.output_text.done", text="".join(scene.words), **place)
    used, made = scene.count(" ".join(scene.words))
    usage = {"input_tokens": used, "output_tokens": made, "total_tokens": used + made}
    yield event("response.done", response={**answer, "usage": usage, **_realtime_status(scene)})


def _realtime_status(scene: Scene) -> JsonObject:
    if scene.act.way == "failed":
        fault = {name: scene.act.error.get(name) for name in ("type", "code", "message")}
        return {"status": "failed", "status_details": {"type": "failed", "error": fault}}
    if found := _STATUS.get(scene.act.way):
        return {"status": found[0], "status_details": {"type": found[0], "reason": found[1]}}
    return {"status": "completed", "status_details": None}


# --- Live ------------------------------------------------------------------------------------------------


async def serve_live(connection: Connection) -> None:
    """One session: it speaks after every text given to it, until it is closed or the filter closes it."""
    started = time.monotonic()
    scene: Scene | None = None
    async for message in connection.messages():
        kind, answers = message.get("type"), {"client_event_id": message.get("event_id")}
        if kind == "session.start":
            scene = await _start_live(connection, message, answers)
        elif scene is None:
            await _live_error(
                connection, {"code": "session_not_started", "type": "invalid_request_error"}, answers
            )
        elif kind == "session.close":
            await _close_live(connection, scene, "close_requested", started, answers)
            return
        elif kind in _SPOKEN and not await _speak(connection, scene, message, started, answers):
            return


async def _start_live(connection: Connection, message: JsonObject, answers: JsonObject) -> Scene:
    asked = message.get("session") or {}
    connection.session = {"id": connection.provider.state.new_id("live"), "status": "active", **asked}
    connection.session["expires_at"] = int(time.time()) + 3600
    scene = connection.scene("live.session", {"session": asked}, _REALTIME_WAYS)
    scene.entry.response_id = connection.session["id"]
    started = {"type": "session.started", "event_id": connection.event_id()}
    await connection.say({**started, "session": connection.session, **answers})
    return scene


async def _speak(
    connection: Connection, scene: Scene, message: JsonObject, started: float, answers: JsonObject
) -> bool:
    """Answer one text; False where the session ended by it. What happens is what the whole session was."""
    act = connection.decide(_with_text(scene.call, all_text(message)), scene.entry, _REALTIME_WAYS)
    if act.outcome != "completed":
        connection.note(scene.entry, act)
    if act.way in {"frame", "failed"}:
        await _live_error(connection, act.error, answers)
        return True
    if act.way == "filter":
        await _close_live(connection, scene, "content", started, answers)
        return False
    await asyncio.sleep(act.hold)
    for at, word in enumerate(scene.words):
        delta = {"type": "session.output_transcript.delta", "event_id": connection.event_id(), "delta": word}
        await connection.say({**delta, "start_ms": at * 100, "end_ms": at * 100 + 100})
    if act.drop:
        await connection.close(1011)
    return not act.drop


async def _live_error(connection: Connection, fault: JsonObject, answers: JsonObject) -> None:
    error = {"type": fault.get("type"), "code": fault["code"], "message": fault.get("message", "")}
    await connection.say({"type": "error", "event_id": connection.event_id(), "error": error, **answers})


async def _close_live(
    connection: Connection, scene: Scene, reason: str, started: float, answers: JsonObject
) -> None:
    usage = {"seconds": round(time.monotonic() - started, 3)}
    closed = {"type": "session.closed", "event_id": connection.event_id(), "reason": reason, **answers}
    await connection.say({**closed, "session": connection.session, "usage": usage})
    scene.entry.finished = True
    await connection.close()


def _with_text(call: ProviderRequest, text: str) -> ProviderRequest:
    return replace(call, body={**call.body, "input": text})


# --- the handshake ---------------------------------------------------------------------------------------

_ROUTES: tuple[tuple[re.Pattern[str], str, str, Callable[[Connection], Awaitable[None]]], ...] = (
    (re.compile(r"/v1/responses"), "responses.connect", "responses", serve_responses),
    (re.compile(r"/v1/realtime(/translations)?"), "realtime.connect", "realtime", serve_realtime),
    (re.compile(r"/openai/(v1/)?realtime"), "realtime.connect", "realtime", serve_realtime),
    (re.compile(r"/v1/live/sessions(/[^/]+/\w+)?"), "live.connect", "live", serve_live),
)


async def serve_socket(provider: SocketProvider, scope: Scope, receive: Receive, send: Send) -> None:
    """Accept or refuse the handshake, then serve the connection until it ends."""
    await receive()  # the connect event
    route = next((found for found in _ROUTES if found[0].fullmatch(scope["path"])), None)
    if route is None:
        await _refuse(scope, send, Act(status=404))
        return
    _, name, api, serve = route
    call = _handshake(scope, name, api)
    entry = provider.open_entry(call, transport="socket")
    act = settle(provider.act_of(call, entry), frozenset({"http"}), stream=False)
    entry.adopt(act)
    entry.status = act.status if act.way == "http" else 101
    if act.way == "http":
        await _refuse(scope, send, act, entry)
        return
    headers = [(b"x-request-id", entry.request_id.encode())]
    await send({"type": "websocket.accept", "headers": headers})
    entry.finished = True
    await serve(Connection(provider, api, call, receive, send))


def _handshake(scope: Scope, name: str, api: str) -> ProviderRequest:
    headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode()))
    body = {"model": query["model"]} if "model" in query else {}
    return ProviderRequest("GET", scope["path"], name, api, {}, query, headers, b"", body)


async def _refuse(scope: Scope, send: Send, act: Act, entry: LedgerEntry | None = None) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    content = json.dumps({"error": act.error or {"message": "not found", "code": None}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if entry is not None:
        headers.append((b"x-request-id", entry.request_id.encode()))
        entry.finished = True
    await send({"type": "websocket.http.response.start", "status": act.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": content})
