"""PromQL, one function per question: ``at`` says for whom, ``window`` over how long."""

from __future__ import annotations

from grafana import names
from grafana.names import BY
from grafana.scope import Match, Scope, equal, none_of, one_of
from openai_safety_otel.contract import conventions as c

RATE = "$__rate_interval"
RANGE = "$__range"

_EXPECTED = (
    none_of(c.IDENTIFIER_SOURCE, *c.UNCOVERED_SOURCES),
    one_of(c.IDENTIFIER_DELIVERY, *c.COVERED_DELIVERIES),
)
SENT = (*_EXPECTED, equal(c.IDENTIFIER_DELIVERY, "sent"))
NOT_SENT = (*_EXPECTED, none_of(c.IDENTIFIER_DELIVERY, "sent"))


def total(selector: str, window: str, by: str = BY, *, but: str = "", offset: str = "") -> str:
    """Events in the window, summed by labels."""
    ago = f" offset {offset}" if offset else ""
    return f"sum by ({by}) (increase({selector}[{window}]{ago}){but})"


def per_second(selector: str, by: str) -> str:
    """Events a second, over the interval Grafana finds safe."""
    return f"sum by ({by}) (rate({selector}[{RATE}]))"


def _whole(selector: str, window: str) -> str:
    return f"sum(increase({selector}[{window}]))"


# Longer than any outage the queues survive (2 h) and than Prometheus takes late samples (3 h): what happened meanwhile
# is in the window when it arrives. HISTORY is how long a gap of scrapes may be before old counts look new.
RECENT = "4h"
HISTORY = "3d"


def first(selector: str, by: str, *, but: str = "") -> str:
    """What a counter counted in the last hours: also one that appears with its first event, or starts anew in a gap.

    ``last_over_time`` finds what was known before the window across gaps, so that a series which comes back after
    an outage is compared with itself and is no birth.
    """
    recent, before = (
        f"max_over_time({selector}[{RECENT}])",
        f"last_over_time({selector}[{HISTORY}] offset {RECENT})",
    )
    return (
        f"sum by ({by}) (\n"
        f"  (\n"
        f"    ({recent} - ({before} or 0 * {recent})) > 0\n"
        f"    or increase({selector}[{RECENT}]) > 0\n"
        f"    or ({recent} > 0 and {recent} < {before})\n"
        f"  ){but}\n"
        f")"
    )


def but_unreal(metric: c.Metric) -> str:
    """Leaves out processes of red-team and drill traffic, for a metric that carries no such label.

    A process makes one kind of traffic, so that its calls say which it is, also after it has ended.
    """
    if c.TRAFFIC in metric.labels:
        return ""
    unreal = f"{names.series(c.CALLS)}{{{one_of(c.TRAFFIC, 'redteam', 'drill')}}}"
    return f" unless on (job, instance) last_over_time({unreal}[{RECENT}])"


# --- coverage ----------------------------------------------------------------------------------------------


def coverage(at: Scope, window: str, by: str = "") -> str:
    """Share of calls that carried an identifier, of those that had to (0 to 1)."""
    sent, expected = at.select(c.CALLS, *SENT), at.select(c.CALLS, *_EXPECTED)
    if not by:
        return f"{_whole(sent, window)} / {_whole(expected, window)}"
    none = f"0 * {total(expected, window, by)}"
    return f"({total(sent, window, by)} or {none}) / {total(expected, window, by)}"


def library_calls(at: Scope, window: str) -> str:
    """Calls that carry a library's constant in place of their user's identifier."""
    return _whole(at.select(c.CALLS, equal(c.IDENTIFIER_SOURCE, "library")), window)


def expected_calls(at: Scope, window: str) -> str:
    """Calls that had to carry an identifier."""
    return total(at.select(c.CALLS, *_EXPECTED), window)


def not_sent_by_cause(at: Scope, window: str) -> str:
    """Calls without identifier that needed one, by where it came from and why it was not sent."""
    causes = ", ".join(names.field(name) for name in (c.API, c.IDENTIFIER_SOURCE, c.IDENTIFIER_DELIVERY))
    return f"{total(at.select(c.CALLS, *NOT_SENT), window, causes)} > 0"


def identifier_problems(at: Scope) -> str:
    """Identifier problems a second by reason."""
    return per_second(at.select(c.PROBLEMS), names.field(c.REASON))


# --- outcomes ----------------------------------------------------------------------------------------------


def calls_by_outcome(at: Scope) -> str:
    """Calls a second by outcome."""
    return per_second(at.select(c.CALLS), names.field(c.OUTCOME))


def refused_share(at: Scope) -> str:
    """Refused calls as a share of all calls, by API."""
    by = names.field(c.API)
    refused, every = at.select(c.CALLS, equal(c.OUTCOME, "refused")), at.select(c.CALLS)
    return f"({per_second(refused, by)} or 0 * {per_second(every, by)}) / {per_second(every, by)}"


def calls_by_door(at: Scope) -> str:
    """Calls by API, and NaN for each API of which this installation sees nothing."""
    door = names.field(c.API)
    apis = [api for api in c.APIS if api != c.OTHER_API]
    unseen = " or ".join(f'label_replace(vector(NaN), "{door}", "{api}", "", "")' for api in apis)
    return f"{total(at.select(c.CALLS), RANGE, door)} or {unseen}"


def secrets_issued(at: Scope) -> str:
    """Realtime client secrets issued by the product's servers."""
    return _whole(at.select(c.CLIENT_SECRETS), RANGE)


def sessions_observed(at: Scope) -> str:
    """Socket sessions that ran through instrumented processes."""
    return _whole(at.select(c.SESSIONS), RANGE)


def first_output_median(at: Scope) -> str:
    """Median time to the first output of streams, by model (seconds)."""
    model = names.field(c.REQUEST_MODEL)
    buckets = at.select(c.FIRST_OUTPUT, part="_bucket")
    return f"histogram_quantile(0.5, {per_second(buckets, f'{model}, le')})"


# --- moderation --------------------------------------------------------------------------------------------


def checks_by_result(at: Scope) -> str:
    """Moderation checks a second by direction and result."""
    return per_second(at.select(c.CHECKS), f"{names.field(c.DIRECTION)}, {names.field(c.RESULT)}")


def flagged_share(at: Scope) -> str:
    """Flagged checks as a share of those that gave a result, by direction."""
    by = names.field(c.DIRECTION)
    flagged = at.select(c.CHECKS, equal(c.RESULT, "flagged"))
    judged = at.select(c.CHECKS, one_of(c.RESULT, "passed", "flagged"))
    return f"({per_second(flagged, by)} or 0 * {per_second(judged, by)}) / {per_second(judged, by)}"


def check_error_share(at: Scope) -> str:
    """Failed checks as a share of all, by direction."""
    by = names.field(c.DIRECTION)
    failed, every = at.select(c.CHECKS, equal(c.RESULT, "error")), at.select(c.CHECKS)
    return f"({per_second(failed, by)} or 0 * {per_second(every, by)}) / {per_second(every, by)}"


def flags_by_category(at: Scope) -> str:
    """Flagged categories a second."""
    return per_second(at.select(c.FLAGS), f"{names.field(c.CATEGORY)}, {names.field(c.DIRECTION)}")


def _leg(direction: str) -> tuple[Match, Match]:
    # Dashboard variables, so that one panel serves each direction and any choice of categories.
    return equal(c.DIRECTION, direction), Match(c.CATEGORY, "=~", "$category")


def score_quantile(at: Scope, quantile: float, direction: str) -> str:
    """A quantile of the moderation scores of one direction, by category (0 to 1)."""
    buckets = at.select(c.MODERATION_SCORE, *_leg(direction), part="_bucket")
    return f"histogram_quantile({quantile}, {per_second(buckets, f'{names.field(c.CATEGORY)}, le')})"


def score_heatmap(at: Scope, direction: str) -> str:
    """Scores of one direction by bucket."""
    buckets = at.select(c.MODERATION_SCORE, *_leg(direction), part="_bucket")
    return f"sum by (le) (increase({buckets}[{RATE}]))"


def score_mean(at: Scope, direction: str) -> str:
    """Mean score of one direction by category (0 to 1)."""
    by = names.field(c.CATEGORY)
    parts = [at.select(c.MODERATION_SCORE, *_leg(direction), part=part) for part in ("_sum", "_count")]
    return f"{total(parts[0], RANGE, by)} / ({total(parts[1], RANGE, by)} > 0)"


# --- notices -----------------------------------------------------------------------------------------------


def _deadlines(at: Scope) -> str:
    return at.select(c.DEADLINE, one_of(c.NOTICE_TYPE, "warning", "deactivation"))


def open_notices(at: Scope) -> str:
    """How many notices are open; nothing at all where no webhook receiver reports."""
    by = f"{BY}, {names.field(c.NOTICE_TYPE)}, {names.field(c.NOTICE_SUBJECT)}"
    reporting = f"0 * count({at.select(c.WEBHOOKS)})"
    # Receivers of one service read the same journal: each of them counts every notice.
    return f"sum(max by ({by}) ({at.select(c.NOTICES_OPEN)})) or {reporting}"


def deadline_left(at: Scope) -> str:
    """Seconds until the nearest deadline of an open notice."""
    return f"min({_deadlines(at)} > 0) - time()"


def webhooks_by_result(at: Scope) -> str:
    """Webhook deliveries a second by result."""
    return per_second(at.select(c.WEBHOOKS), names.field(c.RESULT))


# --- pipeline ----------------------------------------------------------------------------------------------


def dropped(at: Scope) -> str:
    """Items dropped in the instrumented processes, by signal and reason."""
    return per_second(at.select(c.DROPPED), f"{names.field(c.SIGNAL)}, {names.field(c.REASON)}")


def versions(at: Scope) -> str:
    """Processes by service, package versions, key and hook state."""
    labels = ", ".join(names.field(name) for name in c.INFO.labels)
    return f"count by ({BY}, {labels}) ({at.select(c.INFO)})"


def suspensions_age(at: Scope) -> str:
    """Seconds since the suspension list was last read, the worst process of each service."""
    return f"max by ({names.SERVICE}) ({at.select(c.SUSPENSIONS_AGE)})"


def queue_fill(at: Scope) -> str:
    """How full the collector's queues are (0 to 1), by exporter."""
    size, capacity = at.foreign(names.QUEUE_SIZE), at.foreign(names.QUEUE_CAPACITY)
    return f"max by (job, exporter) ({size} / {capacity})"


def collector_items(at: Scope, table: dict[str, str], item: str) -> str:
    """Items a second through the collector, by collector."""
    return f"sum by (job) (rate({at.foreign(table[item])}[{RATE}]))"


def collector_memory(at: Scope) -> str:
    """Resident memory of each collector in bytes."""
    return f"max by (job, instance) ({at.foreign(names.MEMORY)})"
