"""Any bytes through the real SDK and the hook: the app sees what it would without us, and one short record."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.testing.provider import Provider
from support.scripted import scripted, seen_by_app
from support.telemetry import KEY, Telemetry
from support.wire import sse

pytestmark = pytest.mark.faults

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
MAX_CHARS, MAX_ATTRIBUTES = 256, 128
PER_MEGABYTE = 20.0  # seconds: an order of magnitude over what is seen, yet far under any quadratic reading

# fmt: off
NAMES = [
    "id", "object", "status", "model", "output", "usage", "moderation", "error", "choices",
    "message", "content", "refusal", "finish_reason", "incomplete_details", "reason", "type",
    "code", "param", "input", "results", "flagged", "categories", "category_scores", "hate",
    "violence", "delta", "response", "safety_identifier", "input_tokens", "output_tokens",
    "prompt_tokens", "content_filter_results", "innererror", "details", "data", "service_tier",
    "role", "text", "annotations", "index", "logprobs", "sequence_number", "item", "part",
]
# fmt: on
# fmt: off
WORDS = [
    "completed", "failed", "incomplete", "message", "refusal", "content_filter", "response",
    "response.completed", "response.failed", "response.output_text.delta", "error", "cyber_policy",
    "identifier_blocked", "invalid_prompt", "moderation_result", "content_policy_violation",
    "model", "resp_1", "stop", "length",
]
# fmt: on
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(WORDS),
    st.sampled_from(["x" * 5000, "\ud800", "é" * 400, "person@example.com", "a b\nc\x00"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=4)), inner, max_size=6),
    ),
    max_leaves=25,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8)
BOUNDED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CALLS: dict[str, Any] = {
    "responses": lambda client: client.responses.create(**ASK),
    "chat": lambda client: client.chat.completions.create(model="m", messages=[]),
    "embeddings": lambda client: client.embeddings.create(model="m", input="x"),
    "raw": lambda client: client.responses.with_raw_response.create(**ASK).parse(),
}
STREAMS: dict[str, Any] = {
    "responses": lambda client: list(client.responses.create(**ASK, stream=True)),
    "chat": lambda client: list(client.chat.completions.create(model="m", messages=[], stream=True)),
}


@pytest.fixture(scope="module")
def observed() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    instrumentor = SafetyInstrumentor()
    instrumentor.instrument(**telemetry.providers, hmac_key=KEY, inject_hosts="+127.0.0.1")
    yield telemetry
    instrumentor.uninstrument()


def alike(client: openai.OpenAI, call: Any, telemetry: Telemetry, size: int) -> None:
    """Run once bare and once observed (strict: our own failures would be seen by the app), and compare."""
    instrumentor = SafetyInstrumentor()
    assert instrumentor.observer is not None
    instrumentor.observer.active = False
    bare = seen_by_app(lambda: call(client))
    instrumentor.observer.active = True
    telemetry.clear()
    own_errors.strict = True
    started = time.process_time()
    assert bare == seen_by_app(lambda: call(client))
    assert time.process_time() - started < 5 + PER_MEGABYTE * size / 1e6
    (event,) = telemetry.events
    (span,) = telemetry.spans
    for attributes in (event, dict(span.attributes or {})):
        assert len(attributes) <= MAX_ATTRIBUTES
        long = {k: v for k, v in attributes.items() if isinstance(v, str | tuple) and len(v) > MAX_CHARS}
        assert {} == long


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


BODY = st.one_of(
    st.builds(encoded, OBJECTS),
    st.builds(encoded, JSON),
    st.binary(max_size=60),
    st.builds(lambda value, cut: encoded(value)[:cut], OBJECTS, st.integers(0, 80)),
)


@pytest.mark.parametrize("name", CALLS)
@given(body=BODY)
@BOUNDED
def test_any_body(name: str, body: bytes, observed: Telemetry) -> None:
    """Any body of a 200: the same object or exception for the app, one record, short attributes."""
    alike(scripted([body]), CALLS[name], observed, len(body))


@pytest.mark.parametrize("name", CALLS)
@given(body=BODY, status=st.sampled_from([400, 401, 403, 404, 422, 429, 500, 503]))
@BOUNDED
def test_any_error_body(name: str, body: bytes, status: int, observed: Telemetry) -> None:
    """Any body of an error: the same exception for the app, one record, short attributes."""
    alike(scripted([body], status=status), CALLS[name], observed, len(body))


FRAMES = st.lists(
    st.one_of(
        st.builds(
            # A lone surrogate goes on the wire as the bytes of one, which are no UTF-8.
            lambda facts: sse(facts).encode("utf-8", "surrogatepass"),
            st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6),
        ),
        st.just(b"data: [DONE]\n\n"),
        st.just(b": comment\n\n"),
        st.builds(lambda junk: b"data: " + junk.replace(b"\n", b"") + b"\n\n", st.binary(max_size=20)),
        st.binary(max_size=12),
    ),
    max_size=8,
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes cut at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize("name", STREAMS)
@example(frames=[b'event: \xed\xa0\x80\ndata: {"type": "\\ud800"}\n\n'], cuts=[])
@given(frames=FRAMES, cuts=st.lists(st.integers(0, 5000), max_size=12))
@BOUNDED
def test_any_stream(name: str, frames: list[bytes], cuts: list[int], observed: Telemetry) -> None:
    """Any events, cut anywhere between any two bytes: the same chunks or exception, one record."""
    data = b"".join(frames)
    client = scripted(pieces(data, cuts), content_type="text/event-stream")
    alike(client, STREAMS[name], observed, len(data))


@given(cuts=st.lists(st.integers(0, 20_000), max_size=40), text=st.sampled_from(["hello", "[[cyber-frame]]"]))
@BOUNDED
def test_cuts_make_no_difference(
    cuts: list[int], text: str, recorded: dict[str, bytes], observed: Telemetry
) -> None:
    """A real stream cut anywhere gives the same record as in one piece."""
    data = recorded[text]
    shapes = []
    for parts in ([data], pieces(data, cuts)):
        client = scripted(parts, content_type="text/event-stream")
        observed.clear()
        seen_by_app(lambda: STREAMS["responses"](client))  # noqa: B023 - called at once
        (event,) = observed.events
        volatile = {
            "openai_safety.duration",
            "openai_safety.time_to_first_output",
            "gen_ai.response.time_to_first_chunk",
        }
        shapes.append({key: value for key, value in event.items() if key not in volatile})
    assert shapes[0] == shapes[1]


@pytest.fixture(scope="module")
def recorded() -> dict[str, bytes]:
    """Streams as the stub sends them."""
    found = {}
    with Provider() as provider, openai.OpenAI(api_key="k", base_url=provider.url) as client:
        for text in ("hello", "[[cyber-frame]]"):
            ask = {"model": "gpt-5", "input": text, "stream": True}
            with client.responses.with_streaming_response.create(**ASK | ask) as response:
                found[text] = response.read()
    return found


ARGUMENTS = st.dictionaries(
    st.sampled_from(
        ["metadata", "input", "model", "moderation", "safety_identifier", "user", "instructions"]
    ),
    JSON,
    max_size=5,
)


@given(arguments=ARGUMENTS)
@BOUNDED
def test_any_arguments(arguments: dict[str, Any], observed: Telemetry) -> None:
    """Any JSON as arguments: what the SDK refuses it refuses alike, and what is sent leaves one record."""
    client = scripted([b'{"id":"resp_1","status":"completed","model":"m","output":[]}'])
    alike(client, lambda one: one.responses.create(**ASK | arguments), observed, 5000)
