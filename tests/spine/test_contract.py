"""With and without the instrumentation an app sees the same objects, exceptions and bytes on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from openai_safety_otel.testing.provider import Provider
from support.http import http_library
from support.telemetry import Instrument

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}


def _public(value: Any) -> tuple[str, str, list[str]]:
    return type(value).__name__, type(value).__module__, [n for n in dir(value) if not n.startswith("_")]


def _error(call: Callable[[], Any]) -> Any:
    try:
        call()
    except openai.OpenAIError as error:
        chain = (type(error.__cause__), type(error.__context__))
        body = getattr(error, "body", None)
        public = [n for n in dir(error) if not n.startswith("_")]
        return type(error), error.args, body, getattr(error, "status_code", None), chain, public
    raise AssertionError("no error")


WAYS: dict[str, Callable[[openai.OpenAI], Any]] = {
    "plain": lambda c: _public(c.responses.create(**ASK)),
    "stream": lambda c: _public(c.responses.create(**ASK, stream=True)),
    "chunk": lambda c: _public(next(iter(c.responses.create(**ASK, stream=True)))),
    "raw": lambda c: _public(c.responses.with_raw_response.create(**ASK)),
    "raw parsed": lambda c: _public(c.responses.with_raw_response.create(**ASK).parse()),
    "streaming": lambda c: _public(c.responses.with_streaming_response.create(**ASK)),
    "streaming opened": lambda c: _public(c.responses.with_streaming_response.create(**ASK).__enter__()),
    "helper": lambda c: _public(c.responses.stream(**ASK)),
    "http response": lambda c: _public(c.responses.create(**ASK, stream=True).response),
    "embeddings": lambda c: _public(c.embeddings.create(model="e", input="x")),
    "speech": lambda c: _public(c.audio.speech.create(model="t", voice="alloy", input="x")),
    "bad request": lambda c: _error(lambda: c.responses.create(model="m", input="[[cyber]]")),
    "forbidden": lambda c: _error(lambda: c.responses.create(model="m", input="[[misalignment]]")),
    "frame": lambda c: _error(
        lambda: list(c.responses.create(model="m", input="[[cyber-frame]]", stream=True))
    ),
    "method": lambda c: (c.request.__name__, c.request.__doc__, type(c).request.__qualname__),
    "signature": lambda c: __import__("inspect").signature(type(c).request),
}


@pytest.mark.parametrize("way", WAYS)
def test_objects_and_exceptions_are_the_same(way: str, client: openai.OpenAI, instrument: Instrument) -> None:
    """Type names, modules, public attributes, exception types, arguments and bodies do not change."""
    before = WAYS[way](client)
    instrument()
    assert before == WAYS[way](client)


def _wire(provider: Provider, call: Callable[[openai.OpenAI], Any], sent: list[Any]) -> Any:
    def note(request: Any) -> None:
        volatile = {"x-stainless-retry-count", "idempotency-key", "x-stainless-idempotency-key"}
        sent.append(
            (
                request.method,
                str(request.url),
                request.read(),
                sorted(set(request.headers.items()) - volatile),
            )
        )

    http = http_library.Client(event_hooks={"request": [note]})
    with openai.OpenAI(api_key="sk-test", base_url=provider.url, http_client=http) as client:
        call(client)


CALLS: dict[str, Callable[[openai.OpenAI], Any]] = {
    "responses": lambda c: c.responses.create(**ASK),
    "responses stream": lambda c: list(c.responses.create(**ASK, stream=True)),
    "chat with identifier": lambda c: c.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}], extra_body={"safety_identifier": "theirs"}
    ),
    "embeddings": lambda c: c.embeddings.create(model="e", input="x"),
    "extra": lambda c: c.responses.create(**ASK, extra_body={"zzz": 1}, extra_headers={"X-Mine": "1"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_bytes_on_the_wire_are_the_same(name: str, provider: Provider, instrument: Instrument) -> None:
    """Without an end user nothing is added: method, URL, headers and body are byte-equal."""
    before: list[Any] = []
    after: list[Any] = []
    _wire(provider, CALLS[name], before)
    instrument()
    _wire(provider, CALLS[name], after)
    assert before == after


def test_uninstrument_restores_the_originals(instrument: Instrument) -> None:
    """After `uninstrument()` each hooked attribute is exactly what it was, inherited ones inherited again."""
    from openai import _base_client as base

    def hooked() -> list[Any]:
        owners = (openai.OpenAI, openai.AsyncOpenAI, base.SyncAPIClient, base.AsyncAPIClient, base.BaseClient)
        names = ("request", "_process_response", "_make_status_error_from_response")
        return [vars(owner).get(name) for owner in owners for name in names]

    before = hooked()
    instrumentor = instrument()
    assert before != hooked()
    instrumentor.uninstrument()
    assert before == hooked()
