"""Answers as the SDK mostly hands them over, read in one pass; any other is for the careful reader.

The members of a model of the SDK are where every version of it keeps them. What is not as expected (another type, a
filter's verdict, an error) makes the whole answer unusual, before anything is noted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, CallRecord
from openai_safety_otel.contract.words import safe_identifier, safe_model
from openai_safety_otel.instrumentation.extract.moderation import read_inline
from openai_safety_otel.instrumentation.extract.shape import INT64

_Members = dict[str, Any]
_Facts = dict[str, AttributeValue]
_FINISHES: Final = {name: (name,) for name in ("stop", "length", "tool_calls", "function_call")}
_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
_OUTPUT: Final = frozenset({"message", "reasoning"})
# Members of a response that say more than that it was given.
_MORE: Final = (
    "error",
    "last_error",
    "incomplete_details",
    "conversation",
    "input_transformations",
    "access_programs",
    "content_filters",
)


class _UnusualError(Exception):
    """Something is not as expected."""


def read_usual(record: CallRecord, body: Any) -> bool:
    """Note what an answer says if it is one of the usual, and nothing of any other; whether it was."""
    read = _READERS.get(record.api)
    if read is None or record.operation != "chat":
        return False
    found: _Facts = {}
    try:
        own = _own(body)
        _common(found, own)
        read(found, own)
        echo, moderation = own.get("safety_identifier"), own.get("moderation")
        if echo is not None and type(echo) is not str:
            return False
    except Exception:  # noqa: BLE001 - a dictionary, a mock, another shape: whatever it is, it is not usual
        return False
    record.standard.update(found)
    record.response_id, record.response_model = own["id"], own["model"]
    record.finish_reasons = found[c.FINISH_REASONS]  # type: ignore[assignment]
    record.status = own.get("status")
    record.echoed_identifier = echo or record.echoed_identifier
    if moderation is not None:
        read_inline(record, moderation)
    return True


def _own(model: Any) -> _Members:
    """The members of a model of the SDK, declared or not."""
    own: _Members = model.__dict__
    extra = model.__pydantic_extra__
    return {**extra, **own} if extra else own


def _common(found: _Facts, own: _Members) -> None:
    name, model = own["id"], own["model"]
    if (
        type(name) is not str
        or safe_identifier(name) is None
        or type(model) is not str
        or safe_model(model) != model
    ):
        raise _UnusualError
    found[c.RESPONSE_ID], found[c.RESPONSE_MODEL] = name, model
    tier, fingerprint = own.get("service_tier"), own.get("system_fingerprint")
    if tier is not None:
        if tier not in _TIERS:
            raise _UnusualError
        found[c.RESPONSE_SERVICE_TIER] = tier
    if fingerprint is not None:
        if type(fingerprint) is not str or safe_identifier(fingerprint) is None:
            raise _UnusualError
        found[c.SYSTEM_FINGERPRINT] = fingerprint


def _chat(found: _Facts, own: _Members) -> None:
    (choice,) = own["choices"]
    said = _own(choice)
    if not (
        own.get("error") is None
        and own.get("prompt_filter_results") is None
        and own.get("status") is None
        and said.get("content_filter_results") is None
        and _own(said["message"]).get("refusal") is None
    ):
        raise _UnusualError
    found[c.FINISH_REASONS] = _FINISHES[said["finish_reason"]]
    _usage(found, own.get("usage"), _CHAT_USAGE)


def _responses(found: _Facts, own: _Members) -> None:
    if own["status"] != "completed":
        raise _UnusualError
    for member in _MORE:
        if own.get(member) is not None:
            raise _UnusualError
    for item in own["output"]:
        said = item.__dict__
        if said["type"] not in _OUTPUT:
            raise _UnusualError
        for part in said.get("content") or ():
            if part.__dict__["type"] == "refusal":
                raise _UnusualError
    found[c.FINISH_REASONS] = _FINISHES["stop"]
    _usage(found, own.get("usage"), _RESPONSES_USAGE)


# Attribute, member that it stands in (the usage itself where empty), its name there.
_CHAT_USAGE: Final = (
    (c.INPUT_TOKENS, "", "prompt_tokens"),
    (c.OUTPUT_TOKENS, "", "completion_tokens"),
    (c.CACHE_READ_TOKENS, "prompt_tokens_details", "cached_tokens"),
    (c.CACHE_WRITE_TOKENS, "prompt_tokens_details", "cache_write_tokens"),
    (c.REASONING_TOKENS, "completion_tokens_details", "reasoning_tokens"),
)
_RESPONSES_USAGE: Final = (
    (c.INPUT_TOKENS, "", "input_tokens"),
    (c.OUTPUT_TOKENS, "", "output_tokens"),
    (c.CACHE_READ_TOKENS, "input_tokens_details", "cached_tokens"),
    (c.CACHE_WRITE_TOKENS, "input_tokens_details", "cache_write_tokens"),
    (c.REASONING_TOKENS, "output_tokens_details", "reasoning_tokens"),
)


def _usage(found: _Facts, usage: Any, rows: tuple[tuple[str, str, str], ...]) -> None:
    if usage is None:
        return
    own = usage.__dict__
    if usage.__pydantic_extra__:
        raise _UnusualError  # perhaps the same counts under other names
    for attribute, parent, name in rows:
        if not parent:
            value = own[name]
        elif (inner := own.get(parent)) is not None:
            value = inner.__dict__.get(name) if not inner.__pydantic_extra__ else _own(inner).get(name)
        else:
            continue
        if type(value) is int and 0 <= value < INT64:
            found[attribute] = value
        elif value is not None:
            raise _UnusualError


_READERS: Final[dict[str, Callable[[_Facts, _Members], None]]] = {"chat": _chat, "responses": _responses}
