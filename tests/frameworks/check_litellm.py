"""LiteLLM as a library: one record for each call that it makes, through the SDK and past it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.ledger.suspensions import ListedAction, ListEntry
from openai_safety_otel.litellm import callback
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.lists import new_list
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until

from .conftest import RECIPES

# Importing the callback instruments where nobody has: each test does it anew, with settings of its own.
SafetyInstrumentor().uninstrument()
# LiteLLM makes a client for each loop, and each reads the system's certificates.
LOOP = asyncio.new_event_loop()

ANN = Hasher(KEY).end_user("ann")
CHAT: dict[str, Any] = {"model": "openai/gpt-5", "messages": [{"role": "user", "content": "hello"}]}
ASK: dict[str, Any] = {"model": "openai/gpt-5", "input": "hello"}
DRAW: dict[str, Any] = {"model": "openai/gpt-image-1", "prompt": "hello"}
EMBED: dict[str, Any] = {"model": "openai/text-embedding-3-small", "input": ["hello"]}


@pytest.fixture(autouse=True)
def _alone(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our callback alone, and every call goes to the stub."""
    monkeypatch.setattr(litellm, "callbacks", [callback])
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    monkeypatch.setattr(litellm, "api_base", provider.url)


def calls(telemetry: Telemetry, number: int) -> list[dict[str, Any]]:
    """The records of this many calls, once they are there; and no more come."""

    def told() -> bool:
        LOOP.run_until_complete(asyncio.sleep(0.01))  # LiteLLM tells of the end in a task of its own
        return len(telemetry.events) >= number

    until(told)
    LOOP.run_until_complete(asyncio.sleep(0.02))
    assert number == len(telemetry.events)
    return telemetry.events


def drained(made: Any) -> Any:
    """The whole answer, of a stream too."""
    if not asyncio.iscoroutine(made):
        return list(made) if hasattr(made, "__next__") else made

    async def wait() -> Any:
        answer = await made
        return [chunk async for chunk in answer] if hasattr(answer, "__anext__") else answer

    return LOOP.run_until_complete(wait())


Route = tuple[Callable[..., Any], dict[str, Any], str, str]
ROUTES: dict[str, Route] = {
    "completion": (litellm.completion, CHAT, "chat", "sent"),
    "acompletion": (litellm.acompletion, CHAT, "chat", "sent"),
    "responses": (litellm.responses, ASK, "responses", "sent"),
    "aresponses": (litellm.aresponses, ASK, "responses", "sent"),
    "completion through Responses": (
        litellm.completion,
        {**CHAT, "model": "openai/responses/gpt-5"},
        "responses",
        "sent",
    ),
    "acompletion through Responses": (
        litellm.acompletion,
        {**CHAT, "model": "openai/responses/gpt-5"},
        "responses",
        "sent",
    ),
    "image_generation": (litellm.image_generation, DRAW, "images", "sent"),
    "aimage_generation": (litellm.aimage_generation, DRAW, "images", "sent"),
    "image_edit": (litellm.image_edit, DRAW, "images", "sent"),
    "aimage_edit": (litellm.aimage_edit, DRAW, "images", "sent"),
    "embedding": (litellm.embedding, EMBED, "embeddings", "not_accepted"),
    "aembedding": (litellm.aembedding, EMBED, "embeddings", "not_accepted"),
    "text_completion": (
        litellm.text_completion,
        {"model": "text-completion-openai/gpt-3.5-turbo-instruct", "prompt": "hello"},
        "completions",
        "not_accepted",
    ),
    "speech": (
        litellm.speech,
        {"model": "openai/tts-1", "input": "hello", "voice": "alloy"},
        "audio",
        "not_accepted",
    ),
}
STREAMED = (
    "completion",
    "acompletion",
    "responses",
    "aresponses",
    "completion through Responses",
    "acompletion through Responses",
)


@pytest.mark.parametrize(("route", "stream"), [*((r, False) for r in ROUTES), *((r, True) for r in STREAMED)])
def test_every_route_leaves_one_record(
    route: str, stream: bool, instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """Each route, plain and streamed: the identifier where the API takes one, and one record of one call."""
    instrument()
    function, arguments, api, delivery = ROUTES[route]
    more: dict[str, Any] = {"stream": True} if stream else {}
    if route.endswith("image_edit"):
        more["image"] = [io.BytesIO(b"\x89PNG")]
    with end_user("ann"):
        assert drained(function(**arguments, **more))
    (event,) = calls(telemetry, 1)
    (entry,) = provider.ledger
    assert (api, ANN, "end_user", delivery, "completed", entry.request_id, entry.identifier) == (
        event[c.API],
        event[c.USER_HASH],
        event[c.IDENTIFIER_SOURCE],
        event[c.IDENTIFIER_DELIVERY],
        event[c.OUTCOME],
        event[c.PROVIDER_REQUEST_ID],
        ANN if delivery == "sent" else None,
    )
    assert entry.response_id == event.get(c.RESPONSE_ID)
    assert 1 == len(telemetry.spans)


SHAPES = (
    "cyber", "cyber-frame", "cyber-flat", "cyber-failed", "identifier", "identifier-code", "misalignment",
    "misalignment-frame", "misalignment-failed", "bio", "bio-failed", "prompt", "prompt-failed", "prompt-plain",
    "unknown-policy", "image", "image-item", "input-image", "filter", "azure-filter", "azure-filter-old", "xai",
    "refuse", "length", "429:9", "500:9", "html", "malformed", "drop",
)  # fmt: skip


PAST = [(shape, f) for shape in SHAPES for f in (litellm.responses, litellm.aresponses)]
SEEN = [
    (shape, litellm.acompletion) for shape in ("cyber", "identifier", "filter", "refuse", "429:9", "500:9")
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(("shape", "function"), [*PAST, *SEEN])
def test_every_shape_of_a_block_is_known(
    shape: str,
    function: Callable[..., Any],
    stream: bool,
    instrument: Instrument,
    telemetry: Telemetry,
    provider: Provider,
) -> None:
    """What the stub did is what the record says, whatever LiteLLM makes of the error."""
    instrument()
    asked = f"[[{shape}]] hello"
    text = (
        {"messages": [{"role": "user", "content": asked}]}
        if function is litellm.acompletion
        else {"input": asked}
    )
    # LiteLLM's errors are of many classes, and so are its clients' retries; the record tells.
    with end_user("ann"), contextlib.suppress(Exception):
        drained(function(model="openai/gpt-5", stream=stream, max_retries=0, **text))
    (event,) = calls(telemetry, 1)
    entry = provider.ledger[-1]
    told = (entry.outcome, entry.block_type, entry.block_class)
    assert told == tuple(event.get(name) for name in (c.OUTCOME, c.BLOCK_TYPE, c.BLOCK_CLASS))
    assert (ANN, ANN) == (entry.identifier, event[c.USER_HASH])


def two(provider: Provider, first: str) -> litellm.Router:
    """A router over two deployments, of which the first always meets the same end."""
    names = (("first", f"openai/stub-{first}"), ("second", "openai/gpt-5"))
    listed = [
        {
            "model_name": name,
            "litellm_params": {"model": model, "api_base": provider.url, "api_key": "k", "max_retries": 0},
        }
        for name, model in names
    ]
    return litellm.Router(model_list=listed, fallbacks=[{"first": ["second"]}], num_retries=1, retry_after=0)


@pytest.mark.parametrize("route", ["acompletion", "aresponses"])
@pytest.mark.parametrize("first", ["500:9", "429:9"])
def test_retries_and_fallbacks_are_calls_of_their_own(
    first: str, route: str, instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """Each attempt that reached a deployment is one record, as the provider counts it; the last one completed."""
    instrument()
    router = two(provider, first.partition(":")[0])
    text = {"messages": CHAT["messages"]} if route == "acompletion" else {"input": "hello"}
    with end_user("ann"):
        assert drained(getattr(router, route)(model="first", **text))
    ended = ["failed", "failed", "completed"]
    assert ended == [event[c.OUTCOME] for event in calls(telemetry, 3)]
    assert ended == [entry.outcome for entry in provider.ledger.calls()]
    assert {ANN} == {entry.identifier for entry in provider.ledger}


def decided(action: ListedAction, instrument: Instrument, folder: Path) -> None:
    """The hook, with a list on which somebody decided so about Ann."""
    place = str(folder / "list.json")
    new_list(place, {ANN: ListEntry(action, None, "operator", "test")})
    instrument(suspensions=place, store=str(folder / "store.db"))


REFUSED = [route for route in ROUTES if route != "image_edit"]


@pytest.mark.parametrize("route", REFUSED)
def test_whoever_is_suspended_is_refused(
    route: str, instrument: Instrument, telemetry: Telemetry, provider: Provider, tmp_path: Path
) -> None:
    """No request leaves, and one record says why; another user's call passes."""
    decided("suspend", instrument, tmp_path)
    function, arguments, _, _ = ROUTES[route]
    more = {"image": [io.BytesIO(b"\x89PNG")]} if route == "aimage_edit" else {}
    with end_user("ann"), pytest.raises(openai.APIError) as error:
        drained(function(**arguments, **more, num_retries=0))
    assert "suspended" in str(error.value)
    (event,) = calls(telemetry, 1)
    assert ("blocked", "suspended_locally", "not_sent") == (
        event[c.OUTCOME],
        event[c.BLOCK_TYPE],
        event[c.IDENTIFIER_DELIVERY],
    )
    assert 0 == len(provider.ledger)
    with end_user("bob"):
        assert drained(function(**arguments, **more))
    assert "completed" == calls(telemetry, 2)[1][c.OUTCOME]


def test_an_image_edit_in_a_thread_is_not_refused(
    instrument: Instrument, telemetry: Telemetry, provider: Provider, tmp_path: Path
) -> None:
    """LiteLLM asks nobody who could refuse before it sends it: docs/litellm.md says so until this fails."""
    decided("suspend", instrument, tmp_path)
    with end_user("ann"):
        assert litellm.image_edit(**DRAW, image=[io.BytesIO(b"\x89PNG")])
    assert ["completed"] == [event[c.OUTCOME] for event in calls(telemetry, 1)]
    assert [ANN] == [entry.identifier for entry in provider.ledger]


@pytest.mark.parametrize("route", ["acompletion", "aresponses"])
def test_in_code_each_deployment_that_is_tried_refuses(
    route: str, instrument: Instrument, telemetry: Telemetry, provider: Provider, tmp_path: Path
) -> None:
    """A router falls back and is refused again; nothing leaves, and no deployment counts as broken."""
    decided("suspend", instrument, tmp_path)
    router = two(provider, "allow")
    text: dict[str, Any] = {"messages": CHAT["messages"]} if route == "acompletion" else {"input": "hello"}
    with end_user("ann"), pytest.raises(openai.APIError, match="suspended"):
        drained(getattr(router, route)(model="first", **text))
    assert {"suspended_locally"} == {event[c.BLOCK_TYPE] for event in calls(telemetry, 2)}
    assert 0 == len(provider.ledger)
    with end_user("bob"):
        assert drained(getattr(router, route)(model="first", **text))
    assert ["stub-allow"] == [entry.model for entry in provider.ledger]


@pytest.mark.parametrize("route", ["responses", "aresponses"])
def test_a_filter_is_asked_before_the_call(
    route: str, instrument: Instrument, telemetry: Telemetry, provider: Provider, tmp_path: Path
) -> None:
    """Under a `filter` decision what the Moderation API flags stays here, and the rest leaves."""
    decided("filter", instrument, tmp_path)
    function, arguments, _, _ = ROUTES[route]
    with end_user("ann"):
        with pytest.raises(openai.APIError, match="filter"):
            drained(function(**{**arguments, "input": "[[flag]] hello"}))
        assert drained(function(**arguments))
    told = [(event[c.OUTCOME], event.get(c.BLOCK_TYPE)) for event in calls(telemetry, 2)]
    assert [("blocked", "filtered_locally"), ("completed", None)] == told
    assert ["moderations.create"] * 2 + ["responses.create"] == [entry.endpoint for entry in provider.ledger]


@pytest.mark.parametrize("stream", [False, True])
def test_scores_that_the_setting_asks_for(
    stream: bool, instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """Inline moderation is asked for, and its scores come back, on a route past the SDK."""
    instrument(moderation="score")
    with end_user("ann"):
        drained(litellm.aresponses(model="openai/gpt-5", input="[[flag-input]] hello", stream=stream))
    (event,) = calls(telemetry, 1)
    assert (True, False) == (event[c.FLAGGED["input"]], event[c.FLAGGED["output"]])


@pytest.mark.parametrize("route", ["completion", "responses"])
def test_azure(route: str, instrument: Instrument, telemetry: Telemetry, provider: Provider) -> None:
    """A deployment at Azure, whose addresses are its own."""
    instrument()
    function, arguments, api, _ = ROUTES[route]
    reach = {"api_base": provider.origin, "api_key": "k", "api_version": "2025-04-01-preview"}
    with end_user("ann"):
        assert drained(function(**{**arguments, "model": "azure/gpt-5"}, **reach))
    (event,) = calls(telemetry, 1)
    assert (api, ANN, "completed") == (event[c.API], event[c.USER_HASH], event[c.OUTCOME])
    assert [ANN] == [entry.identifier for entry in provider.ledger]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_that_is_left_early_ends_as_abandoned(
    asynchronous: bool, instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """LiteLLM says nothing of a stream that nobody reads on: the record ends when the stream is let go."""
    instrument()

    async def leave() -> None:
        stream = await litellm.aresponses(**ASK, stream=True)
        async for _ in stream:
            break
        del stream

    with end_user("ann"):
        if asynchronous:
            LOOP.run_until_complete(leave())
        else:
            stream = litellm.responses(**ASK, stream=True)
            next(stream)
            del stream
    gc.collect()
    assert "abandoned" == calls(telemetry, 1)[0][c.OUTCOME]


def test_nothing_is_recorded_of_an_answer_from_the_cache(
    instrument: Instrument, telemetry: Telemetry, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second answer comes from LiteLLM's cache: the provider saw one call, and so do we."""
    instrument()
    monkeypatch.setattr(litellm, "cache", litellm.Cache())
    with end_user("ann"):
        for _ in range(2):
            drained(litellm.aresponses(**ASK, caching=True))
    calls(telemetry, len(provider.ledger))


def test_the_recipe_without_the_callback(
    recipe: Callable[[str], Any],
    telemetry: Telemetry,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The hook alone sees what goes through the SDK."""
    monkeypatch.setattr(litellm, "callbacks", [])
    assert recipe("litellm_app").answer("ann", "hello").choices
    assert [ANN] == [event[c.USER_HASH] for event in calls(telemetry, 1)]
    assert [ANN] == [entry.identifier for entry in provider.ledger]


@pytest.mark.parametrize("route", ["completion", "responses"])
def test_hosts_off_the_list(
    route: str, instrument: Instrument, telemetry: Telemetry, provider: Provider
) -> None:
    """LiteLLM pointed at another host than OpenAI's: recorded, and nothing is added to its call."""
    instrument(inject_hosts="api.openai.com")
    function, arguments, _, _ = ROUTES[route]
    with end_user("ann"):
        drained(function(**arguments))
    (event,) = calls(telemetry, 1)
    assert [None] == [entry.identifier for entry in provider.ledger]
    assert (ANN, "not_accepted") == (event[c.USER_HASH], event[c.IDENTIFIER_DELIVERY])


@pytest.mark.parametrize("route", ["completion", "responses", "aresponses", "aimage_edit"])
def test_what_is_recorded_is_not_counted_as_unseen(
    route: str,
    instrument: Instrument,
    telemetry: Telemetry,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the callback nothing is unseen; without it, what goes past the SDK is."""
    instrument(unseen=True)
    function, arguments, _, _ = ROUTES[route]
    for told in ([callback], []):
        monkeypatch.setattr(litellm, "callbacks", told)
        monkeypatch.setattr(litellm, "input_callback", [*told])
        more = {"image": [io.BytesIO(b"\x89PNG")]} if route == "aimage_edit" else {}
        drained(function(**arguments, **more))
        past = 0 if told or route == "completion" else 1
        assert past == sum(telemetry.points("openai_safety.unseen").values())


# The rows of docs/litellm.md, and which of the routes above each is about; sockets are in check_litellm_proxy.py.
ROWS = {
    "completion, streamed or not, sync or async": ("completion", "acompletion"),
    "responses and what becomes one, streamed or not, sync or async": tuple(
        route for route in ROUTES if "esponses" in route
    ),
    "image generation, sync or async": ("image_generation", "aimage_generation"),
    "image edit, async and in the proxy": ("aimage_edit",),
    "image edit, sync": ("image_edit",),
    "embeddings, text completion, speech": ("embedding", "aembedding", "text_completion", "speech"),
}


def test_the_page_says_of_each_route_what_was_measured() -> None:
    """Every row's identifier and refusal are those of the tests above, and every route is in a row."""
    page = (RECIPES.parents[2] / "docs" / "litellm.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "|" in line]
    said = {
        row[0]: (row[1].startswith("sent"), row[3].startswith("refused")) for row in cells if len(row) == 4
    }
    for label, routes in ROWS.items():
        measured = {(ROUTES[route][3] == "sent", route in REFUSED) for route in routes}
        assert {said[label]} == measured, label
    assert set(ROUTES) == {route for routes in ROWS.values() for route in routes}


def test_the_version_under_test() -> None:
    """The page names the version that was run."""
    page = (RECIPES.parents[2] / "docs" / "litellm.md").read_text(encoding="utf-8")
    assert f"LiteLLM {importlib.metadata.version('litellm')}" in page
