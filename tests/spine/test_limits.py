"""The widest event and the smallest room: OpenTelemetry's and Loki's limits, and a peer's full span."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import openai
from opentelemetry.trace import SpanKind

from openai_safety_otel import end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary
from openai_safety_otel.contract.record import CallRecord, ErrorFacts, Identity, Leg, Moderation, Outcome
from openai_safety_otel.instrumentation.signals.event import call_event
from openai_safety_otel.instrumentation.signals.metrics import Metrics
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument, Telemetry

# Kubernetes resource attributes of the semantic conventions that a collector usually adds.
KUBERNETES_ATTRIBUTES = 32


def widest() -> CallRecord:
    standard = [name for name in c.ATTRIBUTES if name.split(".")[0] in {"gen_ai", "openai", "server"}]
    legs = {
        direction: Leg(
            flagged=True,
            categories=vocabulary.CATEGORIES,
            scores=dict.fromkeys(vocabulary.CATEGORIES, 0.5),
            error="e",
        )
        for direction in c.DIRECTIONS
    }
    return CallRecord(
        api="responses",
        endpoint="responses.create",
        operation="chat",
        standard=cast("dict[str, Any]", dict.fromkeys(standard, "x" * 64)),
        identity=Identity("a" * 64, "end_user", "12345678", "b" * 64, raw_suspected=True, conflict=True),
        api_key_id="x",
        background=True,
        provider_request_id="req",
        retries=2,
        time_to_first_output=0.1,
        errors=[ErrorFacts(code="cyber_policy")],
        moderation=Moderation("omni", "score", legs),
    )


def test_the_widest_event_fits() -> None:
    """Every attribute at once is at most 96, so that with resource attributes it stays under 128."""
    outcome = Outcome("blocked", "cyber_policy", "request", "cyber_policy", "cyber_policy")
    event = call_event(widest(), outcome, (0, 0, 0))
    width = len({*event.attributes, c.EVENT_NAME})
    assert (True, True) == (width <= 96, width + KUBERNETES_ATTRIBUTES <= 128), width
    assert set() == set(event.attributes) - set(c.ATTRIBUTES)


def test_identity_survives_a_full_span(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Beside a peer whose span already holds 128 attributes, the identifier and outcome are still there."""
    instrument()
    tracer = telemetry.tracer_provider.get_tracer("peer")
    attributes: dict[str, Any] = {"gen_ai.operation.name": "chat"}
    with tracer.start_as_current_span("chat gpt-5", kind=SpanKind.CLIENT, attributes=attributes) as span:
        with end_user("u42"):
            stream = client.responses.create(model="gpt-5", input="hi", stream=True)
        for number in range(126):
            span.set_attribute(f"peer.{number}", number)
        list(stream)
    (finished,) = telemetry.spans
    found = dict(finished.attributes or {})
    assert (128, Hasher(KEY).end_user("u42"), "completed") == (
        len(found),
        found["user.hash"],
        found["openai_safety.outcome"],
    )


def test_metrics_never_carry_an_identifier(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """No measurement, exemplars included, carries an identifier, response id or conversation id."""
    instrument(moderation="score")
    with end_user("u42"):
        for text in ("hi", "[[cyber]]", "[[flag]]"):
            with contextlib.suppress(openai.OpenAIError):
                client.responses.create(model="gpt-5", input=text)
    text = str(telemetry.reader.get_metrics_data())
    assert (False, False) == (Hasher(KEY).end_user("u42") in text, "resp_" in text)
    assert "exemplars" in text


def test_zero_series_are_bounded(client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument) -> None:
    """Each API used starts its reachable block series at 0; an unused one has none; 60 at most in all."""
    instrument()
    client.responses.create(model="gpt-5", input="hi")
    first = telemetry.points("openai_safety.blocks")
    assert {"responses"} == {dict(labels)["openai_safety.api"] for labels in first}
    assert {0} == set(first.values())
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    client.images.generate(model="m", prompt="x")
    client.embeddings.create(model="m", input="x")
    client.completions.create(model="m", prompt="x")
    assert len(telemetry.points("openai_safety.blocks")) <= 60


def test_models_are_capped(client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument) -> None:
    """After N distinct models a metric says `_other`, so that a caller cannot make series at will."""
    instrument(metric_models=2)
    for number in range(5):
        client.responses.create(model=f"gpt-{number}", input="hi")
    points = telemetry.points("openai_safety.calls")
    assert {"gpt-0": 1, "gpt-1": 1, "_other": 3} == {
        dict(labels)["gen_ai.request.model"]: value for labels, value in points.items()
    }


def test_what_others_choose_makes_no_series_without_end(telemetry: Telemetry) -> None:
    """Thousands of models, hosts and error codes: some hundred series; a documented code is told however late."""
    metrics = Metrics(telemetry.meter_provider.get_meter("test"), max_models=20, traffic="production")
    for n in range(6000):
        error = "rate_limit_exceeded" if n == 5999 else f"error_{n % 2000}"
        standard = {c.SERVER_ADDRESS: f"host-{n % 1999}", c.PROVIDER_NAME: "openai", c.INPUT_TOKENS: 1}
        record = CallRecord("chat", "chat.completions.create", "chat", standard=cast("Any", standard))
        record.request_model = f"model-{n % 1997}"
        metrics.record(record, Outcome("failed", error_type=error), None, own_span=True)
    points = {
        name: telemetry.points(name)
        for name in (instruments.OPERATION_DURATION.name, instruments.TOKEN_USAGE.name)
    }
    told = {dict(labels)[c.ERROR_TYPE] for labels in points[instruments.OPERATION_DURATION.name]}
    assert [] == [name for name, found in points.items() if len(found) > 1000]
    assert {*(f"error_{n}" for n in range(20)), "_OTHER", "rate_limit_exceeded"} == told
