"""Attributes of ours are what OpenTelemetry makes of them: they are put where the SDK keeps them, all at once.

The SDK looks at each attribute of a span and of a log record by itself (its type, its length, whether the name is
there already, whether there is room). For a recorded call that is a tenth of what recording costs. What follows gives
the same result at once, wherever the SDK is as it is known here and nothing would be cut or dropped; in any other
case it is told by its public way.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from opentelemetry._logs import Logger, LogRecord
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import Span

from openai_safety_otel.contract.record import AttributeValue

Attributes = Mapping[str, AttributeValue]
_CLEAN = frozenset({str, bool, int, float, tuple})  # tuples of ours hold strings


def _fill(kept: Any, attributes: Attributes) -> bool:
    """Put attributes into a container of the SDK, as it would itself; False, and nothing done, where it might not."""
    if type(kept) is not BoundedAttributes or kept.max_value_len is not None:
        return False
    if not set(map(type, attributes.values())) <= _CLEAN:
        return False
    with kept._lock:  # noqa: SLF001 - `_as_known` has looked whether it is what it was
        room, there = kept.maxlen, kept._dict  # noqa: SLF001 - as above
        if room is not None and len(there) + len(attributes) > room:
            return False
        if not there.keys().isdisjoint(attributes):
            return False  # a value that is set anew moves to the end
        there.update(attributes)
    return True


def _as_known() -> bool:
    """Whether this SDK's containers take what `_fill` does, and say the same of it afterwards."""
    sample: dict[str, AttributeValue] = {"text": "a", "flag": True, "score": 0.5, "words": ("a", "b")}
    try:
        ours = BoundedAttributes(immutable=False)
        theirs = BoundedAttributes(attributes=sample, immutable=False)
        filled = _fill(ours, sample)
        held = ([*one.items()] for one in (ours, theirs))
        return filled and all(items == [*sample.items()] for items in held) and not ours.dropped
    except Exception:  # noqa: BLE001 - whatever it is, it is not as known
        return False


_KNOWN = _as_known()
_MADE_OF = ["log_record", "resource", "instrumentation_scope", "limits"]
# What is known of each class of spans and loggers that was met: where one is the SDK's, the SDK is loaded.
_SPANS: dict[type, bool] = {}
_RECORDS: dict[type, Any] = {}


def _is_the_sdks(kind: type[Span]) -> bool:
    """Whether spans of this class take attributes as the SDK's do."""
    if kind not in _SPANS:
        sdk = sys.modules.get("opentelemetry.sdk.trace")
        own = getattr(kind, "set_attributes", None)  # one that wraps another may have none of its own
        _SPANS[kind] = sdk is not None and own is sdk.Span.set_attributes
    return _SPANS[kind]


def _whole_record(kind: type[Logger]) -> Any:
    """What loggers of this class make of a record, where they take one that is made already; else None."""
    if kind not in _RECORDS:
        sdk = sys.modules.get("opentelemetry.sdk._logs")
        made = getattr(sdk, "ReadWriteLogRecord", None)
        fits = [*getattr(made, "__dataclass_fields__", ())] == _MADE_OF and kind is getattr(
            sdk, "Logger", None
        )
        _RECORDS[kind] = made if fits and all(hasattr(kind, one) for one in _MADE_OF[1:3]) else None
    return _RECORDS[kind]


def set_attributes(span: Span, attributes: Attributes) -> None:
    """``span.set_attributes(attributes)``."""
    own = _KNOWN and _is_the_sdks(type(span))
    if not (own and span.is_recording() and _fill(getattr(span, "_attributes", None), attributes)):
        span.set_attributes(attributes)


def emit(logger: Logger, record: LogRecord) -> None:
    """``logger.emit(record)``."""
    limits = getattr(logger, "_log_record_limits", None)
    attributes = record.attributes
    whole = _whole_record(type(logger)) if _KNOWN else None
    if whole is None or limits is None or type(attributes) is not dict:
        logger.emit(record)
        return
    record.attributes = None
    written = whole(record, logger.resource, logger.instrumentation_scope, limits)  # type: ignore[attr-defined]
    if _fill(record.attributes, attributes):
        logger.emit(written)
    else:
        record.attributes = attributes
        logger.emit(record)
