"""The contract's metrics: every instrument with its unit, labels and buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from openai_safety_otel.contract.conventions import (
    ACCESS_CODE,
    API,
    BLOCK_CLASS,
    BLOCK_SOURCE,
    BLOCK_TYPE,
    CATEGORY,
    DIRECTION,
    ERROR_TYPE,
    HOOK_STATE,
    IDENTIFIER_DELIVERY,
    IDENTIFIER_KEY_ID,
    IDENTIFIER_SOURCE,
    NOTICE_SUBJECT,
    NOTICE_TYPE,
    OPERATION_NAME,
    OUTCOME,
    PROVIDER_NAME,
    REASON,
    REQUEST_MODEL,
    RESULT,
    SDK_VERSION,
    SERVER_ADDRESS,
    SIGNAL,
    SUSPENSIONS_FOUND,
    TIME_TO_FIRST_OUTPUT,
    TOKEN_TYPE,
    TRAFFIC,
    USAGE_LEDGER,
    VERDICT,
    VERSION,
)

MetricKind = Literal["counter", "histogram", "gauge"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument: its name, kind, unit, labels and, for histograms, its bounds."""

    name: str
    kind: MetricKind
    unit: str
    doc: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


METRICS: Final[dict[str, Metric]] = {}


def _metric(
    name: str, kind: MetricKind, unit: str, doc: str, labels: tuple[str, ...], bounds: tuple[float, ...] = ()
) -> Metric:
    METRICS[name] = Metric(name, kind, unit, doc, labels, bounds)
    return METRICS[name]


SECONDS: Final = tuple(0.01 * 2**n for n in range(14))
TOKENS: Final = tuple(float(4**n) for n in range(14))
SCORE_BOUNDS: Final = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_STANDARD = (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, SERVER_ADDRESS, ERROR_TYPE)

OPERATION_DURATION: Final = _metric(
    "gen_ai.client.operation.duration", "histogram", "s", "duration of a call", _STANDARD, SECONDS
)
TOKEN_USAGE: Final = _metric(
    "gen_ai.client.token.usage", "histogram", "{token}", "tokens used", (*_STANDARD[:-1], TOKEN_TYPE), TOKENS
)
FIRST_CHUNK: Final = _metric(
    "gen_ai.client.operation.time_to_first_chunk", "histogram", "s", "streams only", _STANDARD[:-1], SECONDS
)
CALLS: Final = _metric(
    "openai_safety.calls",
    "counter",
    "{call}",
    "calls by outcome",
    (API, REQUEST_MODEL, OUTCOME, IDENTIFIER_SOURCE, IDENTIFIER_DELIVERY, TRAFFIC),
)
BLOCKS: Final = _metric(
    "openai_safety.blocks",
    "counter",
    "{block}",
    "blocked calls by rule",
    (API, BLOCK_TYPE, BLOCK_CLASS, BLOCK_SOURCE, TRAFFIC),
)
ACCESS_ERRORS: Final = _metric(
    "openai_safety.access.errors",
    "counter",
    "{error}",
    "calls to which the account, the key or the model was out of reach",
    (API, REQUEST_MODEL, ACCESS_CODE, TRAFFIC),
)
CHECKS: Final = _metric(
    "openai_safety.moderation.checks",
    "counter",
    "{check}",
    "inline moderation checks",
    (API, DIRECTION, RESULT),
)
FLAGS: Final = _metric(
    "openai_safety.flags", "counter", "{flag}", "flagged categories", (DIRECTION, CATEGORY)
)
FIRST_OUTPUT: Final = _metric(
    TIME_TO_FIRST_OUTPUT,
    "histogram",
    "s",
    "request to first output of streams",
    (API, REQUEST_MODEL),
    SECONDS,
)
PROBLEMS: Final = _metric(
    "openai_safety.identifier.problems", "counter", "{call}", "calls whose identifier went wrong", (REASON,)
)
NOTICES: Final = _metric(
    "openai_safety.notices",
    "counter",
    "{notice}",
    "notices received",
    (NOTICE_TYPE, NOTICE_SUBJECT, TRAFFIC),
)
NOTICES_OPEN: Final = _metric(
    "openai_safety.notices.open",
    "gauge",
    "{notice}",
    "notices that nobody has closed",
    (NOTICE_TYPE, NOTICE_SUBJECT, TRAFFIC),
)
DEADLINE: Final = _metric(
    "openai_safety.notice.deadline",
    "gauge",
    "s",
    "unix time of the first deadline of an open notice; a deactivation has none",
    (NOTICE_TYPE, NOTICE_SUBJECT, TRAFFIC),
)
WEBHOOKS: Final = _metric("openai_safety.webhooks", "counter", "{request}", "webhook deliveries", (RESULT,))
DROPPED: Final = _metric(
    "openai_safety.dropped", "counter", "{item}", "what we could not keep", (SIGNAL, REASON)
)
INFO: Final = _metric(
    "openai_safety.instrumentation.info",
    "gauge",
    "{instrumentation}",  # unit "1" would become `_ratio` in Prometheus
    "always 1",
    (VERSION, SDK_VERSION, IDENTIFIER_KEY_ID, HOOK_STATE),
)
SUSPENSIONS_AGE: Final = _metric(
    "openai_safety.suspensions.age", "gauge", "s", "seconds since the suspension list was last read", ()
)
SUSPENSIONS_STATE: Final = _metric(
    "openai_safety.suspensions.state",
    "gauge",
    "{list}",
    "1 for what the last reading of the suspension list found, 0 for the rest",
    (SUSPENSIONS_FOUND,),
)
CLIENT_SECRETS: Final = _metric(
    "openai_safety.realtime.client_secrets",
    "counter",
    "{secret}",
    "Realtime client secrets issued",
    (TRAFFIC,),
)
SESSIONS: Final = _metric(
    "openai_safety.realtime.sessions", "counter", "{session}", "socket sessions observed here", (API, TRAFFIC)
)
UNSEEN: Final = _metric(
    "openai_safety.unseen",
    "counter",
    "{request}",
    "requests to the provider that no record tells of",
    (SERVER_ADDRESS, API),
)
RECONCILED: Final = _metric(
    "openai_safety.reconcile.requests",
    "gauge",
    "{request}",
    "requests of the last comparison with the provider's own count",
    (USAGE_LEDGER, VERDICT),
)
RECONCILED_AT: Final = _metric(
    "openai_safety.reconcile.time", "gauge", "s", "unix time up to which the last comparison looked", ()
)
# Derived from the events by the collector, never recorded in the process: 26 records a call cost too much.
MODERATION_SCORE: Final = _metric(
    "openai_safety.moderation.score",
    "histogram",
    "1",
    "score distribution",
    (DIRECTION, CATEGORY),
    SCORE_BOUNDS,
)
