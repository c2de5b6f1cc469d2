"""Says once, in one line on standard error, which signals go nowhere, why, and what mends it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from opentelemetry import _logs, metrics, trace

from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.signals.exporters import SDK_DISABLED

_Reason = Callable[[list[str]], str]

_SETTING = {
    "spans": "OTEL_TRACES_EXPORTER",
    "metrics": "OTEL_METRICS_EXPORTER",
    "events": "OTEL_LOGS_EXPORTER",
}
_FILES = ", or OPENAI_SAFETY_FILE_DIR to keep events in files"
# Where each SDK provider keeps what it exports to, as attribute paths; an absent path is not judged.
_EXPORTERS = {
    "spans": ("_active_span_processor", "_span_processors"),
    "metrics": ("_metric_readers",),
    "events": ("_multi_log_record_processor", "_log_record_processors"),
}


class UnsentWarning:
    """Looks once, at the first finished call: providers may be set after instrumenting.

    Args:
        settings: say which signals are wanted.
        elsewhere: whether events go somewhere besides OpenTelemetry.
        tracer: the app's own providers, or None.
        meter: the same.
        logger: the same.
    """

    def __init__(self, settings: Settings, *, elsewhere: bool, tracer: Any, meter: Any, logger: Any) -> None:
        self._given = {"spans": tracer, "metrics": meter, "events": logger}
        self._needless = {"events"} if elsewhere else set()
        if settings.span == "off":
            self._needless.add("spans")

    def __call__(self) -> None:
        """Look, and say it."""
        if line := unsent_line(self._given, self._needless):
            sys.stderr.write(line + "\n")


def unsent_line(given: Mapping[str, Any], needless: Collection[str] = ()) -> str:
    """One line for the signals that go nowhere, why, and what mends it; empty where none does."""
    providers = {name: one for name, one in _providers(given).items() if name not in needless}
    reasons: dict[_Reason, list[str]] = {}
    for name, provider in providers.items():
        if (reason := _reason(name, provider)) is not None:
            reasons.setdefault(reason, []).append(name)
    others = [name for name in providers if name != "spans"]
    if _spans_dropped(providers.get("spans")) and others == [n for names in reasons.values() for n in names]:
        # Alone it is what somebody wants who lives on metrics and events.
        reasons[_not_sampled] = ["spans"]
    said = "; ".join(reason(names) for reason, names in reasons.items())
    return f"openai-safety-otel: {said}" if said else ""


def _reason(name: str, provider: Any) -> _Reason | None:
    if not _is_sdk(provider):
        return _no_sdk
    if getattr(provider, "_disabled", False) is True:
        return _switched_off
    return _no_exporter if _exports_nothing(name, provider) else None


def _no_sdk(names: list[str]) -> str:
    mend = f"{install('otlp')} and start with: opentelemetry-instrument python app.py"
    return f"no OpenTelemetry SDK, so {_and(names)} go nowhere; {mend}"


def _switched_off(names: list[str]) -> str:
    return f"{SDK_DISABLED}=true, so {_and(names)} go nowhere; unset {SDK_DISABLED}"


def _not_sampled(names: list[str]) -> str:
    return f"the sampler leaves out every span, so {_and(names)} go nowhere; set OTEL_TRACES_SAMPLER"


def _no_exporter(names: list[str]) -> str:
    settings = _and([f"{_SETTING[name]}=otlp" for name in names])
    return f"no exporter for {_and(names)}, they go nowhere; set {settings}{_FILES * ('events' in names)}"


def _spans_dropped(provider: Any) -> bool:
    describe = getattr(getattr(provider, "sampler", None), "get_description", None)
    text = str(describe()) if describe is not None else ""
    return text.startswith(("AlwaysOffSampler", "ParentBased{root:AlwaysOffSampler"))


def _providers(given: Mapping[str, Any]) -> dict[str, Any]:
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
