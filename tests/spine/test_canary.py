"""Unique strings planted everywhere a person or a secret could stand appear nowhere in what we emit."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from pathlib import Path
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from support.event_files import records
from support.http import http_library
from support.telemetry import Instrument, Telemetry
from support.waiting import until

CANARY = "kanarie"
PROSE = "the person jo kanarie-prose said something"


def _planted(name: str) -> str:
    return f"{CANARY}-{name}-7f3a"


RAISED = {"error": {"message": _planted("message"), "type": PROSE, "param": PROSE, "code": PROSE}}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": PROSE,
    "status": "completed",
    "output": [
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": _planted("output"), "annotations": []}],
        }
    ],
    "safety_identifier": _planted("echo") + "@example.com",
    "user": _planted("echoed user") + "@example.com",
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "service_tier": PROSE,
    "incomplete_details": {"reason": PROSE},
    "error": {"code": PROSE, "message": _planted("response error")},
    "metadata": {_planted("key"): _planted("value")},
}
CHAT: dict[str, Any] = {
    "id": "chatcmpl_1",
    "object": "chat.completion",
    "created": 1,
    "model": PROSE,
    "choices": [
        {
            "index": 0,
            "finish_reason": PROSE,
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": _planted("chat output"),
                "refusal": _planted("refusal"),
            },
        }
    ],
    "moderation": {"input": {"type": "error", "code": PROSE, "message": _planted("moderation message")}},
    "system_fingerprint": PROSE,
}


def _answer(request: Any) -> Any:
    headers = {"x-request-id": "req_1"}
    text = request.read().decode(errors="replace")
    if "provoke" in text:
        return http_library.Response(400, json=RAISED, headers=headers)
    if "drop" in text:
        raise http_library.ConnectError(_planted("connect error"))
    if "embeddings" in str(request.url):
        vector = {"object": "embedding", "index": 0, "embedding": "AAAAAA=="}
        return http_library.Response(200, json={"object": "list", "model": PROSE, "data": [vector]})
    body = CHAT if "chat" in str(request.url) else RESPONSE
    if '"stream":true' in text.replace(" ", ""):
        event = {"type": "response.completed", "sequence_number": 0, "response": RESPONSE}
        frames = f"data: {json.dumps(event)}\n\ndata: {json.dumps(RAISED)}\n\n"
        return http_library.Response(
            200, text=frames, headers={**headers, "content-type": "text/event-stream"}
        )
    return http_library.Response(200, json=body, headers=headers)


def _call(client: openai.OpenAI, **extra: Any) -> None:
    prompt = _planted("prompt")
    model = _planted("model") + " with prose"
    own: dict[str, Any] = {
        "model": model,
        "input": prompt,
        "user": _planted("user") + "@example.com",
        **extra,
    }
    for call in (
        lambda: client.responses.create(**own),
        lambda: list(client.responses.create(**own, stream=True)),
        lambda: client.responses.with_raw_response.create(**own),
        lambda: client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}]),
        lambda: client.responses.create(model="provoke", input=prompt),
        lambda: client.responses.create(model="drop", input=prompt),
        lambda: client.embeddings.create(model=model, input=prompt),
    ):
        with contextlib.suppress(openai.OpenAIError):
            call()


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("files", [False, True])
def test_nothing_planted_comes_out(
    files: bool,
    telemetry: Telemetry,
    instrument: Instrument,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Spans, events, metrics, event files, logs and standard streams hold no content, person or key."""
    instrument(
        file_dir=str(tmp_path) if files else None,
        stdout_events=True,
        moderation="score",
        inject_hosts="+api.openai.com",
    )
    http = http_library.Client(transport=http_library.MockTransport(_answer))
    buffer = io.StringIO()
    ours = logging.getLogger("openai_safety_otel")
    handler = logging.StreamHandler(buffer)
    ours.addHandler(handler)
    try:
        with openai.OpenAI(api_key=_planted("api key"), http_client=http, max_retries=0) as client:
            _call(client)
            with end_user(_planted("person") + "@example.com", session=_planted("session")):
                _call(client)
                _call(client, extra_body={"safety_identifier": _planted("theirs") + "@example.com"})
            with end_user(identifier=_planted("own scheme") + "@example.com"):
                _call(client)
    finally:
        ours.removeHandler(handler)

    if files:
        until(lambda: len(records(tmp_path)) == 7 * 4)
    told = records(tmp_path) if files else telemetry.events
    assert 7 * 4 == len(told) == len(telemetry.spans)
    out, err = capfd.readouterr()
    emitted = {
        "spans": "".join(span.to_json() for span in telemetry.spans),
        "events": "".join(f"{one.body} {one.attributes}" for one in telemetry.log_records),
        "metrics": str(telemetry.reader.get_metrics_data()),
        "files": "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file()),
        "logs": buffer.getvalue()
        + "".join(r.getMessage() for r in caplog.records if r.name.startswith("openai_safety")),
        "streams": out + err,
    }
    assert dict.fromkeys(emitted, False) == {name: CANARY in text.lower() for name, text in emitted.items()}
    assert str(told).count("user.hash") >= 7 * 3
