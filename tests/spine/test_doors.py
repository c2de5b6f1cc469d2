"""Inline moderation, local suspension, filters, evidence, background answers: what the settings switch on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from openai_safety_otel import EndUserSuspended, end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
U42 = Hasher(KEY).end_user("u42")


def suspended(path: Path, **entries: dict[str, Any]) -> str:
    path.write_text(json.dumps({"entries": entries}))
    return str(path)


def entry(action: str) -> dict[str, Any]:
    return {"action": action, "until": None, "by": "test", "why": "test", "at": 0}


def calls(telemetry: Telemetry) -> list[dict[str, Any]]:
    return [event for event in telemetry.events if event["event.name"] == c.CALL_EVENT]


@pytest.mark.parametrize("stream", [False, True])
def test_moderation_is_asked_for_where_the_app_did_not(
    stream: bool, client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """`MODERATION=score` brings all 13 scores of both directions onto the event, flagged ones onto the span."""
    instrument(moderation="score")
    answer = client.responses.create(model="gpt-5", input="[[flag:violence]] hi", stream=stream)
    list(answer) if stream else None
    (event,) = telemetry.events
    scores = [name for name in event if ".scores." in name]
    assert (26, True, ("violence",)) == (
        len(scores),
        event["openai_safety.moderation.input.flagged"],
        event["openai_safety.moderation.output.categories"],
    )
    span = dict(telemetry.spans[0].attributes or {})
    assert {
        "openai_safety.moderation.input.scores.violence",
        "openai_safety.moderation.output.scores.violence",
    } == {name for name in span if ".scores." in name}
    assert "WARN" == telemetry.log_records[0].severity_text


def test_the_apps_own_moderation_wins(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """A moderation the app asks for itself is sent as it is."""
    instrument(moderation="score", moderation_model="ours")
    client.responses.create(**ASK, extra_body={"moderation": {"model": "theirs"}})
    assert "theirs" == telemetry.events[0]["openai_safety.moderation.model"]


def test_hosts_off_the_list_are_not_moderated(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Nothing is added to calls to a host that is not allow-listed."""
    instrument(moderation="score", inject_hosts="api.openai.com")
    client.responses.create(**ASK)
    assert [] == [name for name in telemetry.events[0] if "moderation" in name]


def test_standalone_moderation_has_the_same_attributes(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """`moderations.create` is recorded with the scores under the same names, and counts for no coverage."""
    instrument()
    client.moderations.create(model="omni-moderation-latest", input="[[flag:violence]] hi")
    (event,) = telemetry.events
    assert ("moderations", True, 13) == (
        event["openai_safety.api"],
        event["openai_safety.moderation.input.flagged"],
        sum(".input.scores." in name for name in event),
    )


EVERY = {
    "responses": lambda c: c.responses.create(**ASK),
    "responses stream": lambda c: c.responses.create(**ASK, stream=True),
    "chat": lambda c: c.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}]),
    "completions": lambda c: c.completions.create(model="m", prompt="x"),
    "embeddings": lambda c: c.embeddings.create(model="m", input="x"),
    "images": lambda c: c.images.generate(model="m", prompt="x"),
    "speech": lambda c: c.audio.speech.create(model="m", voice="alloy", input="x"),
    "moderations": lambda c: c.moderations.create(input="x"),
}


@pytest.mark.parametrize("api", EVERY)
def test_a_suspended_user_is_refused_on_every_api(
    api: str,
    client: openai.OpenAI,
    provider: Provider,
    telemetry: Telemetry,
    instrument: Instrument,
    tmp_path: Path,
) -> None:
    """Before any network traffic, as an error the app already handles, recorded as suspended locally."""
    instrument(suspensions=suspended(tmp_path / "list.json", **{U42: entry("suspend")}))
    with end_user("u42"), pytest.raises(openai.PermissionDeniedError) as caught:
        EVERY[api](client)
    assert (EndUserSuspended, 403, "end_user_suspended", 0) == (
        type(caught.value),
        caught.value.status_code,
        caught.value.code,
        len(provider.ledger),
    )
    (event,) = telemetry.events
    assert ("blocked", "suspended_locally", "local", U42) == (
        event[c.OUTCOME],
        event[c.BLOCK_TYPE],
        event[c.BLOCK_CLASS],
        event[c.USER_HASH],
    )
    client.responses.create(**ASK)
    assert 1 == len(provider.ledger)


async def test_async_calls_are_refused_too(
    async_client: openai.AsyncOpenAI, provider: Provider, instrument: Instrument, tmp_path: Path
) -> None:
    """The async shell refuses alike, a linked session included."""
    session = Hasher(KEY).session("s9")
    instrument(suspensions=suspended(tmp_path / "list.json", **{session: entry("revoke")}))
    with end_user("u42", session="s9"), pytest.raises(EndUserSuspended):
        await async_client.responses.create(**ASK)
    assert 0 == len(provider.ledger)


@pytest.mark.parametrize(("text", "passes"), [("fine", True), ("[[flag:violence]] bad", False)])
def test_a_filter_entry_asks_first(
    text: str,
    passes: bool,
    client: openai.OpenAI,
    provider: Provider,
    telemetry: Telemetry,
    instrument: Instrument,
    tmp_path: Path,
) -> None:
    """Under `filter` the Moderation API is asked about the last turn; what is flagged never goes out."""
    instrument(suspensions=suspended(tmp_path / "list.json", **{U42: entry("filter")}))
    with end_user("u42"):
        if passes:
            client.responses.create(model="gpt-5", input=text)
        else:
            with pytest.raises(EndUserSuspended):
                client.responses.create(model="gpt-5", input=text)
    assert ["moderations", "responses"][: 1 + passes] == [one.api for one in provider.ledger]
    (event,) = calls(telemetry)
    assert None is event.get(c.BLOCK_TYPE) if passes else "filtered_locally" == event[c.BLOCK_TYPE]


def test_watch_brings_scores_and_evidence(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument, tmp_path: Path
) -> None:
    """A `watch` decision brings scores and masked evidence for that identifier alone, in a scope of its own."""
    instrument(suspensions=suspended(tmp_path / "list.json", **{U42: entry("watch")}))
    for user in ("u42", "u43"):
        with end_user(user):
            client.responses.create(model="gpt-5", input="my mail is jo@example.com")
    watched, _, other = telemetry.events
    evidence = telemetry.events[1]
    assert (True, False) == tuple(any(".scores." in name for name in event) for event in (watched, other))
    assert (c.EVIDENCE_EVENT, U42) == (evidence["event.name"], evidence[c.USER_HASH])
    assert evidence[c.EVIDENCE_INPUT].startswith("my mail is ")
    assert "jo@example.com" not in str(telemetry.events)
    logs = telemetry.log_exporter.get_finished_logs()
    scopes = [one.instrumentation_scope.name for one in logs if one.instrumentation_scope]
    assert [c.SCOPE, c.EVIDENCE_SCOPE, c.SCOPE] == scopes


def test_evidence_of_blocked_calls(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """`EVIDENCE=blocked` keeps the user's last turn of a blocked call, and nothing of any other."""
    instrument(evidence="blocked")
    with end_user("u42"):
        client.responses.create(**ASK)
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="gpt-5", input="[[cyber]] do it")
    (kept,) = [event for event in telemetry.events if event["event.name"] == c.EVIDENCE_EVENT]
    assert "[[cyber]] do it" == kept[c.EVIDENCE_INPUT]


def test_background_answers_count_once_each(
    client: openai.OpenAI, provider: Provider, telemetry: Telemetry, instrument: Instrument
) -> None:
    """One record at submission, one when its outcome is fetched, none for polls before or after."""
    instrument()
    with end_user("u42"):
        answer = client.responses.create(
            model="gpt-5", input="[[cyber-failed]] hi", extra_body={"background": True}
        )
    for _ in range(6):
        client.responses.retrieve(answer.id)
    events = calls(telemetry)
    assert [("responses.create", "completed", True), ("responses.retrieve", "blocked", None)] == [
        (event[c.ENDPOINT], event[c.OUTCOME], event.get(c.BACKGROUND)) for event in events
    ]
    assert {U42} == {event[c.USER_HASH] for event in events}
    assert 2 == sum(telemetry.points("openai_safety.calls").values())


def test_retries_are_one_record(provider: Provider, telemetry: Telemetry, instrument: Instrument) -> None:
    """The SDK's own retries stay one call, with their number."""
    instrument()
    with openai.OpenAI(api_key="k", base_url=provider.url, max_retries=2) as client:
        client.responses.create(model="gpt-5", input="[[500:1]] hi")
    (event,) = telemetry.events
    assert ("completed", 1, 2) == (event[c.OUTCOME], event[c.RETRIES], len(provider.ledger))


def test_azure(provider: Provider, telemetry: Telemetry, instrument: Instrument) -> None:
    """An Azure client is recorded as Azure's, gets nothing added; its prompt filter is a block of the input."""
    instrument(inject_hosts="api.openai.com")
    client = openai.AzureOpenAI(api_key="k", azure_endpoint=provider.origin, api_version="2024-10-21")
    with end_user("u42"), pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "[[azure-filter]] x"}]
        )
    client.close()
    (event,) = telemetry.events
    assert ("azure.ai.openai", "content_filter", "input", "not_accepted") == (
        event[c.PROVIDER_NAME],
        event[c.BLOCK_TYPE],
        event[c.BLOCK_SOURCE],
        event[c.IDENTIFIER_DELIVERY],
    )
