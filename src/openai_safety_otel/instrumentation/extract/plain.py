"""The short way for most chunks of a stream: one more piece of an answer that has begun."""

from __future__ import annotations

from typing import Any

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.extract.stream import CHOICES, PLAIN_DELTAS


def is_plain(record: CallRecord, chunk: object) -> bool:
    """Whether this is one more piece of an answer that has begun, as an SDK object: `fold` would find nothing.

    The members of such an object are where every model of the SDK keeps them; whatever lacks one of them is
    for `fold`.
    """
    if not record.output_begun or record.complete:
        return False
    try:
        own: dict[str, Any] = chunk.__dict__
        if record.api not in CHOICES:
            return own["type"] in PLAIN_DELTAS
        (choice,) = own["choices"]
        said: dict[str, Any] = choice.__dict__
        return not (
            said["finish_reason"] is not None
            or own["usage"] is not None
            or record.choice_reasons
            or record.response_id is None
            or choice.__pydantic_extra__
            or said["delta"].__dict__.get("refusal")
        )
    except Exception:  # noqa: BLE001 - a dictionary, an unknown event, an object of the app's
        return False
