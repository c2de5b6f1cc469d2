"""A scripted WebSocket provider on loopback, with a ledger of what reached it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

HEADER = "openai-safety-identifier"
Event = dict[str, Any]
Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's side of one connection."""

    def __init__(self, socket: ServerConnection, server: SocketServer, number: int) -> None:
        self._socket = socket
        self._events = server.events
        self.path = server.paths[-1]
        self.number = number

    async def hear(self, *kinds: str) -> Event:
        """The next client event of these types, any where none is named; all go into the ledger."""
        while True:
            event: Event = json.loads(await self._socket.recv())
            self._events.append(event)
            if not kinds or event.get("type") in kinds:
                return event

    async def say(self, *events: Event) -> None:
        for event in events:
            await self._socket.send(json.dumps(event))

    async def raw(self, frame: str | bytes) -> None:
        """Sends a frame as it is."""
        await self._socket.send(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def drop(self) -> None:
        """The network is gone: no closing handshake."""
        self._socket.transport.abort()


class SocketServer:
    """Runs in a thread of its own; ``script`` says what happens on each connection."""

    def __init__(self) -> None:
        self.reset()
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._run, name="socket-server", daemon=True)

    def reset(self) -> None:
        """Listen and say nothing, with an empty ledger; a connection of an earlier test has another ledger."""
        self.script: Script = silent
        self.rejection: tuple[int, Event] | None = None
        self.handshakes: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.events: list[Event] = []

    def __enter__(self) -> SocketServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    @property
    def identifiers(self) -> list[str | None]:
        """What each handshake carried as an identifier."""
        return [headers.get(HEADER) for headers in self.handshakes]

    def of(self, kind: str) -> list[Event]:
        """The client events of one type that arrived."""
        return [event for event in self.events if event.get("type") == kind]

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._start())
        self._ready.set()
        self.loop.run_forever()

    async def _start(self) -> None:
        self._server = await serve(
            self._handle, "127.0.0.1", 0, process_request=self._judge, max_size=None, ping_interval=None
        )

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def _judge(self, socket: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append({name.lower(): value for name, value in request.headers.raw_items()})
        self.paths.append(request.path)
        if self.rejection is None:
            return None
        status, body = self.rejection
        return Response(
            status, "No", Headers({"content-type": "application/json"}), json.dumps(body).encode()
        )

    async def _handle(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.script(Peer(socket, self, len(self.handshakes)))


async def silent(peer: Peer) -> None:
    """Listens and says nothing."""
    while True:
        await peer.hear()


# --- what a provider says ---


def born(model: str = "gpt-realtime", **session: Any) -> Event:
    return {"type": "session.created", "event_id": "e0", "session": {"id": "s", "model": model, **session}}


def created(response_id: str, **fields: Any) -> Event:
    response = {"id": response_id, "object": "realtime.response", "status": "in_progress"}
    return {"type": "response.created", "event_id": "e1", "response": {**response, **fields}}


def delta(response_id: str, text: str = "hello") -> Event:
    return {
        "type": "response.output_text.delta",
        "event_id": "e2",
        "response_id": response_id,
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": text,
    }


def done(response_id: str, status: str = "completed", **fields: Any) -> Event:
    response = {
        "id": response_id,
        "object": "realtime.response",
        "status": status,
        "output": [],
        "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
        **fields,
    }
    return {"type": "response.done", "event_id": "e3", "response": response}


def response_event(kind: str, response_id: str, lane: str | None = None, /, **fields: Any) -> Event:
    """A lifecycle event of a Responses socket."""
    response = {
        "id": response_id,
        "object": "response",
        "created_at": 1,
        "model": "gpt-5",
        "status": kind.rpartition(".")[2].replace("created", "in_progress"),
        "output": [],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        **fields,
    }
    event = {"type": kind, "sequence_number": 0, "response": response}
    return {**event, "stream_id": lane} if lane else event


def text_delta(text: str = "hello", lane: str | None = None) -> Event:
    event = {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "i",
        "output_index": 0,
        "content_index": 0,
        "delta": text,
        "logprobs": [],
    }
    return {**event, "stream_id": lane} if lane else event


def error(code: str | None, message: str = "no", **fields: Any) -> Event:
    """A Realtime error event."""
    body = {"type": "invalid_request_error", "code": code, "message": message, "param": None, **fields}
    return {"type": "error", "event_id": "e9", "error": body}


# --- what it does ---


def realtime(*answers: Callable[[str], list[Event]]) -> Script:
    """Answers each `response.create` of a Realtime connection, the last answer again and again."""

    async def script(peer: Peer) -> None:
        await peer.say(born())
        at = 0
        while True:
            await peer.hear("response.create")
            at += 1
            frames = answers[min(at, len(answers)) - 1](f"resp_{peer.number}_{at}")
            await peer.say(*frames)

    return script


def responses(*answers: Callable[[str, str | None], list[Event]]) -> Script:
    """Answers each `response.create` of a Responses connection, in its lane."""

    async def script(peer: Peer) -> None:
        at = 0
        while True:
            asked = await peer.hear("response.create")
            at += 1
            frames = answers[min(at, len(answers)) - 1](f"resp_{peer.number}_{at}", asked.get("stream_id"))
            await peer.say(*frames)

    return script


def spoken(response_id: str) -> list[Event]:
    return [created(response_id), delta(response_id), done(response_id)]


def written(response_id: str, lane: str | None) -> list[Event]:
    return [
        response_event("response.created", response_id, lane),
        text_delta(lane=lane),
        response_event("response.completed", response_id, lane),
    ]
