"""The short way for most chunks of a stream: one more piece of an answer that has begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.extract.stream import CHOICES, PLAIN_DELTAS

IsPlain = Callable[[Any], bool]


def plain_test(record: CallRecord) -> IsPlain | None:
    """What tells of a chunk that `fold` would find nothing in it; None before the output and after an end.

    It holds as long as every chunk passes. It knows SDK objects, whose members are where every model of the SDK
    keeps them; whatever lacks one of them is for `fold`.
    """
    if not record.output_begun or record.complete:
        return None
    if record.api not in CHOICES:
        return _is_delta
    return None if record.choice_reasons or record.response_id is None else _is_piece


def _is_delta(chunk: Any) -> bool:
    try:
        return chunk.__dict__["type"] in PLAIN_DELTAS
    except Exception:  # noqa: BLE001 - a dictionary, an unknown event, an object of the app's
        return False


def _is_piece(chunk: Any) -> bool:
    try:
        own: dict[str, Any] = chunk.__dict__
        (choice,) = own["choices"]
        said: dict[str, Any] = choice.__dict__
        return (
            said["finish_reason"] is None
            and own["usage"] is None
            and not choice.__pydantic_extra__
            and not said["delta"].__dict__.get("refusal")
        )
    except Exception:  # noqa: BLE001 - as above
        return False
