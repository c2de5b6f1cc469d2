"""Sync or async, plain, streamed, raw, unparsed, helper or parse: the same call leaves the same record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.testing.provider import Provider
from support.telemetry import Instrument, Telemetry

Attributes = dict[str, Any]

SCENARIOS = (
    "allow",
    "flag",
    "refuse",
    "filter",
    "cyber",
    "bio",
    "misalignment",
    "prompt",
    "prompt-plain",
    "unknown-policy",
    "identifier",
    "length",
    "tool",
)
# Known to differ in kind, not in fact: what only a stream has, and what is new in every call.
OF_STREAMS = {
    "gen_ai.request.stream",
    "gen_ai.response.time_to_first_chunk",
    "openai_safety.time_to_first_output",
}
NEW_EACH_TIME = {"gen_ai.response.id", "openai_safety.provider.request_id", "openai_safety.duration"}


def ask(text: str, api: str) -> dict[str, Any]:
    if api == "chat":
        return {"model": "gpt-5", "messages": [{"role": "user", "content": text}]}
    return {"model": "gpt-5", "input": text}


def resource(client: Any, api: str) -> Any:
    return client.chat.completions if api == "chat" else client.responses


def _read(response: Any) -> None:
    with response as opened:
        opened.read()


def _lines(response: Any) -> None:
    with response as opened:
        for _ in opened.iter_lines():
            pass


def _helper(manager: Any) -> None:
    with manager as stream:
        for _ in stream:
            pass


def _raw_lines(raw: Any) -> None:
    for _ in raw.http_response.iter_lines():
        pass


SYNC: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "plain": lambda r, k: r.create(**k),
    "stream": lambda r, k: list(r.create(**k, stream=True)),
    "raw": lambda r, k: r.with_raw_response.create(**k).parse(),
    "raw-unparsed": lambda r, k: r.with_raw_response.create(**k),
    "raw-stream": lambda r, k: list(r.with_raw_response.create(**k, stream=True).parse()),
    "raw-stream-lines": lambda r, k: _raw_lines(r.with_raw_response.create(**k, stream=True)),
    "streaming": lambda r, k: _read(r.with_streaming_response.create(**k)),
    "streaming-lines": lambda r, k: _lines(r.with_streaming_response.create(**k, stream=True)),
    "helper": lambda r, k: _helper(r.stream(**k)),
    "parse": lambda r, k: r.parse(**k),
}


async def _aread(response: Any) -> None:
    async with response as opened:
        await opened.read()


async def _alines(response: Any) -> None:
    async with response as opened:
        async for _ in opened.iter_lines():
            pass


async def _ahelper(manager: Any) -> None:
    async with manager as stream:
        async for _ in stream:
            pass


async def _drain(stream: Awaitable[Any]) -> None:
    async for _ in await stream:
        pass


async def _araw(raw: Awaitable[Any]) -> None:
    async for _ in (await raw).parse():
        pass


async def _araw_lines(raw: Awaitable[Any]) -> None:
    async for _ in (await raw).http_response.aiter_lines():
        pass


async def _aparsed(raw: Awaitable[Any]) -> None:
    (await raw).parse()


ASYNC: dict[str, Callable[[Any, dict[str, Any]], Awaitable[Any]]] = {
    "plain": lambda r, k: r.create(**k),
    "stream": lambda r, k: _drain(r.create(**k, stream=True)),
    "raw": lambda r, k: _aparsed(r.with_raw_response.create(**k)),
    "raw-unparsed": lambda r, k: r.with_raw_response.create(**k),
    "raw-stream": lambda r, k: _araw(r.with_raw_response.create(**k, stream=True)),
    "raw-stream-lines": lambda r, k: _araw_lines(r.with_raw_response.create(**k, stream=True)),
    "streaming": lambda r, k: _aread(r.with_streaming_response.create(**k)),
    "streaming-lines": lambda r, k: _alines(r.with_streaming_response.create(**k, stream=True)),
    "helper": lambda r, k: _ahelper(r.stream(**k)),
    "parse": lambda r, k: r.parse(**k),
}
# Modes that some supported SDK does not offer on every API.
MISSING = (AttributeError,)
EXPECTED_ERRORS = (openai.OpenAIError, RuntimeError)


def facts(event: Attributes) -> Attributes:
    return {k: v for k, v in event.items() if k not in OF_STREAMS | NEW_EACH_TIME}


async def run_all(
    api: str, text: str, client: openai.OpenAI, async_client: openai.AsyncOpenAI, telemetry: Telemetry
) -> dict[str, tuple[Attributes, ...]]:
    """Each mode's events."""
    found: dict[str, tuple[Attributes, ...]] = {}
    question = ask(text, api)
    with end_user("u42"):
        for name, call in SYNC.items():
            telemetry.clear()
            try:
                call(resource(client, api), question)
            except EXPECTED_ERRORS:
                pass
            except MISSING:
                continue
            found[f"sync {name}"] = tuple(telemetry.events)
        for name, acall in ASYNC.items():
            telemetry.clear()
            try:
                await acall(resource(async_client, api), question)
            except EXPECTED_ERRORS:
                pass
            except MISSING:
                continue
            found[f"async {name}"] = tuple(telemetry.events)
    return found


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_way_of_calling_leaves_the_same_record(
    api: str,
    scenario: str,
    provider: Provider,
    client: openai.OpenAI,
    async_client: openai.AsyncOpenAI,
    telemetry: Telemetry,
    instrument: Instrument,
) -> None:
    """All modes of streamed, and of unstreamed, calls give one event each, with the ledger's facts."""
    instrument(moderation="score")
    found = await run_all(api, f"[[{scenario}]] hello", client, async_client, telemetry)

    assert dict.fromkeys(found, 1) == {name: len(events) for name, events in found.items()}
    entries = provider.ledger.calls()
    assert len(entries) == len(found)
    for entry, (name, (event,)) in zip(entries, found.items(), strict=True):
        told = (entry.outcome, entry.block_type, entry.identifier, entry.request_id, entry.response_id)
        seen = (
            event["openai_safety.outcome"],
            event.get("openai_safety.block.type"),
            event.get("user.hash"),
            event.get("openai_safety.provider.request_id"),
            event.get("gen_ai.response.id"),
        )
        assert told == seen, name
    for streamed in (False, True):
        same = [
            (name, facts(event))
            for (name, (event,)), entry in zip(found.items(), entries, strict=True)
            if entry.streamed == streamed
        ]
        for name, one in same[1:]:
            assert same[0][1] == one, f"{same[0][0]} and {name}"
