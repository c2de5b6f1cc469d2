"""Images, audio and videos."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

from openai_safety_otel.testing.shapes.common import Scene, not_found
from openai_safety_otel.testing.wire import DONE, Answer, StreamPart, event_stream, json_answer, sse

IMAGE_WAYS = frozenset({"frame", "http"})
VIDEO_WAYS = frozenset({"failed", "http"})
_PIXEL = base64.b64encode(b"\x89PNG stub").decode()


def images(scene: Scene) -> Answer:
    """Generate, edit or vary images; the identifier that counted is echoed, but never for variations."""
    scene.entry.input_tokens = len(scene.call.text().split()) + 4
    scene.entry.output_tokens = 16
    if scene.call.stream:
        return event_stream(_image_frames(scene))
    many = int(scene.call.body.get("n") or 1)
    answer: dict[str, Any] = {"created": int(time.time()), "data": [{"b64_json": _PIXEL}] * many}
    answer |= {"usage": _image_usage(scene), "output_format": "png", "quality": "low", "size": "1024x1024"}
    return json_answer(answer | _echo(scene))


def _echo(scene: Scene) -> dict[str, Any]:
    if scene.entry.endpoint == "images.variations":
        return {}
    return {"safety_identifier": scene.call.body.get("safety_identifier") or scene.call.body.get("user")}


def _image_usage(scene: Scene) -> dict[str, Any]:
    used = scene.entry.input_tokens or 0
    details = {"image_tokens": 0, "text_tokens": used}
    return {
        "input_tokens": used,
        "output_tokens": 16,
        "total_tokens": used + 16,
        "input_tokens_details": details,
    }


def _image_frames(scene: Scene) -> Iterator[StreamPart]:
    name = "image_edit" if scene.entry.endpoint == "images.edit" else "image_generation"
    shared = {"created_at": int(time.time()), "b64_json": _PIXEL, "size": "1024x1024", "quality": "low"}
    shared |= {"background": "opaque", "output_format": "png"}
    if scene.act.hold:
        yield scene.act.hold
    partial = f"{name}.partial_image"
    yield sse({"type": partial, "partial_image_index": 0, **shared}, partial)
    if scene.act.way == "frame":
        yield sse({"type": "error", "error": scene.act.error}, "error")
        return
    whole = f"{name}.completed"
    yield sse({"type": whole, "usage": _image_usage(scene), **shared, **_echo(scene)}, whole)
    yield DONE


def speech(scene: Scene) -> Answer:
    """Spoken text, as bytes."""
    return Answer(content_type="audio/mpeg", body=b"ID3" + scene.call.text().encode())


def transcription(scene: Scene) -> Answer:
    """Text of a recording, whole or in pieces."""
    words = scene.words
    used, made = scene.count("".join(words))
    usage = {"type": "tokens", "input_tokens": used, "output_tokens": made, "total_tokens": used + made}
    if not scene.call.stream:
        return json_answer({"text": "".join(words), "usage": usage})
    frames: list[StreamPart] = [sse({"type": "transcript.text.delta", "delta": word}) for word in words]
    frames.append(sse({"type": "transcript.text.done", "text": "".join(words), "usage": usage}))
    return event_stream([*frames, DONE])


def translation(scene: Scene) -> Answer:
    """English text of a recording."""
    return json_answer({"text": "".join(scene.words)})


def video_create(scene: Scene) -> Answer:
    """A video job; whether it fails is known when it is asked for."""
    video_id = scene.state.new_id("video")
    scene.entry.response_id = video_id
    video = {
        "id": video_id,
        "object": "video",
        "model": scene.call.model,
        "status": "queued",
        "progress": 0,
        "created_at": int(time.time()),
        "seconds": "4",
        "size": "720x1280",
        "error": None,
    }
    scene.state.objects[video_id] = {**video, "act": scene.act}
    scene.entry.background = True
    scene.entry.unblock()
    return json_answer(video)


def video_retrieve(scene: Scene) -> Answer:
    """The finished job: a video, or the error that stopped it."""
    stored = scene.state.objects.get(scene.call.params["video_id"])
    if stored is None:
        return not_found(scene, "Video not found.")
    act = stored["act"]
    scene.entry.adopt(act)
    scene.entry.response_id, scene.entry.model = stored["id"], stored["model"]
    video = {name: value for name, value in stored.items() if name != "act"}
    ended = {"status": "failed", "error": act.error} if act.way == "failed" else {"status": "completed"}
    return json_answer({**video, "progress": 100, **ended})


def video_content(scene: Scene) -> Answer:
    """The video's bytes."""
    return Answer(content_type="video/mp4", body=b"ftyp stub")
