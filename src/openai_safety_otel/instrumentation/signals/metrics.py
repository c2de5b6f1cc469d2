"""Record to measurements: closed label sets, never an identifier."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary
from openai_safety_otel.contract.blocks import BLOCK_CLASSES, BLOCK_TYPES
from openai_safety_otel.contract.record import CallRecord, Outcome
from openai_safety_otel.instrumentation.blocks import reachable_blocks

MAX_ZERO_SERIES = 60
# Hosts and error codes come from others too. Together with the models they stay far below the 2,000 series an
# instrument of the SDK keeps before it drops all labels.
MAX_HOSTS = 20
MAX_ERRORS = 20
MAX_CLIENT_LABELS = 256
MAX_FAILURES = 512
# Told however late they come.
_DOCUMENTED = frozenset(
    {
        *BLOCK_TYPES,
        *("400", "401", "403", "404", "408", "409", "422", "429", "500", "502", "503", "504", c.OTHER),
        *("rate_limit_exceeded", "insufficient_quota", "invalid_api_key", "model_not_found", "server_error"),
        *("invalid_request_error", "context_length_exceeded", "invalid_prompt", "moderation_blocked"),
        *("stream_truncated", "APITimeoutError", "APIConnectionError"),
    }
)
_ClientLabels = tuple[dict[str, Any], dict[str, dict[str, Any]]]
Measured = tuple[float, Mapping[str, str]]  # a value and its labels
_STANDARD_LABELS = (c.OPERATION_NAME, c.PROVIDER_NAME, c.REQUEST_MODEL, c.SERVER_ADDRESS)


def _telling(instrument: Counter | Histogram) -> Any:
    """How an instrument is told of measurements: with series remembered where an SDK is loaded already."""
    if "opentelemetry.sdk.metrics" in sys.modules:
        from openai_safety_otel.instrumentation.signals.series import series  # noqa: PLC0415 - only where it is used

        return series(instrument)
    return instrument.add if isinstance(instrument, Counter) else instrument.record


class Instruments:
    """Makes the instruments of the contract on one meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def counter(self, metric: instruments.Metric) -> Counter:
        """A counter of the contract."""
        return self._meter.create_counter(metric.name, unit=metric.unit, description=metric.doc)

    def histogram(self, metric: instruments.Metric) -> Histogram:
        """A histogram of the contract, with its bounds."""
        return self._meter.create_histogram(
            metric.name,
            unit=metric.unit,
            description=metric.doc,
            explicit_bucket_boundaries_advisory=list(metric.bounds),
        )

    def gauge(self, metric: instruments.Metric, read: Callable[[], Iterable[Measured]]) -> None:
        """An observable gauge of the contract; ``read`` gives values with their labels."""

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, labels) for value, labels in read()]

        self._meter.create_observable_gauge(
            metric.name, callbacks=[observe], unit=metric.unit, description=metric.doc
        )


class Metrics(Instruments):
    """The instruments of the contract and the one place that records them.

    Args:
        meter: where they are made.
        max_models: distinct models kept as a label; later ones become ``_other``.
        traffic: label of every series.
    """

    def __init__(self, meter: Meter, *, max_models: int, traffic: str) -> None:
        super().__init__(meter)
        self._traffic = traffic
        self._model = _Capped(max_models, c.OTHER_MODEL)
        self._host = _Capped(MAX_HOSTS, c.OTHER)
        self._error = _Capped(MAX_ERRORS, c.OTHER, _DOCUMENTED.__contains__)
        self._failures: set[tuple[object, ...]] = set()
        self._zeroed: set[str] = set()
        self._zero_series = 0
        self._labels: dict[tuple[str, ...], dict[str, str]] = {}
        self._clients: dict[tuple[object, ...], _ClientLabels] = {}
        self._calls = _telling(self.counter(instruments.CALLS))
        self._blocks = self.counter(instruments.BLOCKS)
        self._access = self.counter(instruments.ACCESS_ERRORS)
        self._checks = _telling(self.counter(instruments.CHECKS))
        self._flags = self.counter(instruments.FLAGS)
        self._problems = self.counter(instruments.PROBLEMS)
        self._dropped = self.counter(instruments.DROPPED)
        self._secrets = self.counter(instruments.CLIENT_SECRETS)
        self._sessions = self.counter(instruments.SESSIONS)
        self._past = self.counter(instruments.UNSEEN)
        self._first_output = self.histogram(instruments.FIRST_OUTPUT)
        self._duration = self.histogram(instruments.OPERATION_DURATION)
        self._took = _telling(self._duration)
        self._tokens = _telling(self.histogram(instruments.TOKEN_USAGE))
        self._first_chunk = self.histogram(instruments.FIRST_CHUNK)

    def record(
        self, record: CallRecord, outcome: Outcome, context: Context | None, *, own_span: bool
    ) -> None:
        """All measurements of one finished call; exemplars link to the span in ``context``."""
        if record.api not in self._zeroed:
            self._zero(record.api)
        model = self._model(record.request_model) if record.request_model is not None else ""
        who = record.identity
        self._calls(
            1,
            self._label(
                instruments.CALLS,
                record.api,
                model,
                outcome.name,
                who.source,
                record.delivery,
                record.traffic,
            ),
            context,
        )
        if outcome.block_type:
            labels = self._label(
                instruments.BLOCKS,
                record.api,
                outcome.block_type,
                outcome.block_class or "",
                outcome.block_source or "request",
                record.traffic,
            )
            self._blocks.add(1, labels, context)
        if outcome.access:
            self._access.add(
                1,
                self._label(instruments.ACCESS_ERRORS, record.api, model, outcome.access, record.traffic),
                context,
            )
        if record.time_to_first_output is not None:
            self._first_output.record(
                record.time_to_first_output, self._label(instruments.FIRST_OUTPUT, record.api, model), context
            )
        for reason in record.problems:
            self._problems.add(1, self._label(instruments.PROBLEMS, reason), context)
        if record.moderation.legs:
            self._moderation(record, context)
        if own_span:
            self._client(record, outcome, model, context)

    def dropped(self, signal: str, reason: str, count: int = 1) -> None:
        """Count what could not be kept; never raises, since this is where failures end."""
        with contextlib.suppress(Exception):
            self._dropped.add(count, self._label(instruments.DROPPED, signal, reason))

    def client_secret(self) -> None:
        """Count a Realtime client secret issued."""
        self._secrets.add(1, self._label(instruments.CLIENT_SECRETS, self._traffic))

    def unseen(self, host: str, api: str) -> None:
        """Count a request past the SDK, to one of the few hosts that are the provider's."""
        self._past.add(1, self._label(instruments.UNSEEN, host, api))

    def session(self, api: str) -> None:
        """Count a socket session observed here."""
        self._sessions.add(1, self._label(instruments.SESSIONS, api, self._traffic))

    def _label(self, metric: instruments.Metric, *values: str) -> dict[str, str]:
        # Label dicts are reused: their sets are closed and small, and building them shows in profiles.
        key = (metric.name, *values)
        found = self._labels.get(key)
        if found is None:
            found = {name: value for name, value in zip(metric.labels, values, strict=True) if value}
            self._labels[key] = found
        return found

    def _moderation(self, record: CallRecord, context: Context | None) -> None:
        for direction, leg in record.moderation.legs.items():
            result = "error" if leg.flagged is None else "flagged" if leg.flagged else "passed"
            self._checks(1, self._label(instruments.CHECKS, record.api, direction, result), context)
            for category in leg.categories:
                known = category if category in c.SCORES[direction] else vocabulary.OTHER_CATEGORY
                self._flags.add(1, self._label(instruments.FLAGS, direction, known), context)

    def _client(self, record: CallRecord, outcome: Outcome, model: str, context: Context | None) -> None:
        """The standard client metrics, recorded only where the span is ours."""
        labels, by_kind = self._client_labels(record, model)
        took = (record.ended_ns - record.started_ns) / 1e9
        if outcome.error_type:
            self._duration.record(took, self._failed(labels, outcome.error_type), context)
        else:
            self._took(took, labels, context)
        for kind, name in (("input", c.INPUT_TOKENS), ("output", c.OUTPUT_TOKENS)):
            count = record.standard.get(name)
            if isinstance(count, int):
                self._tokens(count, by_kind[kind], context)
        if record.time_to_first_chunk is not None:
            self._first_chunk.record(record.time_to_first_chunk, labels, context)

    def _failed(self, labels: dict[str, Any], error_type: str) -> dict[str, Any]:
        """The same labels with the error; where too many sets have one, ``_OTHER``."""
        error = self._error(error_type)
        key = (id(labels), error)
        if key not in self._failures:
            if len(self._failures) >= MAX_FAILURES:
                error = c.OTHER
            else:
                self._failures.add(key)
        return {**labels, c.ERROR_TYPE: error}

    def _client_labels(self, record: CallRecord, model: str) -> _ClientLabels:
        """The labels of the standard metrics, and the same with each kind of token; made once for each set."""
        given = record.standard
        address = given.get(c.SERVER_ADDRESS)
        host = self._host(str(address)) if address else ""
        values = (record.operation, str(given.get(c.PROVIDER_NAME) or ""), model, host)
        if values not in self._clients and len(self._clients) >= MAX_CLIENT_LABELS:
            values = (*values[:2], c.OTHER_MODEL if model else "", c.OTHER if host else "")
        found = self._clients.get(values)
        if found is None:
            labels = {name: value for name, value in zip(_STANDARD_LABELS, values, strict=True) if value}
            found = labels, {kind: {**labels, c.TOKEN_TYPE: kind} for kind in ("input", "output")}
            self._clients[values] = found
        return found

    def _zero(self, api: str) -> None:
        """Start the block series an API can reach at 0: `increase()` misses a series born at 1."""
        self._zeroed.add(api)
        for kind, source in reachable_blocks(api):
            if self._zero_series >= MAX_ZERO_SERIES:
                return
            self._zero_series += 1
            self._blocks.add(
                0, self._label(instruments.BLOCKS, api, kind, BLOCK_CLASSES[kind], source, self._traffic)
            )


class _Capped:
    """A label whose values others choose: the first ``limit`` distinct ones are kept, any other becomes ``other``.

    Args:
        limit: how many.
        other: what later ones become.
        always: says of which values there can be only a few, so that they are kept however late they come.
    """

    __slots__ = ("_always", "_kept", "_limit", "_other")

    def __init__(self, limit: int, other: str, always: Callable[[str], bool] = lambda _: False) -> None:
        self._limit = limit
        self._other = other
        self._always = always
        self._kept: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value as a label."""
        if value in self._kept or self._always(value):
            return value
        if len(self._kept) >= self._limit:
            return self._other
        self._kept.add(value)
        return value
