"""Telemetry of a command or receiver outside an instrumented app, sent in bounded time."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry._logs import get_logger_provider
from opentelemetry.metrics import MeterProvider, get_meter_provider

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.record import AttributeValue
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.signals.exporters import endpoint_named, exporter_class, within
from openai_safety_otel.instrumentation.signals.resource import resource_attributes
from openai_safety_otel.instrumentation.signals.sink import EventSink

EXIT_SECONDS = 5.0
SERVICE = "openai-safety"


@dataclass(slots=True)
class EventOutput:
    """A sink, and what became of the events that were put into it.

    ``leads_anywhere`` says whether it has a destination; ``lost`` counts the events that a file or a collector did
    not take, all of which are known once the output is closed.
    """

    sink: EventSink
    leads_anywhere: bool
    lost: int = 0

    @property
    def problem(self) -> str | None:
        """Why not all events arrived, and what to do, in words for the operator; None where they did."""
        if not self.leads_anywhere:
            return "events go nowhere: set OTEL_EXPORTER_OTLP_ENDPOINT or OPENAI_SAFETY_FILE_DIR"
        if self.lost:
            which = counted(self.lost, "event")
            return f"{which} did not arrive: see whether the collector answers, or the folder can be written"
        return None

    def flush(self) -> None:
        """Wait until what was emitted so far has left, `EXIT_SECONDS` at most for each destination.

        A command that emits more than a few thousand events calls it now and then: queues are bounded, and
        drop what does not fit.
        """
        self.sink.flush()
        running = get_logger_provider()
        if hasattr(running, "force_flush"):
            within(EXIT_SECONDS, running.force_flush)


@contextmanager
def event_output(settings: Settings, service: str = SERVICE, instance: str = "") -> Iterator[EventOutput]:
    """A sink for one command: the running SDK's, else one for the OTLP endpoint that the environment names.

    What is still on its way when the command ends is waited for, `EXIT_SECONDS` at most.

    Args:
        settings: where events go.
        service: the service's name where the environment says none.
        instance: which of several, over restarts.
    """
    running = hasattr(get_logger_provider(), "force_flush")

    def lose(reason: str, count: int = 1) -> None:
        told.lost += count

    sink = EventSink.from_settings(
        settings,
        on_drop=lose,
        own_pipeline=not running and bool(endpoint_named("logs")),
        resource=resource_attributes(service, instance),
    )
    told = EventOutput(sink, running or sink.elsewhere)
    try:
        yield told
    finally:
        told.flush()
        sink.close()


@contextmanager
def measuring(service: str = SERVICE, instance: str = "") -> Iterator[MeterProvider | None]:
    """The running SDK's meter provider, else one for the OTLP endpoint the environment names, else None.

    The last measurements are sent at the end; `EXIT_SECONDS` is the longest that is waited for it.
    """
    running = get_meter_provider()
    if hasattr(running, "force_flush"):
        yield running
        return
    own = _own_meters(resource_attributes(service, instance))
    try:
        yield own
    finally:
        if own is not None:
            within(EXIT_SECONDS, own.shutdown)


def _own_meters(resource: Mapping[str, AttributeValue]) -> Any | None:
    make = exporter_class("metrics") if endpoint_named("metrics") else None
    if make is None:
        return None
    metrics = importlib.import_module("opentelemetry.sdk.metrics")
    export = importlib.import_module("opentelemetry.sdk.metrics.export")
    resources = importlib.import_module("opentelemetry.sdk.resources")
    return metrics.MeterProvider(
        metric_readers=[export.PeriodicExportingMetricReader(make())],
        resource=resources.Resource(dict(resource)),
        shutdown_on_exit=False,
    )
