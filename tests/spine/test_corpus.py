"""Every recorded exchange, made again through the SDK and the hook: exactly one record that says what it says."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import openai
import pytest
from openai.types.beta.assistant_stream_event import AssistantStreamEvent

from support.exchanges import Exchange, corpus, said
from support.http import http_library
from support.telemetry import Instrument, Telemetry

Facts = dict[str, Any]
# Where an exchange's path leads in the SDK; the rest is asked for by its path alone.
AZURE = "/openai/deployments/"
NOT_READY = {"queued", "in_progress"}


def _transport(exchange: Exchange) -> Any:
    headers = {"x-request-id": "req_corpus"}
    if exchange["content_type"]:
        headers["content-type"] = exchange["content_type"]
    elif exchange["response"].startswith("data:"):
        headers["content-type"] = "text/event-stream"
    else:
        headers["content-type"] = "application/json"
    text = exchange["response"]
    content = text if isinstance(text, str) else json.dumps(text)
    return http_library.MockTransport(
        lambda _: http_library.Response(
            exchange["status"], headers=headers, content=_pieces(content.encode())
        )
    )


def _pieces(content: bytes) -> Any:
    """A body that arrives in pieces, as over a network."""
    for start in range(0, len(content) or 1, 997):
        yield content[start : start + 997]


def _client(exchange: Exchange) -> openai.OpenAI:
    http = http_library.Client(transport=_transport(exchange))
    if exchange["path"].startswith(AZURE):
        return openai.AzureOpenAI(
            api_key="k",
            azure_endpoint=f"https://{exchange['host']}",
            api_version="2024-02-01",
            http_client=http,
        )
    return openai.OpenAI(
        api_key="k", base_url=f"https://{exchange['host']}/v1", http_client=http, max_retries=0
    )


RESOURCES = {
    "/chat/completions": lambda c: c.chat.completions,
    "/completions": lambda c: c.completions,
    "/responses": lambda c: c.responses,
    "/embeddings": lambda c: c.embeddings,
}


def _by_path(exchange: Exchange, path: str, client: openai.OpenAI) -> None:
    request = exchange["request"] or {}
    if exchange["method"] == "GET":
        client.get(path, cast_to=object)
    elif request.get("stream"):
        stream_cls = openai.Stream[AssistantStreamEvent]
        list(client.post(path, cast_to=object, body=request, stream=True, stream_cls=stream_cls))
    else:
        client.post(path, cast_to=object, body=request)


def _make(exchange: Exchange, client: openai.OpenAI) -> None:
    """The same call: what every version knows as arguments of `create`, the rest in `extra_body`."""
    request = dict(exchange["request"] or {})
    path = exchange["path"].split("?")[0]
    end = next((name for name in RESOURCES if path.endswith(name) and exchange["method"] == "POST"), None)
    if end is None:
        _by_path(exchange, path.removeprefix("/v1"), client)
        return
    resource: Any = RESOURCES[end](client)
    if exchange["raw_response_header"]:
        resource = resource.with_raw_response
    required = {"model", "messages", "input", "prompt", "stream"}
    known = {name: value for name, value in request.items() if name in required}
    rest = {name: value for name, value in request.items() if name not in required}
    known.setdefault("model", "unnamed") if end == "/embeddings" or AZURE in path else None
    result = resource.create(**known, extra_body=rest or None)
    if exchange["raw_response_header"]:
        result = result.parse()
    if request.get("stream"):
        for _ in result:
            pass


@pytest.mark.parametrize("exchange", corpus())
def test_one_record_that_says_what_the_exchange_says(
    exchange: Exchange, telemetry: Telemetry, instrument: Instrument
) -> None:
    """One span and one event, whose model, tokens, finish reasons, response id and outcome are the exchange's."""
    instrument()
    with _client(exchange) as client, contextlib.suppress(openai.OpenAIError, ValueError):
        _make(exchange, client)
    early = exchange["method"] == "GET" and json.loads(exchange["response"])["status"] in NOT_READY
    assert (1, 0 if early else 1) == (len(telemetry.spans), len(telemetry.events))
    if early:
        return  # a look at an answer that is not ready: its outcome is counted when it is
    (event,) = telemetry.events
    expected = said(exchange)
    names = {
        "model": "gen_ai.response.model",
        "id": "gen_ai.response.id",
        "input": "gen_ai.usage.input_tokens",
        "output": "gen_ai.usage.output_tokens",
        "cached": "gen_ai.usage.cache_read.input_tokens",
        "reasoning": "gen_ai.usage.reasoning.output_tokens",
        "outcome": "openai_safety.outcome",
    }
    found = {name: event.get(attribute) for name, attribute in names.items()}
    found["reasons"] = tuple(event.get("gen_ai.response.finish_reasons", ()))
    assert expected == found
    span = dict(telemetry.spans[0].attributes or {})
    shared = {name: value for name, value in event.items() if name in span}
    assert shared == {name: span[name] for name in shared}
