"""The short way for plain chunks never passes over anything that the long way would note."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseRefusalDeltaEvent, ResponseTextDeltaEvent

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.extract.plain import plain_test
from openai_safety_otel.instrumentation.extract.stream import Seen, fold


def is_plain(record: CallRecord, chunk: Any) -> bool:
    test = plain_test(record)
    return test is not None and test(chunk)


def _begun(api: str, **more: Any) -> CallRecord:
    return CallRecord(api, api, "chat", response_id="r", output_begun=True, **more)


def _chunk(delta: Any = None, choice: Any = None, **own: Any) -> Any:
    base = {"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": None}
    one = {"index": 0, "delta": {"content": "a", **(delta or {})}, "finish_reason": None, **(choice or {})}
    return ChatCompletionChunk.construct(**{**base, "choices": [one], **own})


def _event(model: Any, kind: str) -> Any:
    return model.construct(type=kind, delta="a", item_id="i", output_index=0, content_index=0)


PLAIN = {
    "chat text": ("chat", _chunk()),
    "chat tool call": ("chat", _chunk({"tool_calls": [{"index": 0}]})),
    "responses text": ("responses", _event(ResponseTextDeltaEvent, "response.output_text.delta")),
}
NOT_PLAIN = {
    "chat refusal": ("chat", _chunk({"refusal": "no"})),
    "chat finish": ("chat", _chunk(choice={"finish_reason": "stop"})),
    "chat filter": ("chat", _chunk(choice={"content_filter_results": {"hate": {"filtered": True}}})),
    "chat usage": ("chat", _chunk(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})),
    "chat moderation": ("chat", _chunk(choices=[], moderation={"input": {"type": "error", "code": "x"}})),
    "chat two choices": ("chat", _chunk(choices=[{"index": 0}, {"index": 1}])),
    "completion": ("completions", Completion.construct(id="r", choices=[{"text": "a", "index": 0}])),
    "responses refusal": ("responses", _event(ResponseRefusalDeltaEvent, "response.refusal.delta")),
    "dictionary": ("responses", {"type": "response.output_text.delta"}),
    "nothing": ("responses", None),
    "unhashable type": ("responses", ResponseTextDeltaEvent.construct(type=[])),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_chunks_would_be_nothing_to_the_long_way(name: str) -> None:
    """What takes the short way leaves a record unchanged and means nothing on the long way too."""
    api, chunk = PLAIN[name]
    record = _begun(api)
    before = copy.deepcopy(record)
    assert is_plain(record, chunk)
    assert fold(record, chunk) is Seen.NOTHING
    assert record == before


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_chunks_that_say_something_take_the_long_way(name: str) -> None:
    """Refusals, finish reasons, filters, usage, moderation and unknown shapes are never passed over."""
    api, chunk = NOT_PLAIN[name]
    assert not is_plain(_begun(api), chunk)


@pytest.mark.parametrize(
    ("change", "value"), [("output_begun", False), ("complete", True), ("choice_reasons", {0: "stop"})]
)
def test_no_chunk_is_plain_before_output_or_after_an_end(change: str, value: Any) -> None:
    """The first output sets a time, and what follows an end may carry facts: both take the long way."""
    record = _begun("chat")
    setattr(record, change, value)
    assert not is_plain(record, PLAIN["chat text"][1])
