"""How much of ours runs for one plain call: counted, not timed, so that it can fail anywhere alike."""

from __future__ import annotations

import collections
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry.context import get_current, get_value
from opentelemetry.trace import get_current_span

import openai_safety_otel
from openai_safety_otel import end_user
from support.telemetry import Instrument, Telemetry

# Other versions of Python call for comprehensions or not, and the SDK hands over other objects.
PYTHON, SDK = (3, 11), "3.54."
OURS = str(Path(openai_safety_otel.__file__).parent)
# Of the current context: by whomever, but the SDK for itself; the others: by us.
LOOK_UPS = [get_current.__code__, get_value.__code__, get_current_span.__code__]
ASK: dict[str, Any] = {"model": "gpt-x", "input": "hello", "max_output_tokens": 50}
CHAT: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}
MODERATED: dict[str, Any] = {"extra_body": {"moderation": {"model": "omni-moderation-latest"}}}
USAGE = {"total_tokens": 5}
CATEGORIES = ("hate", "harassment", "sexual", "sexual/minors", "violence", "self-harm", "illicit")
RESULT = {
    "type": "moderation_result",
    "model": "omni-moderation-latest",
    "flagged": False,
    "categories": dict.fromkeys(CATEGORIES, False),
    "category_scores": dict.fromkeys(CATEGORIES, 0.001),
    "category_applied_input_types": {},
}
CHAT_ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x-2026",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    "usage": {**USAGE, "prompt_tokens": 3, "completion_tokens": 2},
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-x-2026",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}],
        }
    ],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        **USAGE,
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}


def answer(request: httpx2.Request) -> httpx2.Response:
    chat = request.url.path.endswith("/chat/completions")
    result = {"type": "moderation_results", "model": "m", "results": [RESULT]} if chat else RESULT
    moderation = {"input": result, "output": result} if b"moderation" in request.content else None
    return httpx2.Response(200, json={**(CHAT_ANSWER if chat else RESPONSE), "moderation": moderation})


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(api_key="k", base_url="https://api.openai.com/v1", http_client=transport) as made:
        yield made


class Counted:
    """Python calls while it is entered: functions of ours, and look-ups that they ask for."""

    def __init__(self) -> None:
        self.ours: collections.Counter[CodeType] = collections.Counter()
        self.look_ups: collections.Counter[str] = collections.Counter()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(OURS):
            self.ours[code] += 1
        elif event == "call" and code in LOOK_UPS and frame.f_back is not None:
            asking = frame.f_back.f_code.co_filename
            if asking.startswith(OURS) or (code is LOOK_UPS[0] and "/opentelemetry/sdk/" not in asking):
                self.look_ups[f"{code.co_name} by {frame.f_back.f_code.co_qualname}"] += 1


def counted(call: Callable[[], object]) -> Counted:
    """What the second and later calls cost: the first fills what is kept for an address."""
    for _ in range(3):
        call()
    found = Counted()
    before = sys.getprofile()
    sys.setprofile(found)
    try:
        call()
    finally:
        sys.setprofile(before)
    return found


def _calls(client: openai.OpenAI) -> dict[str, Callable[[], object]]:
    chat, responses = client.chat.completions, client.responses
    return {
        "chat": lambda: chat.create(**CHAT),
        "chat, moderated": lambda: chat.create(**CHAT, **MODERATED),
        "responses": lambda: responses.create(**ASK),
        "responses, moderated": lambda: responses.create(**ASK, **MODERATED),
    }


@pytest.mark.parametrize(
    ("case", "budget"),
    [("chat", 110), ("responses", 110), ("chat, moderated", 150), ("responses, moderated", 150)],
)
def test_a_plain_call_stays_in_its_budget(
    case: str, budget: int, client: openai.OpenAI, instrument: Instrument, telemetry: Telemetry
) -> None:
    """At most so many Python calls of ours, and eight look-ups of the current context or span."""
    if sys.version_info[:2] != PYTHON or not openai.__version__.startswith(SDK):
        unnamed = f"counted on Python {PYTHON} and openai {SDK}, not on {sys.version_info[:2]} and {openai.__version__}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{unnamed}: name what CI runs")
        pytest.skip(unnamed)
    instrument(inject_hosts=None)
    with end_user("u42"), telemetry.tracer_provider.get_tracer("app").start_as_current_span("request"):
        found = counted(_calls(client)[case])
    dearest = [f"{code.co_qualname} {count}" for code, count in found.ours.most_common(12)]
    assert found.ours.total() <= budget, dearest
    assert found.look_ups.total() <= 8, found.look_ups
