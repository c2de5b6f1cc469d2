"""A stream is the object that the SDK made: of the class it was asked for, whatever that class is."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, TypeVar, cast

import openai
import pydantic
import pytest
from openai.types.responses import ResponseStreamEvent

from openai_safety_otel import SafetyInstrumentor
from support.telemetry import Instrument, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello", "stream": True}
T = TypeVar("T")


@pytest.fixture(autouse=True)
def _on(instrument: Instrument) -> None:
    instrument()


class Listed(openai.Stream[T], Generic[T]):
    """A generic class of the app's."""

    def everything(self) -> list[T]:
        return list(self)


class AsyncListed(openai.AsyncStream[T], Generic[T]):
    """A generic class of the app's, for an async client."""

    async def everything(self) -> list[T]:
        return [chunk async for chunk in self]


class Sealed(openai.Stream[T], Generic[T]):
    """A class that nobody can derive from."""

    def __init_subclass__(cls, **_: Any) -> None:
        raise TypeError("sealed")


class Numbered(openai.Stream[Any]):
    """Yields something else than the SDK's chunks, from an iterator that has no `close`."""

    def __stream__(self) -> Iterator[Any]:
        return cast("Iterator[Any]", enumerate(super().__stream__()))


class AsyncNumbered(openai.AsyncStream[Any]):
    """The same for an async client."""

    async def __stream__(self) -> AsyncIterator[Any]:
        number = 0
        async for chunk in super().__stream__():
            yield number, chunk
            number += 1


class Own(pydantic.BaseModel):
    """A chunk class of the app's that keeps nothing but its type."""

    model_config = pydantic.ConfigDict(extra="ignore")
    type: str


def ended(telemetry: Telemetry) -> list[tuple[Any, ...]]:
    """Outcome, whether the answer's id and its tokens are known."""
    gc.collect()
    return [
        (
            event["openai_safety.outcome"],
            event.get("gen_ai.response.id", "").startswith("resp_"),
            "gen_ai.usage.output_tokens" in event,
        )
        for event in telemetry.events
    ]


@pytest.mark.parametrize(
    "stream_cls",
    [
        openai.Stream[ResponseStreamEvent],
        Listed[ResponseStreamEvent],
        Sealed[ResponseStreamEvent],
        Numbered,
        openai.Stream[Own],
        openai.Stream[object],
    ],
    ids=["sdk", "generic", "sealed", "other chunks", "own model", "dictionaries"],
)
def test_any_class(client: openai.OpenAI, telemetry: Telemetry, stream_cls: Any) -> None:
    """A stream of any class of the app's works as without us and leaves one complete record."""
    stream = client.post("/responses", cast_to=object, body=ASK, stream=True, stream_cls=stream_cls)
    origin = getattr(stream_cls, "__origin__", stream_cls)
    assert [origin, True] == [type(stream), len(list(stream)) > 1]
    assert [("completed", True, True)] == ended(telemetry)


@pytest.mark.parametrize(
    "stream_cls", [AsyncListed[ResponseStreamEvent], AsyncNumbered, openai.AsyncStream[Own]]
)
async def test_any_async_class(
    async_client: openai.AsyncOpenAI, telemetry: Telemetry, stream_cls: Any
) -> None:
    """The same for an async client."""
    stream: Any = await async_client.post(
        "/responses", cast_to=object, body=ASK, stream=True, stream_cls=stream_cls
    )
    origin = getattr(stream_cls, "__origin__", stream_cls)
    assert [origin, True] == [type(stream), len([chunk async for chunk in stream]) > 1]
    assert [("completed", True, True)] == ended(telemetry)


async def test_the_sdk_s_own_class(client: openai.OpenAI, async_client: openai.AsyncOpenAI) -> None:
    """Type, generic alias and attributes of a stream are those of one that nobody looks at."""

    async def shapes() -> list[Any]:
        streams: list[Any] = [
            client.responses.create(**ASK),
            await async_client.responses.create(**ASK),
            client.chat.completions.create(model="gpt-5", messages=[], stream=True),
        ]
        found = [(type(s), s.__orig_class__, sorted(vars(s))) for s in streams]
        for stream in streams:
            await stream.close() if hasattr(stream, "__anext__") else stream.close()
        return found

    observed = await shapes()
    SafetyInstrumentor().uninstrument()
    assert await shapes() == observed


@pytest.mark.parametrize("owner", [openai.OpenAI, openai.AsyncOpenAI, openai.Stream, openai.AsyncStream])
def test_methods_are_pickled_and_copied(owner: Any) -> None:
    """As functions are: by where they are found."""
    name = "request" if issubclass(owner, openai.OpenAI | openai.AsyncOpenAI) else "close"
    method = getattr(owner, name)
    copies = [pickle.loads(pickle.dumps(method)), copy.copy(method), copy.deepcopy({"held": method})["held"]]
    assert ([method] * 3, True) == (copies, callable(method))


def test_a_bound_method_is_copied_with_what_it_belongs_to() -> None:
    """A copy of an app's object that holds one acts on the copied owner, as without the hook."""

    class Client(openai.OpenAI):
        def __deepcopy__(self, memo: Any) -> Client:
            return Client(api_key="copied")

    held: dict[str, Any] = {"ask": Client(api_key="k").request}
    shallow, deep = copy.copy(held["ask"]), copy.deepcopy(held)["ask"]
    assert ("k", "copied") == (shallow.__self__.api_key, deep.__self__.api_key)


@pytest.mark.parametrize("threshold", [1, 20])
def test_break_and_collection(telemetry: Telemetry, provider: Any, threshold: int) -> None:
    """Streams left by `break` and collected in any order close their connections without a word."""
    said: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        async with openai.AsyncOpenAI(api_key="k", base_url=provider.url) as client:
            for _ in range(60):
                async for _ in await client.responses.create(**ASK):
                    break
            gc.collect()
            await asyncio.sleep(0.2)
            shown = [json.dumps(context["message"]) for context in said]
            assert [] == [text for text in shown if "never retrieved" in text]

    before = gc.get_threshold()
    gc.set_threshold(threshold, 10, 10)
    try:
        asyncio.run(main())
    finally:
        gc.set_threshold(*before)
    assert {"abandoned"} == {event["openai_safety.outcome"] for event in telemetry.events}
