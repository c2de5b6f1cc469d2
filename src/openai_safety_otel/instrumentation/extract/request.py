"""A request's body to plain facts: one table of names and paths."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.contract.words import safe_identifier, safe_model, safe_word
from openai_safety_otel.instrumentation.extract.moderation import read_requested
from openai_safety_otel.instrumentation.extract.shape import (
    Reader,
    count,
    get,
    is_mapping,
    members,
    number,
    whole,
)

_API_TYPES: Final = {"chat": "chat_completions", "responses": "responses"}
_FORMATS: Final = {"text": "text", "json_object": "json", "json_schema": "json"}
_OUTPUTS: Final = {"images": "image", "audio.speech.create": "speech"}


def _not_one(value: Any) -> int | None:
    found = count(value)
    return None if found == 1 else found


def _not_auto(value: Any) -> str | None:
    found = safe_word(value)
    return None if found == "auto" else found


def _only_true(value: Any) -> bool | None:
    return True if value is True else None


def _words(value: Any) -> tuple[str, ...] | None:
    found = safe_word(value)
    return (found,) if found else None


def _format(value: Any) -> str | None:
    found = safe_word(value)
    return _FORMATS.get(found) if found else None


# Attribute, path in the body, how its value is checked. Of several rows for one attribute the last one wins.
_Field = tuple[str, tuple[str, ...], Reader]
_FIELDS: Final[tuple[_Field, ...]] = (
    (c.REQUEST_MODEL, ("agent", "model"), safe_model),
    (c.REQUEST_MODEL, ("session", "model"), safe_model),
    (c.REQUEST_MODEL, ("model",), safe_model),
    (c.STREAM, ("stream",), _only_true),
    (c.MAX_TOKENS, ("max_tokens",), count),
    (c.MAX_TOKENS, ("max_completion_tokens",), count),
    (c.MAX_TOKENS, ("max_output_tokens",), count),
    (c.TEMPERATURE, ("temperature",), number),
    (c.TOP_P, ("top_p",), number),
    (c.FREQUENCY_PENALTY, ("frequency_penalty",), number),
    (c.PRESENCE_PENALTY, ("presence_penalty",), number),
    (c.SEED, ("seed",), whole),
    (c.CHOICE_COUNT, ("n",), _not_one),
    (c.REASONING_LEVEL, ("reasoning_effort",), safe_word),
    (c.REASONING_LEVEL, ("reasoning", "effort"), safe_word),
    (c.REQUEST_SERVICE_TIER, ("service_tier",), _not_auto),
    (c.PREVIOUS_RESPONSE_ID, ("previous_response_id",), safe_identifier),
    (c.CONVERSATION_ID, ("conversation",), safe_identifier),
    (c.CONVERSATION_ID, ("conversation", "id"), safe_identifier),
    (c.OUTPUT_TYPE, ("response_format", "type"), _format),
    (c.OUTPUT_TYPE, ("text", "format", "type"), _format),
    (c.ENCODING_FORMATS, ("encoding_format",), _words),
    (c.DIMENSION_COUNT, ("dimensions",), count),
)


@lru_cache(maxsize=256)
def _rows(keys: tuple[object, ...]) -> tuple[_Field, ...]:
    """The rows about a body with these keys, in the table's order."""
    return tuple(row for row in _FIELDS if row[1][0] in keys)


def read_request(record: CallRecord, json_data: object) -> None:
    """Note what a request asks for. Its content, identifiers and unknown members are not looked at."""
    standard = record.standard
    standard[c.OPERATION_NAME] = record.operation
    if kind := _API_TYPES.get(record.api):
        standard[c.API_TYPE] = kind
    if output := _OUTPUTS.get(record.endpoint) or _OUTPUTS.get(record.api):
        standard[c.OUTPUT_TYPE] = output
    if not is_mapping(json_data):
        return
    asked = members(json_data)
    for name, path, check in _rows(tuple(json_data)) if type(json_data) is dict else _FIELDS:
        member = asked.get(path[0])
        if member is not None:
            found = check(_below(member, path[1:]) if len(path) > 1 else member)
            if found is not None:
                standard[name] = found
    model = standard.get(c.REQUEST_MODEL)
    record.request_model = model if isinstance(model, str) else None
    record.streaming = record.streaming or c.STREAM in standard
    record.background = asked.get("background") is True
    moderation = asked.get("moderation")
    if moderation is not None:
        read_requested(record, moderation)


def _below(member: Any, rest: tuple[str, ...]) -> Any:
    for name in rest:
        member = get(member, name) if is_mapping(member) else None
    return member
