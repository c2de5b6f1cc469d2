"""The Responses API: create, stream, background, retrieve, cancel, compact, input tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from openai_safety_otel.testing.shapes.common import (
    ARGUMENTS,
    REASONS,
    REFUSAL,
    Scene,
    inline_moderation,
    not_found,
    token_usage,
)
from openai_safety_otel.testing.state import Stored
from openai_safety_otel.testing.wire import Answer, StreamPart, event_stream, json_answer, sse

WAYS = frozenset({"flat", "frame", "failed", "item", "http", "refuse", "filter", "tool", "length"})
_UNKNOWN = "Response not found."
_STATUS = {"filter": "incomplete", "length": "incomplete"}
_REASON = {"filter": "content_filter", "length": "max_output_tokens"}


def create(scene: Scene) -> Answer:
    """Answer at once, as a stream, or with a background response to be fetched later."""
    response_id = scene.state.new_id("resp")
    scene.entry.response_id = response_id
    call, act = scene.call, scene.act
    scene.state.responses[response_id] = Stored(call, act, int(time.time()))
    scene.entry.background = bool(call.body.get("background"))
    if scene.entry.background and not call.stream:
        scene.entry.unblock()
        return json_answer(_object(scene, response_id, "queued", []))
    return _finished(scene, response_id)


def _finished(scene: Scene, response_id: str) -> Answer:
    if scene.call.stream:
        return event_stream(_frames(scene, response_id))
    return json_answer(_final(scene, response_id, _output(scene)))


def retrieve(scene: Scene) -> Answer:
    """The stored response: what became of it, whatever request is asking."""
    response_id = scene.call.params["response_id"]
    stored = scene.state.responses.get(response_id)
    if stored is None:
        return not_found(scene, _UNKNOWN)
    asker = scene.call
    scene.call, scene.act = stored.call, stored.act
    scene.entry.response_id = response_id
    if response_id in scene.state.cancelled:
        scene.entry.outcome = "cancelled"
        return json_answer(_object(scene, response_id, "cancelled", []))
    scene.entry.adopt(scene.act)
    scene.entry.model = scene.call.model
    if asker.stream:
        return event_stream(_frames(scene, response_id))
    return json_answer(_final(scene, response_id, _output(scene)))


def cancel(scene: Scene) -> Answer:
    """End a background response."""
    response_id = scene.call.params["response_id"]
    if response_id not in scene.state.responses:
        return not_found(scene, _UNKNOWN)
    scene.state.cancelled.add(response_id)
    scene.entry.response_id, scene.entry.outcome = response_id, "cancelled"
    scene.call = scene.state.responses[response_id].call
    return json_answer(_object(scene, response_id, "cancelled", []))


def delete(scene: Scene) -> Answer:
    """Forget a stored response."""
    scene.state.responses.pop(scene.call.params["response_id"], None)
    return Answer(status=204)


def compact(scene: Scene) -> Answer:
    """A compacted conversation."""
    scene.entry.response_id = response_id = scene.state.new_id("resp")
    used, _ = scene.count("")
    item = {"type": "compaction", "id": scene.state.new_id("cmp"), "encrypted_content": "…"}
    return json_answer(
        {
            "id": response_id,
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [item],
            "usage": token_usage(used, 0),
        }
    )


def input_tokens(scene: Scene) -> Answer:
    """A token count: no inference."""
    tokens = len(scene.call.text().split()) + 4
    return json_answer({"object": "response.input_tokens", "input_tokens": tokens})


def input_items(scene: Scene) -> Answer:
    """What was sent to a stored response."""
    stored = scene.state.responses.get(scene.call.params["response_id"])
    if stored is None:
        return not_found(scene, _UNKNOWN)
    text = {"type": "input_text", "text": stored.call.text()}
    item = {"id": "msg_in", "type": "message", "role": "user", "status": "completed", "content": [text]}
    return json_answer(
        {"object": "list", "data": [item], "first_id": "msg_in", "last_id": "msg_in", "has_more": False}
    )


def _object(scene: Scene, response_id: str, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    body = scene.call.body
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": bool(body.get("background")),
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": {},
        "model": scene.call.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "default",
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": body.get("user"),
    }


def _message(text: str, *, refusal: bool = False) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    if refusal:
        part = {"type": "refusal", "refusal": text}
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}


def _output(scene: Scene) -> list[dict[str, Any]]:
    act = scene.act
    if act.way == "tool":
        return [_tool_call("".join(ARGUMENTS))]
    if act.way == "refuse":
        return [_message(REFUSAL, refusal=True)]
    message = _message("".join(scene.words))
    if act.way == "item":
        failed = {"type": "image_generation_call", "id": "ig_1", "status": "failed", "result": None}
        return [message, {**failed, "error": act.error}]
    return [message] if scene.words else []


def _tool_call(arguments: str) -> dict[str, Any]:
    names = {"id": "fc_1", "call_id": "call_1", "name": "weather", "status": "completed"}
    return {"type": "function_call", "arguments": arguments, **names}


def _final(scene: Scene, response_id: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """The response as it ends: completed, incomplete or failed, with usage and moderation."""
    way = scene.act.way
    answer = _object(scene, response_id, "failed" if scene.halts else _STATUS.get(way, "completed"), output)
    answer["usage"] = token_usage(*scene.count(" ".join(scene.words)))
    scene.entry.finish_reasons = (_REASON.get(way, answer["status"]),)
    if way in _REASON:
        answer["incomplete_details"] = {"reason": _REASON[way]}
    if scene.halts:
        answer["error"] = scene.act.error
    if legs := inline_moderation(scene, listed=False):
        answer["moderation"] = legs
    return answer


def _frames(scene: Scene, response_id: str) -> Iterator[StreamPart]:
    for event in events(scene, response_id):
        yield event if isinstance(event, float) else sse(event, event["type"])


def events(scene: Scene, response_id: str) -> Iterator[dict[str, Any] | float]:
    """The events of one response, and pauses in seconds: the same over HTTP and over a socket."""
    numbers = count()

    def event(kind: str, **content: Any) -> dict[str, Any]:
        return {"type": kind, "sequence_number": next(numbers), **content}

    begun = _object(scene, response_id, "in_progress", [])
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    if scene.act.hold:
        yield scene.act.hold
    for kind, content in _deltas(scene):
        yield event(kind, **content)
    if scene.act.way == "frame":
        yield {"type": "error", "error": scene.act.error, "status": None, "sequence_number": next(numbers)}
    elif scene.act.way == "flat":
        fault = {name: scene.act.error.get(name) for name in ("code", "message", "param")}
        yield event("error", **fault)
    else:
        final = _final(scene, response_id, _output(scene))
        yield event(f"response.{final['status']}", response=final)


def _deltas(scene: Scene) -> Iterator[tuple[str, dict[str, Any]]]:
    if scene.act.reasoning:
        for piece in REASONS:
            yield (
                "response.reasoning_summary_text.delta",
                {"item_id": "rs_1", "output_index": 0, "summary_index": 0, "delta": piece},
            )
    if scene.act.way == "tool":
        yield from _tool_deltas()
        return
    words, refusal = ([REFUSAL], True) if scene.act.way == "refuse" else (scene.words, False)
    if words:
        yield from _text_deltas(words, refusal=refusal, open_ended=scene.halts)


def _tool_deltas() -> Iterator[tuple[str, dict[str, Any]]]:
    item = {**_tool_call(""), "status": "in_progress"}
    yield "response.output_item.added", {"output_index": 0, "item": item}
    for piece in ARGUMENTS:
        content = {"item_id": "fc_1", "output_index": 0, "delta": piece}
        yield "response.function_call_arguments.delta", content
    done = {"item_id": "fc_1", "output_index": 0, "name": "weather", "arguments": "".join(ARGUMENTS)}
    yield "response.function_call_arguments.done", done
    yield "response.output_item.done", {"output_index": 0, "item": _tool_call("".join(ARGUMENTS))}


def _text_deltas(
    words: list[str], *, refusal: bool, open_ended: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    kind, field = ("response.refusal", "refusal") if refusal else ("response.output_text", "text")
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    whole = _message("".join(words), refusal=refusal)
    started = {**whole, "status": "in_progress", "content": []}
    yield "response.output_item.added", {"output_index": 0, "item": started}
    yield "response.content_part.added", {**place, "part": {**whole["content"][0], field: ""}}
    more: dict[str, Any] = {} if refusal else {"logprobs": []}
    for word in words:
        yield f"{kind}.delta", {**place, "delta": word, **more}
    if open_ended:
        return
    yield f"{kind}.done", {**place, field: "".join(words), **more}
    yield "response.content_part.done", {**place, "part": whole["content"][0]}
    yield "response.output_item.done", {"output_index": 0, "item": whole}
