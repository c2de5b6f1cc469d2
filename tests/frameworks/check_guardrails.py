"""OpenAI's own guardrails library, which sends one constant identifier for all users to OpenAI's hosts only."""

from __future__ import annotations

import contextvars
import importlib.util
import logging
import sys
from typing import Any

import pytest

from openai_safety_otel import end_user
from openai_safety_otel.contract.vocabulary import LIBRARY_CONSTANTS
from openai_safety_otel.testing.provider import Provider
from support.http import http_library as http
from support.telemetry import Instrument, Telemetry

from .conftest import U42

if importlib.util.find_spec("guardrails") is None:
    pytest.skip(f"openai-guardrails needs Python >= 3.11, this is {sys.version}", allow_module_level=True)

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
CONSTANT = "openai-guardrails-python"
Facts = list[tuple[Any, ...]]


class ToStub(http.BaseTransport, http.AsyncBaseTransport):  # type: ignore[misc]
    """Stands for the network: what is meant for OpenAI's host arrives at the stub."""

    def __init__(self, provider: Provider) -> None:
        self._origin = http.URL(provider.origin)
        self._sync, self._async = http.HTTPTransport(), http.AsyncHTTPTransport()
        self.hosts: set[str] = set()

    def _turned(self, request: Any) -> Any:
        self.hosts.add(request.url.host)
        request.url = request.url.copy_with(scheme="http", host=self._origin.host, port=self._origin.port)
        return request

    def handle_request(self, request: Any) -> Any:
        return self._sync.handle_request(self._turned(request))

    async def handle_async_request(self, request: Any) -> Any:
        return await self._async.handle_async_request(self._turned(request))


@pytest.fixture
def options(provider: Provider) -> dict[str, Any]:
    """A client's options: OpenAI's own host, and a transport that leads to the stub."""
    return {"base_url": "https://api.openai.com/v1", "max_retries": 0, "transport": ToStub(provider)}


def config(*checks: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "input": {"version": 1, "guardrails": list(checks)}}


KEYWORDS = config({"name": "Keyword Filter", "config": {"keywords": ["never said"]}})
# A check that asks a model itself.
JUDGE = config(
    {
        "name": "Custom Prompt Check",
        "config": {"model": "gpt-5", "confidence_threshold": 0.7, "system_prompt_details": "No politics."},
    }
)


def guarded(options: dict[str, Any], checks: dict[str, Any] = KEYWORDS) -> Any:
    from guardrails import GuardrailsOpenAI

    rest = {key: value for key, value in options.items() if key != "transport"}
    return GuardrailsOpenAI(config=checks, http_client=http.Client(transport=options["transport"]), **rest)


def guarded_async(options: dict[str, Any], checks: dict[str, Any] = KEYWORDS) -> Any:
    from guardrails import GuardrailsAsyncOpenAI

    rest = {key: value for key, value in options.items() if key != "transport"}
    return GuardrailsAsyncOpenAI(
        config=checks, http_client=http.AsyncClient(transport=options["transport"]), **rest
    )


def told(telemetry: Telemetry, provider: Provider) -> Facts:
    """Identifier, source and outcome of each record; the wire carried the same identifiers."""
    events = [event for event in telemetry.events if event["event.name"] == "openai_safety.call"]
    found = [
        (e["user.hash"], e["openai_safety.identifier.source"], e["openai_safety.outcome"]) for e in events
    ]
    assert sorted(who for who, *_ in found) == sorted(str(one.identifier) for one in provider.ledger)
    return found


def test_the_constant_is_in_our_table() -> None:
    """The installed release sends the value that our table has for it."""
    from guardrails.utils.safety_identifier import SAFETY_IDENTIFIER

    assert "openai-guardrails" == LIBRARY_CONSTANTS.get(SAFETY_IDENTIFIER)


def test_a_known_end_user_takes_the_constants_place(
    options: dict[str, Any],
    provider: Provider,
    telemetry: Telemetry,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Responses, Chat Completions and a stream: the wire carries the user, and one line says so."""
    instrument()
    client = guarded(options)
    with caplog.at_level(logging.WARNING), end_user("u42"):
        client.responses.create(**ASK)
        client.chat.completions.create(**CHAT)
        assert list(client.responses.create(**ASK, stream=True))
    assert [(U42, "end_user", "completed")] * 3 == told(telemetry, provider)
    assert {"api.openai.com"} == options["transport"].hosts
    assert 1 == sum(CONSTANT in record.getMessage() for record in caplog.records)


async def test_the_same_without_waiting(
    options: dict[str, Any], provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """The async client."""
    instrument()
    client = guarded_async(options)
    with end_user("u42"):
        await client.responses.create(**ASK)
        await client.chat.completions.create(**CHAT)
        stream = await client.responses.create(**ASK, stream=True)
        assert [chunk async for chunk in stream]
    assert [(U42, "end_user", "completed")] * 3 == told(telemetry, provider)


def test_where_nobody_is_known_the_constant_stays(
    options: dict[str, Any], provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Its source says that it is a library's and nobody's."""
    instrument()
    guarded(options).responses.create(**ASK)
    assert [(CONSTANT, "library", "completed")] == told(telemetry, provider)


async def test_a_check_that_asks_a_model_asks_for_the_user(
    options: dict[str, Any], provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """The call of an async check carries the end user too."""
    from guardrails.context import GuardrailsContext, set_context

    instrument()
    client = guarded_async(options, JUDGE)
    set_context(GuardrailsContext(guardrail_llm=client._resource_client))
    client = guarded_async(options, JUDGE)
    with end_user("u42"):
        await client.responses.create(**ASK)
    assert [(U42, "end_user", "completed")] * 2 == told(telemetry, provider)


def test_a_sync_check_asks_in_a_thread_that_knows_nobody(
    options: dict[str, Any], provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """The library leaves the context behind there: its constant stays, never another user's identifier."""
    from guardrails.context import GuardrailsContext, set_context

    instrument()

    def ask() -> None:
        set_context(GuardrailsContext(guardrail_llm=guarded(options)._resource_client))
        client = guarded(options, JUDGE)
        with end_user("u42"):
            client.responses.create(**ASK)

    contextvars.copy_context().run(ask)
    assert {(CONSTANT, "library", "completed"), (U42, "end_user", "completed")} == {
        *told(telemetry, provider)
    }
