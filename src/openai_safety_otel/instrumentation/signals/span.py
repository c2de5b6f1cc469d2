"""One call's span: our own from the start, another instrumentation's enriched, or our own made at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, CallRecord, Outcome
from openai_safety_otel.contract.settings import SpanMode
from openai_safety_otel.instrumentation.signals.attributes import (
    identity_attributes,
    safety_attributes,
    score_attributes,
)
from openai_safety_otel.instrumentation.signals.prepared import set_attributes

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
Ids = tuple[int, int, int]


class CallSpan:
    """Decides once whose span a call has, and writes to it at the moments that matter.

    Args:
        tracer: makes own spans.
        mode: the setting ``SPAN``.
        record: the facts so far.
        own_early: False where another instrumentation may still make (or already makes) its own span between
            here and the network, or after the call has returned.
        own_late: False where another instrumentation makes its span only after the call has returned.
    """

    span: Span | None = None
    owned = False
    _own_late = False

    def __init__(
        self, tracer: Tracer, mode: SpanMode, record: CallRecord, *, own_early: bool, own_late: bool
    ) -> None:
        self._tracer = tracer
        self._record = record
        self._enriches = mode in {"auto", "enrich"}
        # What measurements and events of this call belong to; looked up once and handed on.
        self.context = self._before = before = otel_context.get_current()
        self._take(before)
        if (
            self.span is None
            and own_late
            and mode in {"auto", "own"}
            and (not before or is_instrumentation_enabled())
        ):
            self._own_late = mode == "own" or not _in_unsampled_model_call(before)
            if self._own_late and (own_early or mode == "own"):
                self._start()
                # Attached by value: nothing is held that must be detached in the same context.
                otel_context.attach(self.context)

    def look(self) -> None:
        """Take the model-call span that is current now, if there is one and none was taken yet."""
        if self.span is None and self._enriches:
            self._take(otel_context.get_current())

    def _take(self, context: Context) -> None:
        if self._enriches and _is_model_call(span := get_current_span(context)):
            self.span = span
            self.context = set_span_in_context(span, self._before)
            # Identity at once: a stream closed early leaves only this on another instrumentation's span.
            span.set_attributes(identity_attributes(self._record))

    def _start(self) -> None:
        """Begin an own span with what a sampler may want to see."""
        record, standard = self._record, self._record.standard
        self._early: dict[str, AttributeValue] = {name: standard[name] for name in _EARLY if name in standard}
        model = record.request_model
        self.span = self._tracer.start_span(
            f"{record.operation} {model}" if model else record.operation,
            context=self._before,
            kind=SpanKind.CLIENT,
            attributes=self._early,
            start_time=record.started_ns,
        )
        self.owned = True
        self.context = set_span_in_context(self.span, self._before)

    def leave(self) -> None:
        """The call has returned: what was current before is current again."""
        if self.owned:
            current = otel_context.get_current()
            if current is self.context or get_current_span(current) is self.span:
                otel_context.attach(self._before)

    def settle(self, outcome: Outcome) -> None:
        """The outcome is known, and another instrumentation may end its span right after this."""
        self._enrich(safety_attributes(self._record, outcome))

    def finish(self, outcome: Outcome, safety: Mapping[str, AttributeValue]) -> None:
        """The call is over: end an own span by one setting of what is new, or write once more to the other's.

        ``safety`` are the `safety_attributes` of this outcome, which the event shares.
        """
        if self.span is None and self._own_late:
            self._start()
        if self.span is None or not self.owned:
            self._enrich(safety)
            return
        record, span = self._record, self.span
        attributes = dict(record.standard)
        for name, value in self._early.items():
            if attributes[name] == value:
                del attributes[name]
        if record.moderation.legs:
            attributes.update(score_attributes(record, only_flagged=True))
        attributes.update(safety)
        set_attributes(span, attributes)
        if outcome.error_type is not None and (record.raised or record.status == "failed"):
            # No description: exception messages can quote the user.
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=record.ended_ns)

    def _enrich(self, safety: Mapping[str, AttributeValue]) -> None:
        """Set last, and again at the end, because a full span drops its oldest attributes.

        Its owner may have ended it: a span that does not record is not touched.
        """
        if self.span is not None and self.span.is_recording():
            self.span.set_attributes({**score_attributes(self._record, only_flagged=True), **safety})

    @property
    def ids(self) -> Ids:
        """Trace id, span id and trace flags for the event; zeros where there is no trace."""
        span = self.span if self.span is not None else get_current_span(self._before)
        found = span.get_span_context()
        return (found.trace_id, found.span_id, int(found.trace_flags)) if found.is_valid else (0, 0, 0)


def _is_model_call(span: Span) -> bool:
    """Whether a span is another instrumentation's record of a model call, and still recording."""
    if not span.is_recording():
        return False
    attributes: Mapping[str, object] = getattr(span, "attributes", None) or {}
    if attributes.get("openinference.span.kind") in _OPENINFERENCE_KINDS:
        return True
    operation = attributes.get(c.OPERATION_NAME)
    return operation in _MODEL_OPERATIONS and getattr(span, "kind", None) is SpanKind.CLIENT


def _in_unsampled_model_call(context: Context) -> bool:
    """Whether util-genai is inside a model call whose span is not recording."""
    return _UTIL_GENAI in sys.modules and any(
        str(key).startswith(_UTIL_GENAI_KEYS) and context[key] is not None for key in context
    )
