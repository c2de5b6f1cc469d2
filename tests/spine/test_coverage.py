"""Coverage says which share of calls reached the provider with a name, and why the rest did not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import openai

from openai_safety_otel import end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
LEFT_OUT = {"system", "not_used"}


def deliveries(telemetry: Telemetry) -> Counter[str]:
    """Inference calls by delivery, from the metric as a dashboard reads it."""
    found: Counter[str] = Counter()
    for labels, value in telemetry.points("openai_safety.calls").items():
        facts = dict(labels)
        if facts[c.IDENTIFIER_SOURCE] not in LEFT_OUT:
            found[str(facts[c.IDENTIFIER_DELIVERY])] += int(value)
    return found


def coverage(telemetry: Telemetry) -> float:
    found = deliveries(telemetry)
    return found["sent"] / (found["sent"] + found["withheld"] + found["none"])


def test_azure_and_embeddings_do_not_count_against_it(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Half of the calls on Azure and Embeddings, all users set: 100 %."""
    instrument(inject_hosts="+127.0.0.1")
    azure = openai.AzureOpenAI(
        api_key="k",
        azure_endpoint=provider.origin.replace("127.0.0.1", "localhost"),
        api_version="2024-10-21",
    )
    for number in range(4):
        with end_user(f"u{number}"):
            client.responses.create(**ASK)
            client.chat.completions.create(**CHAT)
            azure.chat.completions.create(**CHAT)
            client.embeddings.create(model="e", input="x")
    azure.close()
    assert (1.0, {"sent": 8, "not_accepted": 8}) == (coverage(telemetry), dict(deliveries(telemetry)))


def test_a_forgotten_route_shows_its_share_and_cause(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """A quarter of the calls without a user: 75 %, the cause counted, on the API where it happens."""
    instrument()
    with end_user("u1"):
        for _ in range(3):
            client.responses.create(**ASK)
    client.chat.completions.create(**CHAT)
    with end_user(system="nightly"):
        client.responses.create(**ASK)
    problems = telemetry.points("openai_safety.identifier.problems")
    assert (0.75, {"no_user": 1}, [("chat", "absent")]) == (
        coverage(telemetry),
        {dict(labels)[c.REASON]: value for labels, value in problems.items()},
        [
            (event[c.API], event[c.IDENTIFIER_SOURCE])
            for event in telemetry.events
            if event[c.IDENTIFIER_DELIVERY] == "none" and event[c.IDENTIFIER_SOURCE] != "system"
        ],
    )


def _every_api(client: openai.OpenAI, **extra: Any) -> None:
    client.responses.create(**ASK, **extra)
    list(client.responses.create(**ASK, stream=True, **extra))
    client.chat.completions.create(**CHAT, **extra)
    client.images.generate(model="gpt-image-1", prompt="a cat", **extra)
    client.images.edit(model="gpt-image-1", prompt="a cat", image=b"png", **extra)


def test_adoption_leaves_a_products_own_scheme_as_it_is(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Identifiers the product already sends are byte-equal on the wire after adoption, on every API."""
    own = "acme:7f/€ 77"
    sent = {"extra_body": {"safety_identifier": own}}
    _every_api(client, **sent)
    before = [entry.identifier for entry in provider.ledger]
    provider.ledger.clear()
    instrument()
    with end_user("u42"):
        _every_api(client, **sent)
    with end_user(identifier=own):
        _every_api(client)
    assert before * 2 == [entry.identifier for entry in provider.ledger]


def test_personal_data_of_an_own_scheme_is_shown_as_a_hash_only(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """An e-mail address as the product's own identifier stays on the wire; telemetry carries its hash."""
    instrument()
    with end_user(identifier="jo@example.com"):
        client.responses.create(**ASK)
    (event,) = telemetry.events
    assert ("jo@example.com", Hasher(KEY).end_user("jo@example.com"), True) == (
        provider.ledger[0].identifier,
        event[c.USER_HASH],
        event[c.IDENTIFIER_RAW],
    )
