"""Recorded exchanges of other projects, read by us and by a reader that knows nothing of ours."""

from __future__ import annotations

from typing import Any, get_args

import openai
import pytest
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse
from openai.types.beta.assistant_stream_event import AssistantStreamEvent
from openai.types.beta.threads.run import Run
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.extract.error import read_error
from openai_safety_otel.instrumentation.extract.request import read_request
from openai_safety_otel.instrumentation.extract.response import read_response
from openai_safety_otel.instrumentation.extract.sse import BodyReader
from openai_safety_otel.instrumentation.extract.stream import fold
from openai_safety_otel.instrumentation.outcome import classify
from support.exchanges import Exchange, Facts, corpus, documents_of, endpoint_of, said
from support.wire import answering

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


# --- what we read, in three ways -------------------------------------------------------------------


def _record(exchange: Exchange) -> CallRecord:
    endpoint = endpoint_of(exchange)
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
    documents = list(documents_of(exchange))
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


@pytest.mark.parametrize("exchange", corpus())
def test_a_recorded_exchange_is_read_as_what_it_says(exchange: Exchange) -> None:
    """Model, id, tokens, finish reasons and outcome equal the exchange's own, by every way of reading it."""
    expected = said(exchange)
    assert {
        "dictionaries": _from_dictionaries(exchange),
        "bytes": _from_bytes(exchange),
        "sdk": _from_the_sdk(exchange),
    } == {"dictionaries": expected, "bytes": expected, "sdk": expected}
