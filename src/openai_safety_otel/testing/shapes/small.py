"""Endpoints whose answer is one small object."""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Callable
from typing import Any

from openai_safety_otel.testing.shapes.common import Scene, moderation_result, not_found, token_usage
from openai_safety_otel.testing.usage import Accounts
from openai_safety_otel.testing.wire import Answer, ProviderRequest, json_answer


def embeddings(scene: Scene) -> Answer:
    """One vector for each input, packed as the SDK asks for it."""
    asked = scene.call.body.get("input")
    many = len(asked) if isinstance(asked, list) and asked and not isinstance(asked[0], int) else 1
    vector: Any = [0.25, -0.5, 0.125, 1.0]
    if scene.call.body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
    used, _ = scene.count("")
    scene.entry.output_tokens = None
    data = [{"object": "embedding", "index": at, "embedding": vector} for at in range(many)]
    usage = {"prompt_tokens": used, "total_tokens": used}
    return json_answer({"object": "list", "data": data, "model": scene.call.model, "usage": usage})


def moderations(scene: Scene) -> Answer:
    """The standalone Moderation API; its answer is about the input."""
    scene.entry.response_id = answer_id = scene.state.new_id("modr")
    flagged = scene.act.flagged("input")
    scene.entry.input_flagged = flagged
    asked = scene.call.body.get("input")
    many = len(asked) if isinstance(asked, list) and asked and isinstance(asked[0], str) else 1
    result = moderation_result(flagged, scene.call.model)
    for extra in ("type", "model"):
        del result[extra]
    return json_answer({"id": answer_id, "model": scene.call.model, "results": [result] * many})


def decisions(scene: Scene) -> Answer:
    """One answer a question; a refusal is the first question's alone."""
    questions = scene.call.body.get("questions") or [{}]
    answers: list[dict[str, Any]] = [
        {"type": "predicate", "name": question.get("name"), "probability": 0.5} for question in questions
    ]
    if scene.act.way == "refuse":
        answers[0] = {"type": "refusal", "name": questions[0].get("name")}
    usage = token_usage(*scene.count("yes"))
    usage["input_tokens_details"]["cache_write_tokens"] = 0
    return json_answer({"answers": answers, "model": scene.call.model, "usage": usage})


def client_secret(scene: Scene) -> Answer:
    """A short-lived key for a browser."""
    session = {"id": scene.state.new_id("sess"), "object": "realtime.session", "type": "realtime"}
    session["model"] = scene.call.model
    expires = int(time.time()) + 60
    return json_answer({"value": scene.state.new_id("ek"), "expires_at": expires, "session": session})


def old_realtime_session(scene: Scene) -> Answer:
    """The form older SDKs call: the secret sits inside the session."""
    secret = {"value": scene.state.new_id("ek"), "expires_at": int(time.time()) + 60}
    return json_answer(
        {"id": scene.state.new_id("sess"), "object": "realtime.session", "client_secret": secret}
    )


def realtime_call(scene: Scene) -> Answer:
    """The SDP answer of a WebRTC call."""
    location = {"location": f"/v1/realtime/calls/{scene.state.new_id('rtc')}"}
    return Answer(201, content_type="application/sdp", body=b"v=0\r\n", headers=location)


def live_create(scene: Scene) -> Answer:
    """A Live session over WebRTC."""
    session = {"id": scene.state.new_id("live")}
    return json_answer({"session": session, "transport": {"type": "webrtc", "sdp": "v=0\r\n"}})


def nothing(scene: Scene) -> Answer:
    """Success without content."""
    return json_answer({})


def models(scene: Scene) -> Answer:
    """A list with one model."""
    model = {"id": "gpt-5", "object": "model", "created": 1, "owned_by": "stub"}
    return json_answer({"object": "list", "data": [model]})


def administered(answer: Callable[[Accounts, ProviderRequest], Answer]) -> Callable[[Scene], Answer]:
    """An answer of the administration API, for the admin key alone."""
    return lambda scene: scene.state.accounts.refuses(scene.call) or answer(scene.state.accounts, scene.call)


def kept_object(scene: Scene) -> Answer:
    """A safety case or alert that a test or the demo has put there; its error tells a wrong id."""
    wanted = scene.call.params["id"]
    found = scene.state.objects.get(wanted)
    if found is None:
        return not_found(scene, f"No such object: {wanted}")
    return json_answer(found)
