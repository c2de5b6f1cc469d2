"""PromQL, one function per question: ``at`` says for whom, ``window`` over how long."""

from __future__ import annotations

from typing import get_args

from grafana import names
from grafana.colours import LEFT, NAMED
from grafana.names import BY
from grafana.scope import Match, Scope, equal, none_of, one_of
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary
from openai_safety_otel.contract.blocks import BlockClass

RATE = "$__rate_interval"
RANGE = "$__range"

_EXPECTED = (
    none_of(c.IDENTIFIER_SOURCE, *vocabulary.UNCOVERED_SOURCES),
    one_of(c.IDENTIFIER_DELIVERY, *vocabulary.COVERED_DELIVERIES),
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


def whole(selector: str, window: str, ago: str = "") -> str:
    """Events in the window, of all series together; ``ago`` shifts it."""
    return f"sum(increase({selector}[{window}]{f' offset {ago}' if ago else ''}))"


def counted(selector: str, by: str) -> str:
    """How often, in each interval of a picture: whole numbers."""
    return f"round(sum by ({by}) (increase({selector}[{RATE}])))"


def known(share: str) -> str:
    """A share only where there is one: of nothing at all it is NaN, which a picture would draw as nothing."""
    return f"{share} >= 0"


def _share(part: str, whole: str) -> str:
    return known(f"{part} / {whole}")


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


def but_unreal(metric: instruments.Metric) -> str:
    """Leaves out processes of red-team and drill traffic, for a metric that carries no such label.

    A process makes one kind of traffic, so that its calls say which it is, also after it has ended.
    """
    if c.TRAFFIC in metric.labels:
        return ""
    unreal = f"{names.series(instruments.CALLS)}{{{one_of(c.TRAFFIC, 'redteam', 'drill')}}}"
    return f" unless on (job, instance) last_over_time({unreal}[{RECENT}])"


# --- coverage ----------------------------------------------------------------------------------------------


def coverage(at: Scope, window: str, by: str = "", ago: str = "") -> str:
    """Share of calls that carried an identifier, of those that had to (0 to 1)."""
    sent, expected = at.select(instruments.CALLS, *SENT), at.select(instruments.CALLS, *_EXPECTED)
    if not by:
        return f"{whole(sent, window, ago)} / {whole(expected, window, ago)}"
    every = total(expected, window, by, offset=ago)
    return f"({total(sent, window, by, offset=ago)} or 0 * {every}) / {every}"


def expected_calls(at: Scope, window: str) -> str:
    """Calls that had to carry an identifier."""
    return total(at.select(instruments.CALLS, *_EXPECTED), window)


def not_sent_by_cause(at: Scope, window: str) -> str:
    """Calls without identifier that needed one, by where it came from and why it was not sent."""
    causes = ", ".join(names.field(name) for name in (c.API, c.IDENTIFIER_SOURCE, c.IDENTIFIER_DELIVERY))
    return f"round({total(at.select(instruments.CALLS, *NOT_SENT), window, causes)}) > 0"


def identifier_problems(at: Scope) -> str:
    """Calls whose identifier went wrong, by reason."""
    return counted(at.select(instruments.PROBLEMS), names.field(c.REASON))


# --- outcomes ----------------------------------------------------------------------------------------------


def kinds(at: Scope) -> dict[str, str]:
    """Calls of each kind: what stopped them by its class, the others by their outcome."""
    found = {kind: at.select(instruments.BLOCKS, equal(c.BLOCK_CLASS, kind)) for kind in get_args(BlockClass)}
    for outcome in ("refused", "failed", "completed"):
        found[outcome] = at.select(instruments.CALLS, equal(c.OUTCOME, outcome))
    found[LEFT] = at.select(instruments.CALLS, one_of(c.OUTCOME, "abandoned", "cancelled"))
    return {kind: f"round({whole(found[kind], RATE)})" for kind in NAMED if kind in found}


def refused_share(at: Scope) -> str:
    """Refused calls as a share of all calls, by API."""
    by = names.field(c.API)
    refused, every = at.select(instruments.CALLS, equal(c.OUTCOME, "refused")), at.select(instruments.CALLS)
    return _share(f"({per_second(refused, by)} or 0 * {per_second(every, by)})", per_second(every, by))


def calls_by_door(at: Scope) -> str:
    """Calls by API, and NaN for each API of which this installation sees nothing."""
    door = names.field(c.API)
    apis = [api for api in vocabulary.APIS if api != vocabulary.OTHER_API]
    unseen = " or ".join(f'label_replace(vector(NaN), "{door}", "{api}", "", "")' for api in apis)
    return f"round({total(at.select(instruments.CALLS), RANGE, door)}) or {unseen}"


def secrets_issued(at: Scope) -> str:
    """Realtime client secrets issued by the product's servers."""
    return f"round({whole(at.select(instruments.CLIENT_SECRETS), RANGE)})"


def sessions_observed(at: Scope) -> str:
    """Socket sessions that ran through instrumented processes."""
    return f"round({whole(at.select(instruments.SESSIONS), RANGE)})"


def first_output_median(at: Scope) -> str:
    """Median time to the first output of streams, by model (seconds)."""
    model = names.field(c.REQUEST_MODEL)
    buckets = at.select(instruments.FIRST_OUTPUT, part="_bucket")
    return f"histogram_quantile(0.5, {per_second(buckets, f'{model}, le')}) >= 0"


# --- moderation --------------------------------------------------------------------------------------------


def checks_by_result(at: Scope) -> str:
    """Moderation checks by direction and result."""
    return counted(at.select(instruments.CHECKS), f"{names.field(c.DIRECTION)}, {names.field(c.RESULT)}")


def flagged_share(at: Scope) -> str:
    """Flagged checks as a share of those that gave a result, by direction."""
    by = names.field(c.DIRECTION)
    flagged = at.select(instruments.CHECKS, equal(c.RESULT, "flagged"))
    judged = at.select(instruments.CHECKS, one_of(c.RESULT, "passed", "flagged"))
    return _share(f"({per_second(flagged, by)} or 0 * {per_second(judged, by)})", per_second(judged, by))


def check_error_share(at: Scope) -> str:
    """Failed checks as a share of all, by direction."""
    by = names.field(c.DIRECTION)
    failed, every = at.select(instruments.CHECKS, equal(c.RESULT, "error")), at.select(instruments.CHECKS)
    return _share(f"({per_second(failed, by)} or 0 * {per_second(every, by)})", per_second(every, by))


def flags_by_direction(at: Scope) -> str:
    """Flagged categories by direction."""
    return counted(at.select(instruments.FLAGS), names.field(c.DIRECTION))


def _leg(direction: str) -> tuple[Match, Match]:
    # Dashboard variables, so that one panel serves each direction and any choice of categories.
    return equal(c.DIRECTION, direction), Match(c.CATEGORY, "=~", "$category")


def score_quantile(at: Scope, quantile: float, direction: str) -> str:
    """A quantile of the moderation scores of one direction over the range, by category (0 to 1)."""
    by = names.field(c.CATEGORY)
    buckets = at.select(instruments.MODERATION_SCORE, *_leg(direction), part="_bucket")
    return f"histogram_quantile({quantile}, {total(buckets, RANGE, f'{by}, le')}) >= 0"


def highest_quantile(at: Scope, quantile: float, direction: str) -> str:
    """That of the category that is highest, over time."""
    by = names.field(c.CATEGORY)
    buckets = at.select(instruments.MODERATION_SCORE, *_leg(direction), part="_bucket")
    return f"max(histogram_quantile({quantile}, {per_second(buckets, f'{by}, le')})) >= 0"


def score_heatmap(at: Scope, direction: str) -> str:
    """Scores of one direction by bucket."""
    buckets = at.select(instruments.MODERATION_SCORE, *_leg(direction), part="_bucket")
    return f"sum by (le) (increase({buckets}[{RATE}]))"


def score_mean(at: Scope, direction: str) -> str:
    """Mean score of one direction by category (0 to 1)."""
    by = names.field(c.CATEGORY)
    parts = [
        at.select(instruments.MODERATION_SCORE, *_leg(direction), part=part) for part in ("_sum", "_count")
    ]
    return f"{total(parts[0], RANGE, by)} / ({total(parts[1], RANGE, by)} > 0)"


# --- notices -----------------------------------------------------------------------------------------------


def _deadlines(at: Scope) -> str:
    return at.select(instruments.DEADLINE, one_of(c.NOTICE_TYPE, "warning", "deactivation"))


def _open(at: Scope, *matches: Match) -> str:
    return f"max by ({names.field(c.NOTICE_TYPE)}) ({at.select(instruments.NOTICES_OPEN, *matches)})"


# What the organisation's standing is worth, and what is said of it.
CALM, ABOUT_SOMEBODY, WARNED, OVERDUE, DEACTIVATED = range(5)


def danger(at: Scope) -> str:
    """Where the organisation stands; nothing at all where no webhook receiver reports."""
    kind = names.field(c.NOTICE_TYPE)
    warned = (equal(c.NOTICE_TYPE, "warning"), none_of(c.NOTICE_SUBJECT, "identifier"))
    # The first of two answers with the same label wins: an overdue warning is not merely a warning.
    due = f"min by ({kind}) ({at.select(instruments.DEADLINE, *warned)} > 0)"
    return (
        f"max(\n"
        f"  {DEACTIVATED} * ({_open(at, equal(c.NOTICE_TYPE, 'deactivation'))} > bool 0)\n"
        f"  or {OVERDUE} + 0 * ({due} < time())\n"
        f"  or {WARNED} * ({_open(at, *warned)} > bool 0)\n"
        f"  or {ABOUT_SOMEBODY} * ({_open(at, none_of(c.NOTICE_TYPE, 'deactivation', 'warning'))} > bool 0)\n"
        f"  or 0 * count({at.select(instruments.WEBHOOKS)})\n"
        f")"
    )


def deadline(at: Scope) -> str:
    """The nearest deadline of an open notice, in Unix seconds."""
    return f"min({_deadlines(at)} > 0)"


def deadline_left(at: Scope) -> str:
    """Seconds to it, while it has not passed."""
    return f"{deadline(at)} - time() > 0"


def overdue(at: Scope) -> str:
    """Seconds since it has passed."""
    return f"time() - {deadline(at)} >= 0"


def receivers(at: Scope) -> str:
    """How many webhook receivers report."""
    return f"count(count by (job, instance) ({at.select(instruments.WEBHOOKS)}))"


def webhooks_by_result(at: Scope) -> str:
    """Webhook deliveries by result."""
    return counted(at.select(instruments.WEBHOOKS), names.field(c.RESULT))
