"""What an attacker who writes prompts, answers or settings cannot do; the threat model names these tests."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.contract.settings import Settings
from support.scripted import scripted
from support.telemetry import KEY, Instrument, Telemetry

EVIL = 'x"}\n{"level":"error","message":"forged"}\r\n\x1b[31m<script>alert(1)</script>${jndi:ldap://x}'
ASK: dict[str, Any] = {"model": EVIL, "input": EVIL, "metadata": {"a": EVIL}}


def evil_body() -> bytes:
    leg = {
        "type": "moderation_result",
        "flagged": True,
        "categories": {EVIL: True},
        "category_scores": {EVIL: 1},
    }
    error = {"message": EVIL, "code": EVIL, "type": EVIL, "param": EVIL}
    whole = {
        "id": EVIL,
        "model": EVIL,
        "status": EVIL,
        "error": error,
        "output": [{"type": EVIL, "id": EVIL}],
    }
    return json.dumps({**whole, "moderation": {"model": EVIL, "input": leg, "output": leg}}).encode()


@pytest.mark.parametrize("status", [200, 400])
def test_nothing_forged_in_lines_or_labels(
    status: int,
    telemetry: Telemetry,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Control characters, markup and quotes of requests and answers reach no log line, event, label or span."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    caplog.set_level(logging.DEBUG, "openai_safety_otel")
    instrumentor = instrument(stdout_events=True)
    with contextlib.suppress(openai.APIError):
        scripted([evil_body()], status=status).responses.create(**ASK)
    instrumentor.uninstrument()
    (line,) = out.getvalue().splitlines()
    points = repr([telemetry.points(f"openai_safety.{name}") for name in ("calls", "blocks", "flags")])
    said = [
        json.loads(line),
        telemetry.events,
        [dict(one.attributes or {}) for one in telemetry.spans],
        points,
    ]
    said += [one.getMessage() for one in caplog.records if one.name.startswith("openai_safety_otel")]
    for one in said:
        assert not any(
            part in json.dumps(one, default=str) for part in ("forged", "script", "jndi", "\\u001b")
        )


def test_the_key_is_in_no_log_line(
    caplog: pytest.LogCaptureFixture, telemetry: Telemetry, instrument: Instrument
) -> None:
    """At the most talkative level nothing that is logged, by anybody, holds the key, the user or the API key."""
    with caplog.at_level(logging.DEBUG):
        instrument(hmac_key=KEY)
        with end_user("user-in-clear"):
            scripted([b'{"id":"resp_1"}']).responses.create(model="m", input="x")
    ours = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("openai_safety_otel"))
    everybody = "\n".join(one.getMessage() for one in caplog.records)
    assert (False, False, False) == (
        KEY.decode() in everybody,
        "user-in-clear" in everybody,
        "sk-test" in ours,
    )


def test_no_secret_in_repr() -> None:
    """No setting that is secret shows in the settings' `repr`, so none shows in a traceback's locals."""
    secrets = {
        "hmac_key": "k" * 40,
        "webhook_secret": "whsec_hidden",
        "case_api_key": "sk-hidden",
        "notify_url": "https://hooks/hidden",
    }
    shown = repr(Settings.resolve({}, **secrets))
    assert [] == [name for name, value in secrets.items() if value in shown]


def test_memory_is_bounded(telemetry: Telemetry, instrument: Instrument) -> None:
    """Ids and models that an attacker makes up fill no memory: what is remembered has an end."""
    observer = instrument(metric_models=5).observer
    assert observer is not None
    for number in range(300):
        body = json.dumps({"id": f"resp_{number}", "model": f"m-{number}", "status": "completed"}).encode()
        scripted([body]).responses.create(model=f"m-{number}", input="x")
    from openai_safety_otel.instrumentation.answers import MAX_SEEN

    models = {dict(labels).get("gen_ai.request.model") for labels in telemetry.points("openai_safety.calls")}
    assert (6, 0, True) == (len(models), len(observer._open), len(observer.answers.told) <= MAX_SEEN)
