"""Attributes put where the SDK keeps them leave as the same bytes as those that the SDK was told one by one."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import CallRecord, Identity, Leg, Moderation, Outcome
from openai_safety_otel.contract.vocabulary import CATEGORIES
from openai_safety_otel.instrumentation.signals import Signals, prepared
from openai_safety_otel.instrumentation.signals.metrics import Metrics
from openai_safety_otel.instrumentation.signals.sink import EventSink, SharedLogs

LEGS = {one: Leg(True, ("hate",), dict.fromkeys(CATEGORIES, 0.5)) for one in c.DIRECTIONS}
PLAIN = CallRecord(
    api="chat",
    endpoint="chat.completions.create",
    operation="chat",
    started_ns=1,
    ended_ns=2,
    standard={
        c.OPERATION_NAME: "chat",
        c.PROVIDER_NAME: "openai",
        c.REQUEST_MODEL: "gpt-5",
        c.MAX_TOKENS: 500,
        c.TEMPERATURE: 0.5,
        c.FINISH_REASONS: ("stop",),
    },
    identity=Identity("a" * 64, "end_user", "12345678", "b" * 64, conflict=True),
    request_model="gpt-5",
)
MODERATED = dataclasses.replace(PLAIN, moderation=Moderation("omni", "score", LEGS))
OUTCOMES = {
    "completed": Outcome("completed"),
    "blocked": Outcome(
        "blocked", "cyber_policy", "request", "cyber_policy", "cyber_policy", "code", ("hate", "violence")
    ),
}
LIMITS = {
    "no limit": {},
    "few attributes": {"OTEL_ATTRIBUTE_COUNT_LIMIT": "9"},
    "short values": {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5"},
    "no attributes": {"OTEL_ATTRIBUTE_COUNT_LIMIT": "0"},
}


class Counting(IdGenerator):
    """The same ids in each run."""

    def generate_span_id(self) -> int:
        return 1

    def generate_trace_id(self) -> int:
        return 1


class Ahead(SpanProcessor):
    """An app's processor that sets, first, an attribute that we set too."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        span.set_attribute(c.OUTCOME, "unknown")
        span.set_attribute("app", 1)


class After(LogRecordProcessor):
    """An app's processor that changes a finished record, by values that need cleaning."""

    def on_emit(self, log_record: Any) -> None:
        log_record.log_record.attributes[c.OUTCOME] = ["one", "two"]
        log_record.log_record.attributes["app"] = "app"

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def exported(record: CallRecord, outcome: Outcome, *, processors: bool) -> tuple[Any, ...]:
    """What a finished call leaves: of the span and the log record everything but the time of writing."""
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    resource = Resource({"service.name": "app"})
    tracers = TracerProvider(resource=resource, id_generator=Counting())
    loggers = LoggerProvider(resource=resource)
    if processors:
        tracers.add_span_processor(Ahead())
        loggers.add_log_record_processor(After())
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    metrics = Metrics(
        MeterProvider(shutdown_on_exit=False).get_meter("m"), max_models=5, traffic="production"
    )
    signals = Signals(tracers.get_tracer("t"), metrics, EventSink((SharedLogs(loggers),)), "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dropped attributes
        begun = signals.span(record)
        assert begun is not None
        begun.leave()
        signals.finish(record, outcome, begun)
    (span,), (log,) = spans.get_finished_spans(), logs.get_finished_logs()
    log.log_record.observed_timestamp = 3
    return span.to_json(), span.dropped_attributes, log.to_json(), log.dropped_attributes, *_bytes(span, log)


def _bytes(span: Any, log: Any) -> tuple[bytes, ...]:
    try:
        from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    except ImportError:
        return ()
    return encode_spans([span]).SerializeToString(), encode_logs([log]).SerializeToString()


@pytest.mark.parametrize("processors", [False, True])
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("record", [PLAIN, MODERATED], ids=["plain", "moderated"])
def test_both_ways_leave_the_same_bytes(
    record: CallRecord, outcome: str, limits: str, processors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also under limits that cut or drop, and beside processors that set what we set."""
    for name, value in LIMITS[limits].items():
        monkeypatch.setenv(name, value)
    found = exported(record, OUTCOMES[outcome], processors=processors)
    monkeypatch.setattr(prepared, "_KNOWN", False)
    assert found == exported(record, OUTCOMES[outcome], processors=processors)


def test_the_sdk_is_spared_its_look_at_each_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every OpenTelemetry that the matrix has: a container of the SDK is filled, not asked."""
    filled: list[bool] = []
    fill = prepared._fill

    def watched(*given: Any) -> bool:
        filled.append(fill(*given))
        return filled[-1]

    monkeypatch.setattr(prepared, "_fill", watched)
    exported(PLAIN, OUTCOMES["completed"], processors=False)
    assert [True, True] == filled


class Renamed(BoundedAttributes):
    """A container of another SDK: what is put beside it is not in it."""

    def __iter__(self) -> Any:
        return iter(())


def test_an_sdk_that_keeps_attributes_elsewhere_is_told_by_its_public_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepared, "BoundedAttributes", Renamed)
    assert not prepared._as_known()


@pytest.mark.parametrize("value", [["a"], None, b"a", {"a": 1}, object()])
def test_a_value_that_the_sdk_would_change_is_left_to_it(value: Any) -> None:
    kept = BoundedAttributes(immutable=False)
    assert (False, {}) == (prepared._fill(kept, {"a": value}), dict(kept))


class Wrapped:
    """An app's span: what it does not have itself it takes from the one inside, as `wrapt` proxies do."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_span_that_wraps_another_is_told_by_its_public_way() -> None:
    tracer = TracerProvider().get_tracer("t")
    span: Any = tracer.start_span("inner")
    prepared.set_attributes(Wrapped(span), {"a": 1})  # type: ignore[arg-type]
    assert {"a": 1} == dict(span.attributes)
