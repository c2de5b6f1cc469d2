"""Chat Completions and the older Completions, at OpenAI and at Azure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from openai_safety_otel.testing.scenarios import AZURE_INNER
from openai_safety_otel.testing.shapes.common import ARGUMENTS, REFUSAL, Scene, inline_moderation
from openai_safety_otel.testing.wire import DONE, Answer, StreamPart, event_stream, json_answer, sse

CHAT_WAYS = frozenset({"frame", "http", "refuse", "filter", "tool", "length"})
TEXT_WAYS = frozenset({"frame", "http", "filter", "length"})
_FINISH = {"filter": "content_filter", "length": "length", "tool": "tool_calls"}


def create(scene: Scene) -> Answer:
    """A chat completion, whole or in chunks."""
    scene.entry.response_id = answer_id = scene.state.new_id("chatcmpl")
    _finish(scene, choices := int(scene.call.body.get("n") or 1))
    if scene.call.stream:
        return event_stream(_chunks(scene, answer_id, choices))
    answer = _head(scene, answer_id, "chat.completion")
    answer["choices"] = [_choice(scene, index) for index in range(choices)]
    answer["usage"] = _usage(scene)
    if scene.call.azure:
        answer["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _filters(scene)}]
    if legs := inline_moderation(scene, listed=True):
        answer["moderation"] = legs
    return json_answer(answer)


def completions(scene: Scene) -> Answer:
    """The legacy text completion."""
    scene.entry.response_id = answer_id = scene.state.new_id("cmpl")
    _finish(scene, 1)
    head = _head(scene, answer_id, "text_completion")
    reason = _reason(scene)
    if scene.call.stream:
        return event_stream(_text_chunks(scene, head, reason))
    choice = {"index": 0, "text": _text(scene), "finish_reason": reason, "logprobs": None}
    return json_answer({**head, "choices": [choice], "usage": _usage(scene)})


def _finish(scene: Scene, choices: int) -> None:
    if not scene.halts:
        first = _reason(scene)
        scene.entry.finish_reasons = (first, *("stop" for _ in range(choices - 1)))


def _reason(scene: Scene) -> str:
    return _FINISH.get(scene.act.way, "stop")


def _head(scene: Scene, answer_id: str, kind: str) -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": kind,
        "created": int(time.time()),
        "model": scene.call.model,
        "service_tier": "default",
        "system_fingerprint": "fp_stub",
    }


def _usage(scene: Scene) -> dict[str, Any]:
    used, made = scene.count(_text(scene))
    return {
        "prompt_tokens": used,
        "completion_tokens": made,
        "total_tokens": used + made,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _text(scene: Scene) -> str:
    return "" if scene.act.way in {"filter", "tool", "refuse"} else "".join(scene.words)


def _choice(scene: Scene, index: int) -> dict[str, Any]:
    """The act happens to the first choice; the others are plain answers."""
    way = scene.act.way if index == 0 else "answer"
    message: dict[str, Any] = {"role": "assistant", "content": _text(scene) if index == 0 else "Another."}
    message |= {"refusal": None, "annotations": []}
    if way == "refuse":
        message |= {"content": None, "refusal": REFUSAL}
    if way == "tool":
        message |= {"content": None, "tool_calls": [_tool("".join(ARGUMENTS))]}
    choice = {"index": index, "message": message, "logprobs": None, "finish_reason": _FINISH.get(way, "stop")}
    if scene.call.azure:
        choice["content_filter_results"] = _filters(scene) if index == 0 else {}
    return choice


def _tool(arguments: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": arguments}}


def _filters(scene: Scene) -> dict[str, Any]:
    results: dict[str, Any] = AZURE_INNER["content_filter_result"]  # type: ignore[assignment]
    if scene.act.way == "filter":
        return results
    return {name: {**result, "filtered": False} for name, result in results.items()}


def _chunks(scene: Scene, answer_id: str, choices: int) -> Iterator[StreamPart]:
    head = _head(scene, answer_id, "chat.completion.chunk")
    yield from _content_chunks(scene, head, choices)
    if scene.act.way == "frame":
        yield sse({"error": scene.act.error})
        return
    for index, reason in enumerate(scene.entry.finish_reasons):
        yield _chunk(head, index, {}, reason)
    if legs := inline_moderation(scene, listed=True):
        yield sse({**head, "choices": [], "moderation": legs})
    usage = _usage(scene)
    if (scene.call.body.get("stream_options") or {}).get("include_usage"):
        yield sse({**head, "choices": [], "usage": usage})
    else:
        scene.entry.input_tokens = scene.entry.output_tokens = None
    yield DONE


def _content_chunks(scene: Scene, head: dict[str, Any], choices: int) -> Iterator[StreamPart]:
    if scene.call.azure:
        filters = [{"prompt_index": 0, "content_filter_results": _filters(scene)}]
        yield sse({**head, "choices": [], "prompt_filter_results": filters})
    for index in range(choices):
        yield _chunk(head, index, {"role": "assistant", "content": "", "refusal": None})
    if scene.act.hold:
        yield scene.act.hold
    for index in range(choices):
        for delta in _deltas(scene, index):
            yield _chunk(head, index, delta)


def _deltas(scene: Scene, index: int) -> Iterator[dict[str, Any]]:
    if index:
        yield {"content": "Another."}
    elif scene.act.way == "refuse":
        yield {"refusal": REFUSAL}
    elif scene.act.way == "tool":
        yield {"tool_calls": [{"index": 0, **_tool("")}]}
        for piece in ARGUMENTS:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
    elif scene.act.way != "filter":
        yield from ({"content": word} for word in scene.words)


def _chunk(head: dict[str, Any], index: int, delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return sse({**head, "choices": [choice]})


def _text_chunks(scene: Scene, head: dict[str, Any], reason: str) -> Iterator[StreamPart]:
    if scene.act.hold:
        yield scene.act.hold
    for word in scene.words if scene.act.way != "filter" else ():
        choice = {"index": 0, "text": word, "finish_reason": None, "logprobs": None}
        yield sse({**head, "choices": [choice]})
    if scene.act.way == "frame":
        yield sse({"error": scene.act.error})
        return
    yield sse({**head, "choices": [{"index": 0, "text": "", "finish_reason": reason, "logprobs": None}]})
    yield DONE
