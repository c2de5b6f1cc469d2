"""Unique strings planted in everything a person could have said appear nowhere in what we emit."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from openai_safety_otel import end_user
from support.socket_client import REALTIME, Talk, connect, of
from support.socket_server import (
    Peer,
    SocketServer,
    born,
    created,
    delta,
    done,
    error,
    response_event,
    text_delta,
)
from support.telemetry import Instrument, Telemetry

CANARY = "kanarie"


def prose(place: str) -> str:
    return f"{CANARY} says {place} to jo@example.com"


async def script(peer: Peer) -> None:
    if peer.path.startswith("/v1/realtime"):
        failure = {
            "type": "conversation.item.input_audio_transcription.failed",
            "event_id": "e",
            "item_id": "i",
            "content_index": 0,
            "error": {"type": prose("type"), "code": prose("code"), "message": prose("message")},
        }
        await peer.say(born(prose("model"), instructions=prose("instructions")), failure)
        await peer.hear("response.create")
        details = {
            "type": "failed",
            "reason": prose("reason"),
            "error": {"code": prose("c"), "message": prose("m")},
        }
        await peer.say(created(prose("id")), delta(prose("id"), prose("delta")))
        await peer.say(done(prose("id"), "failed", status_details=details, metadata={"a": prose("metadata")}))
        await peer.say(error(prose("error"), prose("error message"), param=prose("param")))
    elif peer.path.startswith("/v1/responses"):
        await peer.hear("response.create")
        echo = {"safety_identifier": prose("echo"), "user": prose("user"), "model": prose("model")}
        await peer.say(response_event("response.created", prose("id"), **echo), text_delta(prose("delta")))
        bad = {"code": prose("code"), "message": prose("message")}
        await peer.say(response_event("response.failed", prose("id"), error=bad, **echo))
    else:
        await peer.hear("session.start")
        session = {"id": prose("id"), "model": prose("model"), "safety_identifier": prose("echo")}
        await peer.say({"type": "session.started", "event_id": "e", "session": session})
        await peer.say({"type": "session.output_transcript.delta", "event_id": "e", "delta": prose("delta")})
    await peer.close(1008, prose("closing"))


async def test_nothing_said_leaves(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Content, identifiers, codes that are prose, echoes and close reasons stay out of every signal."""
    caplog.set_level(logging.DEBUG, logger="openai_safety_otel")
    instrument()
    server.script = script
    asks = {
        REALTIME: {"type": "response.create", "response": {"instructions": prose("instructions")}},
        "responses": {
            "type": "response.create",
            "model": prose("model"),
            "input": prose("input"),
            "user": prose("u"),
        },
        "live": {
            "type": "session.start",
            "session": {"model": prose("model"), "instructions": prose("text")},
        },
    }
    with end_user(prose("user")):
        for name, ask in asks.items():
            manager = connect(caller, name, **({"model": prose("model")} if name == REALTIME else {}))
            async with Talk(manager) as talk:
                await talk.send(ask)
                with pytest.raises(Exception, match="1008"):
                    while True:
                        await of(talk.connection.recv())
    assert 4 <= len(telemetry.events)
    own = [record.getMessage() for record in caplog.records if record.name.startswith("openai_safety_otel")]
    told = repr((telemetry.events, [span.to_json() for span in telemetry.spans], own))
    metrics = telemetry.reader.get_metrics_data()
    assert CANARY not in told
    assert CANARY not in (metrics.to_json() if metrics else "")
    assert "jo@example.com" not in told
