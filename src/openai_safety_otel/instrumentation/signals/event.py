"""Record to the one wide event, and an event to the log record that OpenTelemetry takes."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, CallRecord, Outcome, SafetyEvent, Severity
from openai_safety_otel.instrumentation.signals.attributes import (
    is_flagged,
    safety_attributes,
    score_attributes,
)

_NUMBERS = {"INFO": SeverityNumber.INFO, "WARN": SeverityNumber.WARN, "ERROR": SeverityNumber.ERROR}
_QUIET = frozenset({"completed", "failed", "abandoned", "cancelled"})


def call_event(
    record: CallRecord,
    outcome: Outcome,
    trace_ids: tuple[int, int, int],
    safety: Mapping[str, AttributeValue] | None = None,
) -> SafetyEvent:
    """The wide `openai_safety.call` event: every attribute we would set, scores included.

    ``safety`` are the call's `safety_attributes` where they are already known.
    """
    attributes: dict[str, AttributeValue] = dict(record.standard)
    if record.moderation.legs:
        attributes.update(score_attributes(record, only_flagged=False))
    attributes.update(safety_attributes(record, outcome) if safety is None else safety)
    attributes[c.DURATION] = (record.ended_ns - record.started_ns) / 1e9
    trace_id, span_id, flags = trace_ids
    flagged = is_flagged(record)
    return SafetyEvent(
        name=c.CALL_EVENT,
        time_ns=record.ended_ns,
        attributes=attributes,
        body=_sentence(record, outcome, flagged=flagged),
        severity=_severity(outcome, flagged=flagged),
        trace_id=trace_id,
        span_id=span_id,
        trace_flags=flags,
    )


def _severity(outcome: Outcome, *, flagged: bool) -> Severity:
    if outcome.block_type == "identifier_blocked" and outcome.certainty != "text":
        return "ERROR"
    loud = outcome.name not in _QUIET or outcome.error_type == c.STREAM_TRUNCATED
    return "WARN" if loud or flagged else "INFO"


def _sentence(record: CallRecord, outcome: Outcome, *, flagged: bool) -> str:
    why = outcome.block_type or ("" if outcome.name == "completed" else outcome.error_type)
    return f"{record.endpoint} {outcome.name}{f' ({why})' if why else ''}{', flagged' if flagged else ''}"


class _Record(LogRecord):
    """A log record that is copied as cheaply as it can be: the SDK's batches copy each."""

    def __copy__(self) -> _Record:
        copied = object.__new__(_Record)
        copied.__dict__.update(self.__dict__)
        return copied


def log_record(event: SafetyEvent, context: Context | None = None) -> LogRecord:
    """The OpenTelemetry log record of an event, timestamp set, its name also as an attribute.

    Without a ``context`` at hand one is made of the event's ids.
    """
    if not event.trace_id:
        context = None
    elif context is None:
        ids = SpanContext(
            event.trace_id, event.span_id, is_remote=False, trace_flags=TraceFlags(event.trace_flags)
        )
        context = set_span_in_context(NonRecordingSpan(ids))
    return _Record(
        timestamp=event.time_ns,
        context=context,
        severity_number=_NUMBERS[event.severity],
        severity_text=event.severity,
        body=event.body or None,
        attributes={**event.attributes, c.EVENT_NAME: event.name},
        event_name=event.name,
    )
