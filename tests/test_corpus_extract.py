"""Recorded exchanges of other projects, read by us and by a reader that knows nothing of ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import openai
import pytest
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse
from openai.types.beta.assistant_stream_event import AssistantStreamEvent
from openai.types.beta.threads.run import Run
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from openai_safety_otel import conventions as c
from openai_safety_otel.extract.endpoints import Endpoint, find
from openai_safety_otel.extract.error import read_error
from openai_safety_otel.extract.request import read_request
from openai_safety_otel.extract.response import read_response
from openai_safety_otel.extract.sse import BodyReader
from openai_safety_otel.extract.stream import fold
from openai_safety_otel.outcome import classify
from openai_safety_otel.record import CallRecord
from support.wire import answering

Facts = dict[str, Any]
Exchange = dict[str, Any]
STREAMED: dict[str, Any] = {
    "chat": openai.Stream[ChatCompletionChunk],
    "completions": openai.Stream[Completion],
    "responses": openai.Stream[ResponseStreamEvent],
    "assistants": openai.Stream[AssistantStreamEvent],
}
PLAIN: dict[str, Any] = {
    "chat": ChatCompletion,
    "completions": Completion,
    "responses": Response,
    "embeddings": CreateEmbeddingResponse,
    "images": ImagesResponse,
    "assistants": Run,
}


def _corpus() -> list[Any]:
    folder = os.environ.get("WIRE_CORPUS", "")
    if not folder:
        reason = "WIRE_CORPUS names no folder of recorded exchanges"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-corpus")]
    files = sorted(Path(folder).glob("*.json"))
    assert files, f"WIRE_CORPUS is set, but {folder} holds no exchange"
    loaded = [(file.stem, json.loads(file.read_bytes())) for file in files]
    return [pytest.param(exchange, id=name) for name, exchange in loaded if _endpoint(exchange)]


def _endpoint(exchange: Exchange) -> Endpoint | None:
    return find(exchange["method"], f"https://{exchange['host']}{exchange['path']}")


# --- what the exchange says, read without the SDK and without any table of ours --------------------


def _documents(exchange: Exchange) -> Iterator[Any]:
    text = exchange["response"]
    if text.lstrip()[:1] == "{":
        yield json.loads(text)
        return
    for line in text.splitlines():
        if line.startswith("data:") and "[DONE]" not in line:
            yield json.loads(line[5:])


def _said(exchange: Exchange) -> Facts:
    facts: Facts = dict.fromkeys(("model", "id", "input", "output", "cached", "reasoning"))
    reasons: dict[int, str] = {}
    refused = blocked = failed = False
    for document in _documents(exchange):
        answer = document.get("response", document)
        if answer.get("object", "thread.run") not in _ANSWERS:
            continue
        facts["model"] = answer.get("model") or facts["model"]
        facts["id"] = answer.get("id") or facts["id"]
        facts.update(_tokens(answer.get("usage") or {}))
        for choice in answer.get("choices", []):
            said = choice.get("message") or choice.get("delta") or {}
            refused = refused or bool(said.get("refusal"))
            if choice.get("finish_reason"):
                reasons[choice["index"]] = choice["finish_reason"]
        if answer.get("object") == "response" and answer["status"] == "completed":
            kinds = [item["type"] for item in answer["output"]]
            reasons[0] = "tool_calls" if "function_call" in kinds else "stop"
            refused = refused or '"type": "refusal"' in json.dumps(answer["output"])
        if error := answer.get("error"):
            blocked = error.get("code") == "content_filter"
            failed = not blocked
    facts["reasons"] = tuple(reasons[index] for index in sorted(reasons))
    blocked = blocked or "content_filter" in facts["reasons"]
    facts["outcome"] = "blocked" if blocked else "failed" if failed else "refused" if refused else "completed"
    if exchange["method"] == "GET":  # a fetched answer reports no tokens
        facts.update(dict.fromkeys(("input", "output", "cached", "reasoning")))
    return facts


_ANSWERS = {
    "",
    "chat.completion",
    "chat.completion.chunk",
    "text_completion",
    "response",
    "list",
    "thread.run",
}


def _tokens(usage: dict[str, Any]) -> Facts:
    found = {
        "input": usage.get("prompt_tokens", usage.get("input_tokens")),
        "output": usage.get("completion_tokens", usage.get("output_tokens")),
    }
    for side, name, kind in (
        ("prompt", "cached", "cached_tokens"),
        ("input", "cached", "cached_tokens"),
        ("completion", "reasoning", "reasoning_tokens"),
        ("output", "reasoning", "reasoning_tokens"),
    ):
        details = usage.get(f"{side}_tokens_details") or {}
        found.setdefault(name, details.get(kind))
        found[name] = details.get(kind, found[name])
    return {name: value for name, value in found.items() if value is not None}


# --- what we read, in three ways -------------------------------------------------------------------


def _record(exchange: Exchange) -> CallRecord:
    endpoint = _endpoint(exchange)
    assert endpoint is not None
    record = CallRecord(endpoint.api, endpoint.name, endpoint.operation, host=exchange["host"])
    read_request(record, exchange["request"])
    return record


def _read(record: CallRecord) -> Facts:
    standard = record.standard
    return {
        "model": record.response_model,
        "id": record.response_id,
        "input": standard.get(c.INPUT_TOKENS),
        "output": standard.get(c.OUTPUT_TOKENS),
        "cached": standard.get(c.CACHE_READ_TOKENS),
        "reasoning": standard.get(c.REASONING_TOKENS),
        "reasons": record.finish_reasons,
        "outcome": classify(record).name,
    }


def _from_dictionaries(exchange: Exchange) -> Facts:
    record = _record(exchange)
    documents = list(_documents(exchange))
    if record.streaming:
        names = [line[6:].strip() for line in exchange["response"].splitlines() if line[:6] == "event:"]
        for at, document in enumerate(documents):
            named = record.api == "assistants"
            fold(record, {"event": names[at], "data": document} if named else document)
    else:
        read_response(record, documents[0])
    return _read(record)


def _from_bytes(exchange: Exchange) -> Facts:
    record = _record(exchange)
    reader = BodyReader({"content-type": exchange["content_type"]})
    body = exchange["response"].encode()
    for start in range(0, len(body), 997):
        reader.feed(record, body[start : start + 997])
    reader.finish(record)
    return _read(record)


def _from_the_sdk(exchange: Exchange) -> Facts:
    record = _record(exchange)
    kind = exchange["content_type"] or "application/json"
    with answering(exchange["response"], status=exchange["status"], content_type=kind) as client:
        try:
            result = _send(client, exchange, record)
        except openai.APIError as error:
            record.end = "raised"
            read_error(record, error)
        else:
            for chunk in result if record.streaming else ():
                fold(record, chunk)
            if not record.streaming:
                read_response(record, result)
    return _read(record)


def _send(client: openai.OpenAI, exchange: Exchange, record: CallRecord) -> Any:
    url = f"https://{exchange['host']}{exchange['path']}"
    if exchange["method"] == "GET":
        return client.get(url, cast_to=PLAIN[record.api])
    if not record.streaming:
        return client.post(url, body=exchange["request"], cast_to=PLAIN[record.api])
    return client.post(
        url,
        body=exchange["request"],
        cast_to=get_args(STREAMED[record.api])[0],
        stream=True,
        stream_cls=STREAMED[record.api],
    )


@pytest.mark.parametrize("exchange", _corpus())
def test_a_recorded_exchange_is_read_as_what_it_says(exchange: Exchange) -> None:
    """Model, id, tokens, finish reasons and outcome equal the exchange's own, by every way of reading it."""
    said = _said(exchange)
    assert {
        "dictionaries": _from_dictionaries(exchange),
        "bytes": _from_bytes(exchange),
        "sdk": _from_the_sdk(exchange),
    } == {"dictionaries": said, "bytes": said, "sdk": said}
