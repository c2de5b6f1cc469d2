"""Record to span: an own one, or another instrumentation's enriched."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_current_span

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, CallRecord, Outcome
from openai_safety_otel.instrumentation.signals.attributes import identity_attributes, score_attributes

# What makes a recording span a model call; agent, chain and tool spans are current too: never those.
_MODEL_OPERATIONS = frozenset({"chat", "text_completion", "embeddings", "generate_content", "fetch_response"})
_EARLY = (c.OPERATION_NAME, c.PROVIDER_NAME, c.REQUEST_MODEL, c.SERVER_ADDRESS, c.SERVER_PORT)
_OPENINFERENCE_KINDS = frozenset({"LLM", "EMBEDDING"})
_UTIL_GENAI = "opentelemetry.util.genai"
_UTIL_GENAI_KEYS = (
    "opentelemetry.genai.client.inference.context",
    "opentelemetry.genai.client.embeddings.context",
    "opentelemetry.genai.client.fetch_response.context",
    "opentelemetry.genai.client.retrieval.context",
)


def is_model_call(span: Span) -> bool:
    """Whether a span is another instrumentation's record of a model call."""
    if not span.is_recording():
        return False
    attributes: Mapping[str, object] = getattr(span, "attributes", None) or {}
    if attributes.get("openinference.span.kind") in _OPENINFERENCE_KINDS:
        return True
    operation = attributes.get(c.OPERATION_NAME)
    return operation in _MODEL_OPERATIONS and getattr(span, "kind", None) is SpanKind.CLIENT


def current_model_call() -> Span | None:
    """The model-call span of another instrumentation that is current, or None."""
    span = get_current_span()
    return span if is_model_call(span) else None


def in_unsampled_model_call() -> bool:
    """Whether util-genai is inside a model call whose span is not recording."""
    if _UTIL_GENAI not in sys.modules:
        return False
    current = otel_context.get_current()
    return any(str(key).startswith(_UTIL_GENAI_KEYS) and current[key] is not None for key in current)


def early_attributes(record: CallRecord) -> dict[str, AttributeValue]:
    """What an own span has from its start."""
    standard = record.standard
    return {name: standard[name] for name in _EARLY if name in standard}


def start(
    tracer: Tracer,
    record: CallRecord,
    attributes: Mapping[str, AttributeValue],
    context: Context | None = None,
) -> Span:
    """An own span, begun with what a sampler may want to see."""
    model = record.request_model
    return tracer.start_span(
        f"{record.operation} {model}" if model else record.operation,
        context=context,
        kind=SpanKind.CLIENT,
        attributes=attributes,
        start_time=record.started_ns,
    )


def set_identity(span: Span, record: CallRecord) -> None:
    """Identity alone: a stream closed early leaves only this on another instrumentation's span."""
    if span.is_recording():
        span.set_attributes(identity_attributes(record))


def set_outcome(span: Span, record: CallRecord, safety: Mapping[str, AttributeValue]) -> None:
    """Safety attributes: set last, and again at the end, because a full span drops its oldest.

    Its owner may have ended it: a span that does not record is not touched.
    """
    if span.is_recording():
        span.set_attributes({**score_attributes(record, only_flagged=True), **safety})


def end(
    span: Span,
    record: CallRecord,
    outcome: Outcome,
    early: Mapping[str, AttributeValue],
    safety: Mapping[str, AttributeValue],
) -> None:
    """Complete and end an own span, begun with ``early``, by one setting of what is new; safety comes last."""
    attributes = {
        name: value for name, value in record.standard.items() if name not in early or early[name] != value
    }
    attributes.update(score_attributes(record, only_flagged=True))
    attributes.update(safety)
    span.set_attributes(attributes)
    if outcome.error_type is not None and (record.raised or record.status == "failed"):
        # No description: exception messages can quote the user.
        span.set_status(Status(StatusCode.ERROR))
    span.end(end_time=record.ended_ns)
