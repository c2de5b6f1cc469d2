"""Where every event of ours goes: files, or OpenTelemetry; and standard output where a setting says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from opentelemetry._logs import Logger, get_logger
from opentelemetry._logs import LoggerProvider as LoggerProviderApi
from opentelemetry.context import Context

from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.signals.event import log_record
from openai_safety_otel.instrumentation.signals.exporters import exporter_class
from openai_safety_otel.instrumentation.signals.prepared import emit

_log = logging.getLogger(__name__)


class Dropped(Protocol):
    """Hears why, and how many, events were lost."""

    def __call__(self, reason: str, count: int = 1) -> None:
        """Count them."""


class Sink(Protocol):
    """Takes events; never raises, never blocks."""

    def emit(self, event: SafetyEvent) -> None:
        """Take one event."""


class Destination(Protocol):
    """One place that events go to.

    ``flush`` and ``close`` wait for a bounded time; an event after ``close`` begins anew.
    """

    def emit(self, event: SafetyEvent, context: Context | None = None) -> None:
        """Take one event; ``context`` holds the span of its ids, where it is at hand."""

    def flush(self) -> object:
        """Wait until what was emitted so far has left."""

    def close(self) -> object:
        """Flush, and end what runs in the background."""


class SharedLogs:
    """The app's own LoggerProvider, or the global one: the app decides how its events are sent.

    Events of another scope (evidence) get a logger of that scope, so that a collector can route them apart.
    """

    def __init__(self, provider: LoggerProviderApi | None = None) -> None:
        self._provider = provider
        self._loggers: dict[str, Logger] = {}

    def emit(self, event: SafetyEvent, context: Context | None = None) -> None:
        """Hand one event to the logger of its scope."""
        logger = self._loggers.get(event.scope)
        if logger is None:
            logger = self._loggers[event.scope] = get_logger(event.scope, logger_provider=self._provider)
        emit(logger, log_record(event, context))

    def flush(self) -> None:
        """Its owner flushes it."""

    def close(self) -> None:
        """Its owner closes it."""


class EventSink:
    """Hands each event to every destination; one that fails does not keep it from the others."""

    def __init__(self, destinations: tuple[Destination, ...]) -> None:
        self._destinations = destinations

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        provider: LoggerProviderApi | None = None,
        *,
        on_drop: Dropped | None = None,
        own_pipeline: bool | None = None,
        resource: Mapping[str, AttributeValue] | None = None,
    ) -> EventSink:
        """The sink these settings ask for.

        With ``FILE_DIR`` events go to files, and not over OTLP as well: a collector's file receiver reads them.

        Args:
            settings: which destinations.
            provider: the LoggerProvider to share; None is the global one.
            on_drop: hears the reason of each event not written.
            own_pipeline: whether OTLP goes through a pipeline of our own; by default what ``PIPELINE`` says.
            resource: what the process is; by default what the SDK or the standard variables say.
        """
        own = settings.pipeline == "dedicated" if own_pipeline is None else own_pipeline
        found: list[Destination] = (
            _files(settings, on_drop, resource)
            if settings.file_dir
            else [(_own_logs(on_drop, resource) if own else None) or SharedLogs(provider)]
        )
        if settings.stdout_events:
            from openai_safety_otel.instrumentation.signals.stdout import stdout_events  # noqa: PLC0415 - only where it is used

            found.append(stdout_events(on_drop))
        return cls(tuple(found))

    @property
    def elsewhere(self) -> bool:
        """Whether events go somewhere besides a LoggerProvider that is not ours."""
        return any(not isinstance(one, SharedLogs) for one in self._destinations)

    def emit(self, event: SafetyEvent, context: Context | None = None) -> None:
        """Hand the event to each destination; nobody keeps ``context``."""
        for destination in self._destinations:
            try:
                destination.emit(event, context)
            except Exception as error:  # noqa: BLE001, PERF203 - a logger of the app's may raise anything
                own_errors.failed("event", error)

    def flush(self) -> None:
        """Wait, for a bounded time, until what was emitted so far has left."""
        for destination in self._destinations:
            with own_errors("event"):
                destination.flush()

    def close(self) -> None:
        """Flush in bounded time and end what runs in the background; an event after that begins it anew."""
        for destination in self._destinations:
            with own_errors("event"):
                destination.close()


def _files(
    settings: Settings, on_drop: Dropped | None, resource: Mapping[str, AttributeValue] | None
) -> list[Destination]:
    from openai_safety_otel.instrumentation.signals.files import EventFile  # noqa: PLC0415 - only where it is used

    place, size, keep = str(settings.file_dir), settings.file_max_mb, settings.file_keep
    return [
        EventFile(place, size, keep, resource, private=private, on_drop=on_drop) for private in (False, True)
    ]


def _own_logs(on_drop: Dropped | None, resource: Mapping[str, AttributeValue] | None) -> Destination | None:
    make = exporter_class("logs")
    if make is None:
        _log.warning("no OTLP exporter for logs (%s); events stay shared", install("otlp"))
        return None
    from openai_safety_otel.instrumentation.signals.own_logs import OwnLogs  # noqa: PLC0415 - only where it is used

    return OwnLogs(make, on_drop=on_drop, resource=resource)
