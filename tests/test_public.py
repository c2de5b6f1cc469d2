"""What an app calls itself: an identifier computed elsewhere, and a user's report."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user, report_issue, safety_identifier
from openai_safety_otel.contract.conventions import REPORTED_HASH
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from openai_safety_otel.who.keys import KeyProblemError
from support.scripted import scripted
from support.telemetry import KEY, Instrument, Telemetry

ANN, BOB = Hasher(KEY).end_user("ann"), Hasher(KEY).end_user("bob")


def ask(url: str) -> str:
    with openai.OpenAI(api_key="k", base_url=url) as client:
        return str(client.responses.create(model="gpt-5", input="hello").id)


@pytest.mark.parametrize("evidence", ["off", "flagged"])
def test_a_report_names_both_people(evidence: str, instrument: Instrument, telemetry: Telemetry) -> None:
    """Bob reports Ann's answer: Bob's identifier, Ann's, the reason; Bob's words only with evidence on."""
    instrument(evidence=evidence)
    with Provider() as provider, end_user("ann"):
        answer = ask(provider.url)
    with end_user("bob"):
        report_issue(answer, "harmful", text="it told me how to …")
    text = {"openai_safety.report.text": "it told me how to …"} if evidence == "flagged" else {}
    assert {
        "event.name": "openai_safety.user_report",
        "gen_ai.response.id": answer,
        "openai_safety.report.reason": "harmful",
        "user.hash": BOB,
        "openai_safety.identifier.key_id": Hasher(KEY).key_id,
        REPORTED_HASH: ANN,
        "openai_safety.traffic": "production",
        **text,
    } == telemetry.events[-1]
    record = telemetry.log_records[-1]
    assert ("WARN", "a user reported an answer: harmful") == (record.severity_text, record.body)
    assert record.timestamp


def test_a_report_of_an_unknown_answer_by_nobody(instrument: Instrument, telemetry: Telemetry) -> None:
    """Another process's answer, reported by nobody known: the event says what there is."""
    instrument(traffic="redteam")
    report_issue("resp_elsewhere", "other")
    assert [
        {
            "event.name": "openai_safety.user_report",
            "gen_ai.response.id": "resp_elsewhere",
            "openai_safety.report.reason": "other",
            "openai_safety.traffic": "redteam",
        }
    ] == telemetry.events


def test_a_report_has_one_of_the_reasons(instrument: Instrument, telemetry: Telemetry) -> None:
    """A reason outside the list raises at the line that wrote it, and nothing is emitted."""
    instrument()
    with pytest.raises(ValueError, match="reason: expected one of harmful"):
        report_issue("resp_1", "jo@example.com says so")  # type: ignore[arg-type]
    assert [] == telemetry.events


def test_a_report_without_the_instrumentation(caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing is active the report goes nowhere, and one line says so."""
    with caplog.at_level(logging.WARNING):
        report_issue("resp_1", "harmful")
    assert ["report_issue: openai-safety-otel is not active, the report goes nowhere"] == [
        record.getMessage() for record in caplog.records
    ]


def test_long_words_are_cut(instrument: Instrument, telemetry: Telemetry) -> None:
    """A user's words are kept up to 2,000 characters."""
    instrument(evidence="blocked")
    report_issue("resp_1", "harmful", text="very bad " * 1000)
    assert 2000 == len(telemetry.events[0]["openai_safety.report.text"])


def test_words_are_masked(instrument: Instrument, telemetry: Telemetry) -> None:
    """Secrets and personal data in a user's words are masked as they are in all evidence."""
    instrument(evidence="blocked")
    report_issue("resp_1", "harmful", text="it wrote to jo@example.com with sk-abcdefghijklmnopqrstuvwx1234")
    words = telemetry.events[0]["openai_safety.report.text"]
    assert ("it wrote to ", False, False) == (words[:12], "jo@example" in words, "sk-abc" in words)


def test_a_report_names_the_answer_as_its_call_did(instrument: Instrument, telemetry: Telemetry) -> None:
    """Whatever id the record of a call keeps, the report of its answer keeps: LiteLLM's long one, too."""
    packed = b"litellm:custom_llm_provider:openai;model_id:" + b"1f" * 32 + b";response_id:resp_" + b"6" * 47
    answer = f"resp_{base64.b64encode(packed).decode()}"
    assert (len(answer), answer[-1]) == (237, "=")
    instrument()
    body = {
        "id": answer,
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-5",
        "output": [],
    }
    with scripted([json.dumps(body).encode()]) as client, end_user("ann"):
        assert client.responses.create(model="gpt-5", input="hello").id == answer
    report_issue(answer, "harmful")
    called, reported = telemetry.events
    assert called["gen_ai.response.id"] == reported["gen_ai.response.id"] == answer
    assert reported[REPORTED_HASH] == called["user.hash"] == ANN


def test_an_id_that_is_none(instrument: Instrument, telemetry: Telemetry) -> None:
    """A browser that sends prose for an answer's id puts none of it into telemetry."""
    instrument()
    report_issue("jo@example.com says hello", "spam")
    assert "_OTHER" == telemetry.events[0]["gen_ai.response.id"]


def test_an_identifier_computed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`safety_identifier` gives what the hook sends, from the environment's key; no key or no person raises."""
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", KEY.decode())
    assert (ANN, Hasher(KEY).session("s9")) == (safety_identifier("ann"), safety_identifier(session="s9"))
    arguments: dict[str, Any]
    for arguments in ({}, {"user": "ann", "session": "s9"}):
        with pytest.raises(TypeError, match="either a user id or session"):
            safety_identifier(**arguments)
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", "short")
    with pytest.raises(KeyProblemError):
        safety_identifier("ann")
