"""Counters that are added up in the process."""

from __future__ import annotations

import threading

import httpx2
import openai
from opentelemetry.metrics import NoOpMeter

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.instrumentation.signals.tally import Tally, tally
from support.telemetry import Instrument, Telemetry

ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
DONE = frozenset(
    {
        ("openai_safety.api", "chat"),
        ("openai_safety.outcome", "completed"),
        ("gen_ai.request.model", "m"),
        ("openai_safety.identifier.source", "absent"),
        ("openai_safety.identifier.delivery", "none"),
        ("openai_safety.traffic", "production"),
    }
)


def test_calls_go_on_counting_when_instrumented_again(instrument: Instrument, telemetry: Telemetry) -> None:
    """A provider takes the callback of an instrument once: two instrumentations of one provider add up."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER))
    with openai.OpenAI(
        api_key="k", base_url="http://127.0.0.1:1/v1", http_client=httpx2.Client(transport=transport)
    ) as client:
        for _ in range(2):
            ours = instrument()
            client.chat.completions.create(model="m", messages=[])
            ours.uninstrument()
    assert {DONE: 2} == telemetry.points("openai_safety.calls")


def test_threads_lose_no_count() -> None:
    """Eight threads that add at once leave the sum of all, with empty labels left out."""
    counted = Tally(c.CHECKS)

    def many() -> None:
        for _ in range(5000):
            counted.add("chat", "", "passed")

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (found,) = counted.read(None)  # type: ignore[arg-type]
    assert (40_000, {c.API: "chat", c.RESULT: "passed"}) == (found.value, found.attributes)


def test_each_provider_has_its_own(telemetry: Telemetry) -> None:
    """What is counted for one provider is not another's; asked for again it is the same."""
    other = Telemetry()
    meters = [one.meter_provider.get_meter("x") for one in (telemetry, other)]
    mine = tally(c.CALLS, meters[0], telemetry.meter_provider)
    assert mine is tally(c.CALLS, meters[0], telemetry.meter_provider)
    assert mine is not tally(c.CALLS, meters[1], other.meter_provider)
    assert mine is not tally(c.CALLS, NoOpMeter("x"), object())  # which nothing can refer to weakly
