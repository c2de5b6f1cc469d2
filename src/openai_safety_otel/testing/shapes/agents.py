"""Agent sessions: an object, or a stream of the session's events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from openai_safety_otel.testing.shapes.common import Scene
from openai_safety_otel.testing.wire import Answer, StreamPart, event_stream, json_answer, sse

WAYS = frozenset({"frame", "failed", "http"})


def create(scene: Scene) -> Answer:
    """A session that begins with one turn."""
    session_id = scene.state.new_id("asess")
    scene.state.objects[session_id] = {"act": scene.act, "model": scene.call.model}
    scene.entry.response_id = session_id
    if scene.call.stream:
        return event_stream(_events(scene, session_id, created=True))
    scene.entry.unblock()
    return json_answer(_session(scene, session_id, "in_progress"))


def send(scene: Scene) -> Answer:
    """Another turn of a session."""
    session_id = scene.call.params["session_id"]
    scene.entry.response_id = session_id
    scene.state.objects[session_id] = {"act": scene.act, "model": scene.call.model}
    if scene.call.stream:
        return event_stream(_events(scene, session_id, created=False))
    scene.entry.unblock()
    return json_answer({"object": "agent.session.events", "session_id": session_id})


def watch(scene: Scene) -> Answer:
    """The events of the session's last turn, as a stream."""
    session_id = scene.call.params["session_id"]
    _adopt(scene, session_id)
    return event_stream(_events(scene, session_id, created=False))


def retrieve(scene: Scene) -> Answer:
    """The session as it stands."""
    session_id = scene.call.params["session_id"]
    _adopt(scene, session_id)
    scene.entry.unblock()
    return json_answer(_session(scene, session_id, "idle"))


def turn(scene: Scene) -> Answer:
    """One turn, with the error that ended it, if one did."""
    session_id = scene.call.params["session_id"]
    _adopt(scene, session_id)
    return json_answer(_turn(scene, session_id, _ending(scene)))


def _adopt(scene: Scene, session_id: str) -> None:
    stored = scene.state.objects.get(session_id)
    if stored is not None:
        scene.act = stored["act"]
        scene.entry.adopt(scene.act)
        scene.entry.model = stored["model"]
    scene.entry.response_id = session_id


def _ending(scene: Scene) -> str:
    return "failed" if scene.act.way == "failed" else "completed"


def _session(scene: Scene, session_id: str, status: str) -> dict[str, Any]:
    agent = {"id": "agent_1", "model": scene.entry.model, "name": "stub"}
    return {
        "id": session_id,
        "object": "agent.session",
        "created_at": int(time.time()),
        "status": status,
        "agent": agent,
        "environment": {"type": "none"},
        "metadata": {},
    }


def _turn(scene: Scene, session_id: str, status: str) -> dict[str, Any]:
    fault = scene.act.error if status == "failed" else None
    return {
        "id": "turn_1",
        "object": "agent.session.turn",
        "agent_id": "agent_1",
        "session_id": session_id,
        "created_at": int(time.time()),
        "status": status,
        "error": fault and {"code": fault["code"], "message": fault["message"]},
    }


def _events(scene: Scene, session_id: str, *, created: bool) -> Iterator[StreamPart]:
    numbers = count(1)

    def event(kind: str, **content: Any) -> bytes:
        facts = {"type": kind, "event_id": f"evt_{next(numbers)}", "session_id": session_id, **content}
        return sse(facts, kind)

    if created:
        yield event("agent.session.created", session=_session(scene, session_id, "in_progress"))
    begun = _turn(scene, session_id, "in_progress")
    yield event("agent.session.turn.in_progress", turn_id="turn_1", turn=begun)
    if scene.act.hold:
        yield scene.act.hold
    place = {"turn_id": "turn_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    for word in scene.words:
        yield event("agent.session.turn.output_text.delta", delta=word, **place)
    if scene.act.way == "frame":
        fault = {name: scene.act.error.get(name) for name in ("code", "message", "param", "type")}
        yield event("error", error=fault)
        return
    ending = _ending(scene)
    yield event(f"agent.session.turn.{ending}", turn_id="turn_1", turn=_turn(scene, session_id, ending))
    yield event("agent.session.idle", session=_session(scene, session_id, "idle"))
