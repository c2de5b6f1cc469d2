"""Record to the one wide event, and the sink that every event of ours goes through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from opentelemetry._logs import Logger, LogRecord, SeverityNumber, get_logger
from opentelemetry._logs import LoggerProvider as LoggerProviderApi
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from openai_safety_otel import conventions as c
from openai_safety_otel.harmless import harmless
from openai_safety_otel.record import AttributeValue, CallRecord, Outcome, SafetyEvent, Severity
from openai_safety_otel.settings import Settings
from openai_safety_otel.signals.attributes import is_flagged, safety_attributes, score_attributes

_NUMBERS = {"INFO": SeverityNumber.INFO, "WARN": SeverityNumber.WARN, "ERROR": SeverityNumber.ERROR}
_QUIET = frozenset({"completed", "failed", "abandoned", "cancelled"})


class Dropped(Protocol):
    """Hears why, and how many, events were lost."""

    def __call__(self, reason: str, count: int = 1) -> None:
        """Count them."""


class Sink(Protocol):
    """Where events go."""

    def emit(self, event: SafetyEvent) -> None:
        """Take one event; never raises, never blocks."""


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
    attributes.update(score_attributes(record, only_flagged=False))
    attributes.update(safety_attributes(record, outcome) if safety is None else safety)
    attributes[c.DURATION] = (record.ended_ns - record.started_ns) / 1e9
    trace_id, span_id, flags = trace_ids
    return SafetyEvent(
        name=c.CALL_EVENT,
        time_ns=record.ended_ns,
        attributes=attributes,
        body=_sentence(record, outcome),
        severity=_severity(record, outcome),
        trace_id=trace_id,
        span_id=span_id,
        trace_flags=flags,
    )


def _severity(record: CallRecord, outcome: Outcome) -> Severity:
    if outcome.block_type == "identifier_blocked" and outcome.certainty != "text":
        return "ERROR"
    loud = outcome.name not in _QUIET or outcome.error_type == c.STREAM_TRUNCATED
    return "WARN" if loud or is_flagged(record) else "INFO"


def _sentence(record: CallRecord, outcome: Outcome) -> str:
    why = outcome.block_type or ("" if outcome.name == "completed" else outcome.error_type)
    flagged = ", flagged" if is_flagged(record) else ""
    return f"{record.endpoint} {outcome.name}{f' ({why})' if why else ''}{flagged}"


class EventSink:
    """Events to OpenTelemetry, and to a file or standard output where the settings say so.

    Events of another scope (evidence) get a logger of that scope, so that a collector can route them apart.
    """

    def __init__(
        self,
        provider: LoggerProviderApi | None = None,
        others: tuple[Callable[[SafetyEvent], None], ...] = (),
        *,
        shared: bool = True,
    ) -> None:
        self._shared = shared
        self._provider = provider
        self._others = others
        self._loggers: dict[str, Logger] = {}

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        provider: LoggerProviderApi | None = None,
        *,
        on_drop: Dropped | None = None,
    ) -> EventSink:
        """The sink these settings ask for; ``on_drop`` hears the reason of each event not written."""
        others: list[Callable[[SafetyEvent], None]] = []
        dedicated = None
        if settings.pipeline == "dedicated":
            from openai_safety_otel.signals.pipeline import Dedicated  # noqa: PLC0415 - only where it is used

            dedicated = Dedicated.from_settings(settings, on_drop)
        if dedicated is not None:
            others.append(dedicated.emit)
        if settings.file_dir:
            from openai_safety_otel.signals.files import EventFile  # noqa: PLC0415 - only where it is used

            size, keep = settings.file_max_mb, settings.file_keep
            others += [
                EventFile(settings.file_dir, size, keep, private=private, on_drop=on_drop).emit
                for private in (False, True)
            ]
        if settings.stdout_events:
            from openai_safety_otel.signals.stdout import StdoutEvents  # noqa: PLC0415 - only where it is used

            others.append(StdoutEvents(on_drop).emit)
        return cls(provider, tuple(others), shared=dedicated is None)

    @property
    def elsewhere(self) -> bool:
        """Whether events go somewhere besides OpenTelemetry."""
        return bool(self._others)

    def emit(self, event: SafetyEvent, context: Context | None = None) -> None:
        """Hand the event to each destination; a failing one does not keep it from the others.

        ``context`` holds the span of the event's ids, where it is at hand; nobody keeps it.
        """
        if self._shared:
            with harmless("event"):
                self._logger(event.scope).emit(log_record(event, context))
        for write in self._others:
            with harmless("event file"):
                write(event)

    def flush(self) -> None:
        """Wait, for a bounded time, until everything of our own has what was emitted so far."""
        self._each("flush")

    def close(self) -> None:
        """Flush in bounded time and end what runs in the background; an event after that begins it anew."""
        self._each("close")

    def _each(self, name: str) -> None:
        for write in self._others:
            act = getattr(getattr(write, "__self__", None), name, None)
            if act is not None:
                with harmless("event file"):
                    act()

    def _logger(self, scope: str) -> Logger:
        logger = self._loggers.get(scope)
        if logger is None:
            logger = self._loggers[scope] = get_logger(scope, logger_provider=self._provider)
        return logger


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
    return LogRecord(
        timestamp=event.time_ns,
        context=context,
        severity_number=_NUMBERS[event.severity],
        severity_text=event.severity,
        body=event.body or None,
        attributes={**event.attributes, c.EVENT_NAME: event.name},
        event_name=event.name,
    )
