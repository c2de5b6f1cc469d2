"""Whatever comes, nothing is raised, nothing foreign is exported, and pieces make no difference."""

from __future__ import annotations

import copy
import json
import re
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.contract.vocabulary import APIS
from openai_safety_otel.instrumentation.extract.endpoints import ENDPOINTS, find
from openai_safety_otel.instrumentation.extract.error import read_error
from openai_safety_otel.instrumentation.extract.request import read_request
from openai_safety_otel.instrumentation.extract.response import read_response
from openai_safety_otel.instrumentation.extract.sse import BodyReader
from openai_safety_otel.instrumentation.extract.stream import _EVENTS, PLAIN_DELTAS, Seen, fold
from openai_safety_otel.instrumentation.outcome import classify
from support.wire import sse

NAMES = [
    *("agent", "answers", "blocked", "body", "cached_tokens", "categories", "category_scores", "choices"),
    *(
        "code",
        "content",
        "content_filter_result",
        "content_filter_results",
        "content_filters",
        "conversation",
    ),
    *("data", "delta", "error", "event", "filtered", "finish_reason", "flagged", "id", "incomplete_details"),
    *(
        "index",
        "innererror",
        "input",
        "input_tokens",
        "input_tokens_details",
        "item",
        "last_error",
        "message",
    ),
    *("metadata", "misalignment", "mode", "model", "moderation", "moderation_details", "moderation_stage"),
    *("n", "object", "output", "output_tokens", "part", "policy", "prompt_filter_results", "prompt_tokens"),
    *("reason", "reasons", "refusal", "response", "results", "seed", "service_tier", "session"),
    *("source_type", "status", "status_details", "stream", "temperature", "text", "tool_calls", "turn"),
    *("type", "usage"),
]
WORDS = ["response", "failed", "completed", "incomplete", "content_filter", "refusal", "message", "error"]
KINDS = sorted(_EVENTS) + sorted(PLAIN_DELTAS)[:3] + ["moderation_result", "image_generation_call", "x"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(WORDS + KINDS),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=3)), inner, max_size=6),
    ),
    max_leaves=25,
)
BODIES = st.one_of(JSON, st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8))
APIS_ = st.sampled_from(APIS)
EXPORTED = re.compile(r"[A-Za-z0-9_.:=+/@~-]{1,512}")


class Thing:
    """Members as attributes, as the SDK's objects have them."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.__dict__.update({name: _thing(inner) for name, inner in value.items()})


def _thing(value: Any) -> Any:
    if type(value) is dict:
        return Thing(value)
    return [_thing(inner) for inner in value] if type(value) is list else value


def _exported(record: CallRecord) -> list[str]:
    """Every text of a record that may leave the process."""
    outcome = classify(record)
    found: list[Any] = [record.request_model, record.response_model, record.response_id, record.status]
    found += [record.provider_request_id, record.raised, record.incomplete_reason, *record.finish_reasons]
    found += [outcome.block_code, outcome.error_type, record.moderation.model, record.moderation.policy]
    for value in record.standard.values():
        found += value if isinstance(value, tuple) else [value]
    for leg in record.moderation.legs.values():
        found += [leg.error, *leg.categories, *leg.scores]
    for facts in (*record.errors, *record.item_errors):
        found += [facts.code, facts.type, facts.param, facts.inner_code, facts.stage, *facts.categories]
    return [text for text in found if isinstance(text, str)]


def _check(record: CallRecord) -> None:
    assert [text for text in _exported(record) if not EXPORTED.fullmatch(text)] == []
    numbers = [value for value in record.standard.values() if isinstance(value, int)]
    assert all(-(2**63) <= value < 2**63 for value in numbers)
    assert all(0 <= s <= 1 for leg in record.moderation.legs.values() for s in leg.scores.values())


@settings(max_examples=150, deadline=None)
@given(APIS_, BODIES, st.booleans())
def test_any_answer_is_read_without_raising_or_leaking(api: str, body: Any, as_object: bool) -> None:
    """Requests, answers and chunks of any shape, as dictionaries or objects: no prose, no overflow."""
    body = _thing(body) if as_object else body
    record = CallRecord(api, "x", "chat")
    read_request(record, body)
    fold(record, body)
    read_response(record, body)
    _check(record)


class Failure(Exception):
    """An exception with the members of the SDK's."""

    def __init__(self, members: dict[str, Any]) -> None:
        super().__init__("prose of alice@example.com")
        self.__dict__.update(members)


@settings(max_examples=100, deadline=None)
@given(
    APIS_,
    st.dictionaries(
        st.sampled_from(
            ["body", "code", "type", "param", "status_code", "message", "request_id", "response"]
        ),
        BODIES,
    ),
)
def test_any_exception_is_read_without_raising_or_leaking(api: str, members: dict[str, Any]) -> None:
    """Whatever an exception carries in the places of the SDK's, only codes are kept."""
    record = CallRecord(api, "x", "chat", end="raised")
    read_error(record, Failure(members))
    _check(record)


class Hostile:
    """Raises whatever is asked of it, and says it is a text."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return str
        raise RuntimeError(name)

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment]


class HostileList(list[Any]):
    """A list that cannot be cut."""

    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError("getitem")

    def __iter__(self) -> Any:
        raise RuntimeError("iter")


class HostileDict(dict[str, Any]):
    """A mapping that cannot be asked."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("get")

    def items(self) -> Any:
        raise RuntimeError("items")


# By name: pytest would touch them to print them.
STRANGE: dict[str, Any] = {
    "hostile": Hostile(),
    "list": HostileList([1]),
    "dict": HostileDict(a=1),
    "mock": MagicMock(spec=str),
    "object": object(),
    "class": type,
    "bytes": b"x",
    "number": 1.5,
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("kind", ["hostile", "list", "dict", "mock", "object", "class", "bytes", "number"])
def test_an_object_that_raises_when_touched_is_dropped(api: str, kind: str) -> None:
    """In the place of a body or of any member, an object of the app's cannot break its call."""
    value = STRANGE[kind]
    record = CallRecord(api, "x", "chat")
    for body in (value, *({name: value} for name in NAMES), Thing(dict.fromkeys(NAMES, value))):
        fold(record, body)
        read_response(record, body)
    for event in _EVENTS:
        fold(record, {"type": event} | {name: value for name in NAMES if name != "type"})
        fold(record, Thing(dict.fromkeys(NAMES, value) | {"type": event}))
    read_error(record, Failure({"body": value, "status_code": value, "message": value, "code": value}))
    _check(record)


@pytest.mark.parametrize("kind", ["hostile", "list", "dict", "mock", "object", "class", "bytes", "number"])
def test_a_request_with_strange_members_is_read_as_far_as_it_goes(kind: str) -> None:
    """Sentinels, files and generators in the place of values leave the other facts standing."""
    value = STRANGE[kind]
    record = CallRecord("chat", "chat.completions.create", "chat")
    read_request(record, dict.fromkeys(NAMES, value) | {"model": "gpt-5", "seed": 7})
    assert (record.request_model, record.standard["gen_ai.request.seed"]) == ("gpt-5", 7)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.text(max_size=60))
def test_any_address_is_looked_up_without_raising(method: str, url: str) -> None:
    """A method and an address of any text give a row of the table or nothing."""
    found = find(method, url)
    assert found is None or found in [endpoint for _, _, endpoint in ENDPOINTS]


# --- pieces ----------------------------------------------------------------------------------------

RESPONSE = {"id": "resp_1", "model": "gpt-5", "status": "incomplete", "output": []}
EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5", "status": "in_progress"}},
    {"type": "response.output_text.delta", "delta": "naïve ✓"},
    {"type": "response.refusal.delta", "delta": "I"},
    {
        "type": "response.incomplete",
        "response": RESPONSE
        | {
            "incomplete_details": {"reason": "content_filter"},
            "usage": {"input_tokens": 3, "output_tokens": 5},
            "error": None,
        },
    },
]
CHUNKS: list[dict[str, Any]] = [
    {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": "✓"}, "finish_reason": None}]},
    {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c1", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
]
STREAMS = {
    "responses": sse(*EVENTS),
    "chat": sse(*CHUNKS) + "data: [DONE]\n\n",
    "chat with comments": ": ping\n\nid: 1\nretry: 5\n" + sse(*CHUNKS) + "data:[DONE]\n\n",
    "chat unclosed": sse(*CHUNKS).rstrip("\n"),
    "an event of several data lines": 'data: {"id":"c1",\ndata: "service_tier":"flex","choices":[]}\n\n'
    + sse(*CHUNKS),
}


def _fed(name: str, pieces: list[bytes]) -> tuple[CallRecord, Seen]:
    record = CallRecord(name.split(maxsplit=1)[0] if name[:4] in ("resp", "chat") else "chat", "x", "chat")
    reader = BodyReader({"content-type": "text/event-stream; charset=utf-8"})
    seen = Seen.NOTHING
    for piece in pieces:
        seen |= reader.feed(record, piece)
    return record, seen | reader.finish(record)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_at_any_byte_gives_the_same_record(name: str, ends: str) -> None:
    """One piece, two pieces cut anywhere, or single bytes, with any line ending: the same facts."""
    body = STREAMS[name].replace("\n", ends).encode()
    whole = _fed(name, [body])
    assert whole[1] == Seen.OUTPUT | Seen.TERMINAL
    assert whole[0].response_id in ("resp_1", "c1")
    assert whole[0].standard["gen_ai.usage.output_tokens"] == 5
    cut = [_fed(name, [body[:at], body[at:]]) for at in range(len(body))]
    assert [other for other in (*cut, _fed(name, [bytes([b]) for b in body])) if other != whole] == []


@settings(max_examples=60, deadline=None)
@given(
    APIS_,
    st.lists(st.binary(max_size=60), max_size=6),
    st.sampled_from(["text/event-stream", "application/json", ""]),
)
def test_any_bytes_are_read_without_raising(api: str, pieces: list[bytes], kind: str) -> None:
    """Broken encodings, half events and binary bodies are dropped."""
    record = CallRecord(api, "x", "chat")
    reader = BodyReader({"content-type": kind})
    for piece in pieces:
        reader.feed(record, piece)
    reader.finish(record)
    _check(record)


@settings(max_examples=60, deadline=None)
@given(APIS_, st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8))
def test_reading_changes_nothing_of_what_is_read(api: str, body: dict[str, Any]) -> None:
    """The caller's own objects are looked at, never written to."""
    before = copy.deepcopy(body)
    record = CallRecord(api, "x", "chat")
    read_request(record, body)
    read_response(record, body)
    fold(record, body)
    assert json.dumps(body, default=str) == json.dumps(before, default=str)
