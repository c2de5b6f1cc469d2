"""The contract's metrics: every instrument with its unit, labels and buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from openai_safety_otel.contract import conventions as c

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
_STANDARD = (c.OPERATION_NAME, c.PROVIDER_NAME, c.REQUEST_MODEL, c.SERVER_ADDRESS, c.ERROR_TYPE)

OPERATION_DURATION: Final = _metric(
    "gen_ai.client.operation.duration", "histogram", "s", "duration of a call", _STANDARD, SECONDS
)
TOKEN_USAGE: Final = _metric(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    "tokens used",
    (*_STANDARD[:-1], c.TOKEN_TYPE),
    TOKENS,
)
FIRST_CHUNK: Final = _metric(
    "gen_ai.client.operation.time_to_first_chunk", "histogram", "s", "streams only", _STANDARD[:-1], SECONDS
)
CALLS: Final = _metric(
    "openai_safety.calls",
    "counter",
    "{call}",
    "calls by outcome",
    (c.API, c.REQUEST_MODEL, c.OUTCOME, c.IDENTIFIER_SOURCE, c.IDENTIFIER_DELIVERY, c.TRAFFIC),
)
BLOCKS: Final = _metric(
    "openai_safety.blocks",
    "counter",
    "{block}",
    "blocked calls by rule",
    (c.API, c.BLOCK_TYPE, c.BLOCK_CLASS, c.BLOCK_SOURCE, c.TRAFFIC),
)
ACCESS_ERRORS: Final = _metric(
    "openai_safety.access.errors",
    "counter",
    "{error}",
    "calls to which the account, the key or the model was out of reach",
    (c.API, c.REQUEST_MODEL, c.ACCESS_CODE, c.TRAFFIC),
)
CHECKS: Final = _metric(
    "openai_safety.moderation.checks",
    "counter",
    "{check}",
    "inline moderation checks",
    (c.API, c.DIRECTION, c.RESULT),
)
FLAGS: Final = _metric(
    "openai_safety.flags", "counter", "{flag}", "flagged categories", (c.DIRECTION, c.CATEGORY)
)
FIRST_OUTPUT: Final = _metric(
    c.TIME_TO_FIRST_OUTPUT,
    "histogram",
    "s",
    "request to first output of streams",
    (c.API, c.REQUEST_MODEL),
    SECONDS,
)
PROBLEMS: Final = _metric(
    "openai_safety.identifier.problems", "counter", "{call}", "calls whose identifier went wrong", (c.REASON,)
)
NOTICES: Final = _metric(
    "openai_safety.notices",
    "counter",
    "{notice}",
    "notices received",
    (c.NOTICE_TYPE, c.NOTICE_SUBJECT, c.TRAFFIC),
)
NOTICES_OPEN: Final = _metric(
    "openai_safety.notices.open",
    "gauge",
    "{notice}",
    "notices that nobody has closed",
    (c.NOTICE_TYPE, c.NOTICE_SUBJECT, c.TRAFFIC),
)
DEADLINE: Final = _metric(
    "openai_safety.notice.deadline",
    "gauge",
    "s",
    "unix time of the first deadline of an open notice; a deactivation has none",
    (c.NOTICE_TYPE, c.NOTICE_SUBJECT, c.TRAFFIC),
)
WEBHOOKS: Final = _metric("openai_safety.webhooks", "counter", "{request}", "webhook deliveries", (c.RESULT,))
DROPPED: Final = _metric(
    "openai_safety.dropped", "counter", "{item}", "what we could not keep", (c.SIGNAL, c.REASON)
)
INFO: Final = _metric(
    "openai_safety.instrumentation.info",
    "gauge",
    "{instrumentation}",  # unit "1" would become `_ratio` in Prometheus
    "always 1",
    (c.VERSION, c.SDK_VERSION, c.IDENTIFIER_KEY_ID, c.HOOK_STATE),
)
SUSPENSIONS_AGE: Final = _metric(
    "openai_safety.suspensions.age", "gauge", "s", "seconds since the suspension list was last read", ()
)
SUSPENSIONS_STATE: Final = _metric(
    "openai_safety.suspensions.state",
    "gauge",
    "{list}",
    "1 for what the last reading of the suspension list found, 0 for the rest",
    (c.SUSPENSIONS_FOUND,),
)
CLIENT_SECRETS: Final = _metric(
    "openai_safety.realtime.client_secrets",
    "counter",
    "{secret}",
    "Realtime client secrets issued",
    (c.TRAFFIC,),
)
SESSIONS: Final = _metric(
    "openai_safety.realtime.sessions",
    "counter",
    "{session}",
    "socket sessions observed here",
    (c.API, c.TRAFFIC),
)
UNSEEN: Final = _metric(
    "openai_safety.unseen",
    "counter",
    "{request}",
    "requests to the provider that no record tells of",
    (c.SERVER_ADDRESS, c.API),
)
RECONCILED: Final = _metric(
    "openai_safety.reconcile.requests",
    "gauge",
    "{request}",
    "requests of the last comparison with the provider's own count",
    (c.USAGE_LEDGER, c.VERDICT),
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
    (c.DIRECTION, c.CATEGORY),
    SCORE_BOUNDS,
)
