"""Says once, on standard error, which signal goes nowhere and the command that mends it."""

from __future__ import annotations

import sys
from typing import Any

from opentelemetry import _logs, metrics, trace

from openai_safety_otel.record import CallRecord, Outcome
from openai_safety_otel.settings import Settings

_MEND = {
    "sdk": "pip install 'openai-safety-otel[otlp]' and start with: opentelemetry-instrument python app.py",
    "spans": "set OTEL_TRACES_EXPORTER=otlp",
    "metrics": "set OTEL_METRICS_EXPORTER=otlp",
    "events": "set OTEL_LOGS_EXPORTER=otlp, or OPENAI_SAFETY_FILE_DIR to keep events in files",
}
# Where each SDK provider keeps what it exports to, as attribute paths; an absent path is not judged.
_EXPORTERS = {
    "spans": ("_active_span_processor", "_span_processors"),
    "metrics": ("_metric_readers",),
    "events": ("_multi_log_record_processor", "_log_record_processors"),
}


class Warner:
    """Looks once, at the first finished call: providers may be set after instrumenting."""

    def __init__(self, settings: Settings, tracer: Any, meter: Any, logger: Any) -> None:
        self._given = {"spans": tracer, "metrics": meter, "events": logger}
        self._settings = settings
        self._done = False

    def __call__(self, record: CallRecord, outcome: Outcome) -> None:
        """A listener of finished calls."""
        if not self._done:
            self._done = True
            for line in silent_signals(self._settings, self._given):
                sys.stderr.write(line + "\n")


def silent_signals(settings: Settings, given: dict[str, Any] | None = None) -> list[str]:
    """One line for each signal that goes nowhere; a single line where there is no SDK at all."""
    providers = _providers(given or {})
    elsewhere = settings.file_dir or settings.stdout_events or settings.pipeline == "dedicated"
    needless = {"events"} if elsewhere else set()
    if settings.span == "off":
        needless.add("spans")
    missing = [name for name, provider in providers.items() if name not in needless and not _is_sdk(provider)]
    if len(missing) == len(providers) - len(needless) and missing:
        return [f"openai-safety-otel: no OpenTelemetry SDK, so {_and(missing)} go nowhere; {_MEND['sdk']}"]
    lines = [name for name in providers if name in missing or _exports_nothing(name, providers[name])]
    return [
        f"openai-safety-otel: no exporter for {name}, they go nowhere; {_MEND[name]}"
        for name in lines
        if name not in needless
    ]


def _providers(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "spans": given.get("spans") or trace.get_tracer_provider(),
        "metrics": given.get("metrics") or metrics.get_meter_provider(),
        "events": given.get("events") or _logs.get_logger_provider(),
    }


def _is_sdk(provider: Any) -> bool:
    # The API's own providers (no-op and proxy) live in the API's packages.
    return (
        type(provider).__module__.partition(".")[0] != "opentelemetry" or ".sdk" in type(provider).__module__
    )


def _exports_nothing(name: str, provider: Any) -> bool:
    found = provider
    for attribute in _EXPORTERS[name]:
        found = getattr(found, attribute, None)
        if found is None:
            return False
    return len(found) == 0


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
