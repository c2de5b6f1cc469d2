"""A fast stand-in for the Responses API: raw asyncio, streams only, and a ledger of who asked as whom.

Run as a program it prints its port; ``GET /ledger`` answers ``{response id: [user, identifier]}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from itertools import count
from typing import Any

ledger: dict[str, tuple[str, str | None]] = {}
_numbers = count(1)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n\r\n"
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}


def frame(kind: str, number: int, **fields: Any) -> bytes:
    """One server-sent event as one HTTP chunk."""
    data = json.dumps({"type": kind, "sequence_number": number, **fields})
    text = f"event: {kind}\ndata: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(text), text)


def delta(number: int, text: str) -> bytes:
    """One piece of the answer's text."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    return frame("response.output_text.delta", number, delta=text, **place)


def answer(body: dict[str, Any]) -> tuple[bytes, bytes]:
    """The beginning and the end of a streamed response, which is entered into the ledger."""
    name = f"resp_{next(_numbers)}"
    identifier = body.get("safety_identifier")
    ledger[name] = (body["metadata"]["user"], identifier)
    facts = {"id": name, "object": "response", "created_at": 1, "model": "gpt-5", "output": []}
    facts |= {
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "safety_identifier": identifier,
    }
    created = frame("response.created", 0, response={**facts, "status": "in_progress"})
    completed = frame("response.completed", 3, response={**facts, "status": "completed", "usage": USAGE})
    return created + delta(1, "hel"), delta(2, "lo") + completed + b"0\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The requests of one connection, one after the other."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if head.startswith("GET"):
                shown = json.dumps(ledger).encode()
                writer.write(_HEAD % (b"application/json", b"content-length: %d" % len(shown)) + shown)
                await writer.drain()
                continue
            (length,) = (
                int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")
            )
            first, last = answer(json.loads(await reader.readexactly(length)))
            writer.write(_HEAD % (b"text/event-stream", b"transfer-encoding: chunked") + first)
            await writer.drain()
            await asyncio.sleep(0.005)  # others' streams run meanwhile
            writer.write(last)
            await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - what the test reads
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
