"""What did not leave, and what somebody else's constant hides: neither counts as an identifier sent."""

from __future__ import annotations

import logging
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.outcomes import response
from support.telemetry import KEY, Instrument, Telemetry
from support.wire import answering

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
U42 = Hasher(KEY).end_user("u42")
CONSTANTS = tuple(vocabulary.LIBRARY_CONSTANTS)


def facts(telemetry: Telemetry) -> list[tuple[Any, ...]]:
    """Identifier, source and delivery of each event; the spans and the metric must say the same delivery."""
    found = [(e.get(c.USER_HASH), e[c.IDENTIFIER_SOURCE], e[c.IDENTIFIER_DELIVERY]) for e in telemetry.events]
    metric = {dict(labels)[c.IDENTIFIER_DELIVERY] for labels in telemetry.points(instruments.CALLS.name)}
    assert {delivery for *_, delivery in found} == metric
    return found


def no_token() -> str:
    raise LookupError("the token service is away")


class Unserializable:
    """What the SDK cannot put into a body."""


KEY_FUNCTIONS = pytest.mark.skipif(
    not hasattr(openai.OpenAI, "_refresh_api_key"),
    reason=f"openai {openai.__version__} takes no function as its api_key",
)


@KEY_FUNCTIONS
def test_a_key_that_cannot_be_had_sends_nothing(
    provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """No request was made, nothing was delivered."""
    instrument()
    client = openai.OpenAI(api_key=no_token, base_url=f"{provider.origin}/v1", max_retries=0)
    with end_user("u42"), pytest.raises(LookupError):
        client.responses.create(**ASK)
    assert [(U42, "end_user", "not_sent")] == facts(telemetry)
    assert [] == list(provider.ledger)


def test_a_body_that_cannot_be_written_sends_nothing(
    provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """No request was made, nothing was delivered."""
    instrument()
    client = openai.OpenAI(api_key="k", base_url=f"{provider.origin}/v1", max_retries=0)
    wrong: Any = Unserializable()
    with end_user("u42"), pytest.raises(TypeError):
        client.responses.create(model="gpt-5", input=wrong)
    assert [(U42, "end_user", "not_sent")] == facts(telemetry)
    assert [] == list(provider.ledger)


@KEY_FUNCTIONS
async def test_the_same_without_waiting(
    provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """The async client."""
    instrument()

    async def none() -> str:
        return no_token()

    client = openai.AsyncOpenAI(api_key=none, base_url=f"{provider.origin}/v1", max_retries=0)
    with end_user("u42"), pytest.raises(LookupError):
        await client.responses.create(**ASK)
    assert [(U42, "end_user", "not_sent")] == facts(telemetry)


def test_what_the_transport_lost_was_sent(telemetry: Telemetry, instrument: Instrument) -> None:
    """Nobody answers: the request was on its way, as far as anybody knows."""
    instrument()
    client = openai.OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with end_user("u42"), pytest.raises(openai.APIConnectionError):
        client.responses.create(**ASK)
    assert [(U42, "end_user", "sent")] == facts(telemetry)


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("header", [False, True], ids=["body", "header"])
def test_a_librarys_constant_gives_way_to_a_known_end_user(
    constant: str,
    header: bool,
    client: openai.OpenAI,
    provider: Provider,
    telemetry: Telemetry,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The user's own identifier is sent, once told in the log; there is no conflict."""
    instrument()
    extra: dict[str, Any] = {"extra_body": {"safety_identifier": constant}}
    if header:
        extra = {"extra_headers": {"OpenAI-Safety-Identifier": constant}}
    with caplog.at_level(logging.WARNING), end_user("u42"):
        client.responses.create(**ASK, **extra)
        client.chat.completions.create(**CHAT, **extra)
    assert [{"header" if header else "body": U42}] * 2 == [entry.identifiers for entry in provider.ledger]
    assert [(U42, "end_user", "sent")] * 2 == facts(telemetry)
    assert 1 == sum(constant in record.getMessage() for record in caplog.records)
    assert [None, None] == [event.get(c.IDENTIFIER_CONFLICT) for event in telemetry.events]


KEPT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nobody known": ({}, {}),
    "only a session": ({}, {"session": "s9"}),
    "a setting": ({"library_identifier": "keep"}, {"user": "u42"}),
    "host not listed": ({"inject_hosts": "api.openai.com"}, {"user": "u42"}),
    "no injection": ({"inject": "off"}, {"user": "u42"}),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_constant_that_stays_cannot_be_told_apart(
    case: str, client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """It stays byte-equal, and its source says that it is nobody's."""
    settings, who = KEPT[case]
    instrument(**settings)
    with end_user(**who):
        client.responses.create(**ASK, extra_body={"safety_identifier": CONSTANTS[0]})
    assert [CONSTANTS[0]] == [entry.identifier for entry in provider.ledger]
    assert [(CONSTANTS[0], "library", "sent")] == facts(telemetry)


@pytest.mark.parametrize("who", [{}, {"user": "u42"}], ids=["nobody", "somebody"])
def test_a_constant_that_comes_back_is_nobodys(
    who: dict[str, Any], telemetry: Telemetry, instrument: Instrument
) -> None:
    """The answer of somebody's background call is fetched: a block of it says nothing about whoever fetches it."""
    instrument()
    error = {"code": "cyber_policy", "message": "This content was flagged."}
    body = response(status="failed", error=error, safety_identifier=CONSTANTS[0])
    with answering(body) as client, end_user(**who):
        client.responses.retrieve("resp_1")
    assert [(CONSTANTS[0], "library", "not_accepted")] == facts(telemetry)


def test_nearly_the_same_is_the_apps_own(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Only exact values are a library's."""
    instrument()
    with end_user("u42"):
        client.responses.create(**ASK, extra_body={"safety_identifier": CONSTANTS[0] + "-7"})
    assert [(CONSTANTS[0] + "-7", "caller", "sent")] == facts(telemetry)
