"""The provider of the benchmarks: answers from memory, through the transport that the SDK itself uses."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import openai

CHUNKS = 200
MODEL = "gpt-5-2025-08-07"
CATEGORIES = (
    "sexual",
    "sexual/minors",
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "violence",
    "violence/graphic",
)
_TEXT = "A plain answer of about the length that a short question gets from a model. " * 8
_serial = itertools.count()


_RESULT: dict[str, Any] = {
    "type": "moderation_result",
    "model": "omni-moderation-latest",
    "flagged": False,
    "categories": dict.fromkeys(CATEGORIES, False),
    "category_scores": {name: 0.0001 * (at + 1) for at, name in enumerate(CATEGORIES)},
    "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
}


def response(number: int, *, moderation: bool = False) -> dict[str, Any]:
    """A body of the Responses API."""
    body: dict[str, Any] = {
        "id": f"resp_{number:048x}",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": MODEL,
        "output": [
            {
                "type": "message",
                "id": f"msg_{number:048x}",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": _TEXT, "annotations": []}],
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "low", "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 12},
            "output_tokens": 130,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 166,
        },
        "user": None,
        "metadata": {},
    }
    return {**body, "moderation": {"input": _RESULT, "output": _RESULT}} if moderation else body


def completion(number: int, *, moderation: bool = False) -> dict[str, Any]:
    """A body of Chat Completions."""
    body: dict[str, Any] = {
        "id": f"chatcmpl-{number:024x}",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TEXT, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _usage(),
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }
    if not moderation:
        return body
    results = {"type": "moderation_results", "model": _RESULT["model"], "results": [_RESULT]}
    return {**body, "moderation": {"input": results, "output": results}}


def _usage() -> dict[str, Any]:
    return {
        "prompt_tokens": 36,
        "completion_tokens": 130,
        "total_tokens": 166,
        "prompt_tokens_details": {"cached_tokens": 12, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0},
    }


def response_stream(number: int, chunks: int = CHUNKS) -> Iterator[bytes]:
    """Text deltas of the Responses API between the events that begin and end an answer."""
    whole = response(number)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    item = whole["output"][0]
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    yield _event({"type": "response.created", "response": begun, "sequence_number": 0})
    yield _event({"type": "response.in_progress", "response": begun, "sequence_number": 1})
    opened = {**item, "status": "in_progress", "content": []}
    yield _event(
        {"type": "response.output_item.added", "output_index": 0, "item": opened, "sequence_number": 2}
    )
    for at in range(chunks):
        delta = {"delta": " word", "logprobs": [], "obfuscation": "abcdef", "sequence_number": 3 + at}
        yield _event({"type": "response.output_text.delta", **place, **delta})
    last = 3 + chunks
    yield _event(
        {"type": "response.output_item.done", "output_index": 0, "item": item, "sequence_number": last}
    )
    yield _event({"type": "response.completed", "response": whole, "sequence_number": last + 1})


def _event(data: dict[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def completion_stream(number: int, chunks: int = CHUNKS) -> Iterator[bytes]:
    """Deltas of Chat Completions, then the finish reason, the usage and the mark of the end."""
    base = {
        "id": f"chatcmpl-{number:024x}",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }
    for at in range(chunks):
        delta = {"content": " word"} if at else {"role": "assistant", "content": " word", "refusal": None}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield _data({**base, "choices": [choice], "usage": None})
    ended = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    yield _data({**base, "choices": [ended], "usage": None})
    yield _data({**base, "choices": [], "usage": _usage()})
    yield b"data: [DONE]\n\n"


def _data(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


# --- the transport ----------------------------------------------------------------------------------------

_ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {"responses": response, "completions": completion}
_STREAMS = {"responses": response_stream, "completions": completion_stream}
_STREAM_HEADERS = {"content-type": "text/event-stream", "x-request-id": "req_0123456789abcdef"}
_HEADERS = {"content-type": "application/json", "x-request-id": "req_0123456789abcdef"}


class Script:
    """Answers prepared before the clock runs; ids differ where ``fresh``, as a real provider's do."""

    def __init__(self, *, fresh: bool = False, chunks: int = CHUNKS) -> None:
        self._fresh = fresh
        self._bodies = {
            (kind, moderated): json.dumps(make(0, moderation=moderated)).encode()
            for kind, make in _ANSWERS.items()
            for moderated in (False, True)
        }
        self._pieces = {kind: list(make(0, chunks)) for kind, make in _STREAMS.items()}

    def body(self, kind: str, *, moderated: bool) -> bytes:
        """A JSON answer."""
        if self._fresh:
            return json.dumps(_ANSWERS[kind](next(_serial), moderation=moderated)).encode()
        return self._bodies[kind, moderated]

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """What the provider says to a request of a sync client."""
        kind, sent = request.url.path.rpartition("/")[2], request.content
        if b'"stream":true' in sent:
            return httpx2.Response(200, headers=_STREAM_HEADERS, content=iter(self._pieces[kind]))
        return httpx2.Response(
            200, headers=_HEADERS, content=self.body(kind, moderated=b'"moderation"' in sent)
        )

    async def answer_async(self, request: httpx2.Request) -> httpx2.Response:
        """The same to an async client."""
        if b'"stream":true' in request.content:
            pieces = self._pieces[request.url.path.rpartition("/")[2]]
            return httpx2.Response(200, headers=_STREAM_HEADERS, content=_each(pieces))
        return self.answer(request)

    async def answer_late(self, request: httpx2.Request) -> httpx2.Response:
        """The same after 50 ms, in which the event loop is free for other calls."""
        await asyncio.sleep(0.05)
        return await self.answer_async(request)


async def _each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def client(script: Script) -> openai.OpenAI:
    """A sync client whose network is the script."""
    transport = httpx2.MockTransport(script.answer)
    return openai.OpenAI(api_key="sk-bench", http_client=httpx2.Client(transport=transport))


def async_client(script: Script, *, late: bool = False) -> openai.AsyncOpenAI:
    """An async client whose network is the script."""
    transport = httpx2.MockTransport(script.answer_late if late else script.answer_async)
    return openai.AsyncOpenAI(api_key="sk-bench", http_client=httpx2.AsyncClient(transport=transport))


# --- the calls --------------------------------------------------------------------------------------------

_ASK: dict[str, Any] = {"model": "gpt-5", "input": "What is the capital of France?", "max_output_tokens": 500}
_CHAT: dict[str, Any] = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "max_completion_tokens": 500,
}
_SCORE: dict[str, Any] = {"moderation": {"model": "omni-moderation-latest"}}
# Name, which door, its arguments, whether it streams.
CASES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "responses": ("responses", _ASK, False),
    "chat": ("chat", _CHAT, False),
    "responses, moderation": ("responses", {**_ASK, "extra_body": _SCORE}, False),
    "chat, moderation": ("chat", {**_CHAT, "extra_body": _SCORE}, False),
    "responses stream": ("responses", {**_ASK, "stream": True}, True),
    "chat stream": (
        "chat",
        {**_CHAT, "stream": True, "stream_options": {"include_usage": True}},
        True,
    ),
}


def call(made: openai.OpenAI, case: str) -> Callable[[], object]:
    """One call of a case; a stream is read to its end."""
    door, arguments, stream = CASES[case]

    def plain() -> object:
        owner = made.responses if door == "responses" else made.chat.completions
        return owner.create(**arguments)

    def streamed() -> object:
        for _ in plain():  # type: ignore[attr-defined]
            pass
        return None

    return streamed if stream else plain


def call_open(made: openai.OpenAI, case: str) -> Any:
    """A stream that the caller reads."""
    door, arguments, _ = CASES[case]
    return (made.responses if door == "responses" else made.chat.completions).create(**arguments)


def async_call(made: openai.AsyncOpenAI, case: str) -> Callable[[], Any]:
    """One call of a case by the async client."""
    door, arguments, stream = CASES[case]

    async def plain() -> Any:
        owner = made.responses if door == "responses" else made.chat.completions
        return await owner.create(**arguments)

    async def streamed() -> None:
        async for _ in await plain():
            pass

    return streamed if stream else plain
