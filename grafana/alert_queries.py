"""The conditions of the alerts on metrics, where they are more than one query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana import metric_queries as m
from grafana import names
from grafana import pipeline_queries as pipe
from grafana.names import BY
from grafana.scope import ALERT, Scope, equal, none_of, one_of
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary

AT_LEAST = 20  # events under which a share or a spike says nothing
COVERAGE = 0.999
COVERAGE_CALLS = 100


@dataclass(frozen=True, slots=True)
class Record:
    """A series computed ahead, so that a week of it can be compared cheaply."""

    name: str
    expr: str


_ENFORCED = ALERT.select(instruments.BLOCKS, equal(c.BLOCK_CLASS, "enforcement"))
_FLAGGED = ALERT.select(instruments.CHECKS, equal(c.RESULT, "flagged"))
_JUDGED = ALERT.select(instruments.CHECKS, one_of(c.RESULT, "passed", "flagged"))
_REFUSED = ALERT.select(instruments.CALLS, equal(c.OUTCOME, "refused"))
_REAL_CHECKS = m.but_unreal(instruments.CHECKS)


def _share(part: str, whole: str) -> str:
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


FLAGGED_1H = m.total(_FLAGGED, "1h", but=_REAL_CHECKS)
_JUDGED_1H = m.total(_JUDGED, "1h", but=_REAL_CHECKS)
REFUSED_1H = m.total(_REFUSED, "1h")

BLOCKS_1H = Record(
    "service_environment:openai_safety_blocks_enforcement:increase1h", m.total(_ENFORCED, "1h")
)
FLAGGED_SHARE = Record(
    "service_environment:openai_safety_moderation_flagged:ratio1h", _share(FLAGGED_1H, _JUDGED_1H)
)
REFUSED_SHARE = Record(
    "service_environment:openai_safety_calls_refused:ratio1h",
    _share(REFUSED_1H, m.total(ALERT.select(instruments.CALLS), "1h")),
)
RECORDS: Final = (BLOCKS_1H, FLAGGED_SHARE, REFUSED_SHARE)


def week(record: Record) -> str:
    """The median of the 7 days before the last hour."""
    return f"quantile_over_time(0.5, {record.name}[7d] offset 1h)"


def share_up(record: Record, events: str) -> str:
    """A share far over its own week, of enough events."""
    return f"{record.name} > 3 * {week(record)}\nand {events} >= {AT_LEAST}"


def spike() -> str:
    """Enforcement blocks far over their own week; a service that had none at all counts as 0."""
    usual = f"({week(BLOCKS_1H)} or 0 * {BLOCKS_1H.name})"
    return f"{BLOCKS_1H.name} > 3 * {usual}\nand {BLOCKS_1H.name} >= {AT_LEAST}"


def lost(selector: str, by: str) -> str:
    """Series seen in the last day and not now."""
    return f"group by ({by}) (last_over_time({selector}[1d]))\nunless group by ({by}) ({selector})"


# --- notices -----------------------------------------------------------------------------------------------

_NOTICE_BY = f"{BY}, {names.field(c.NOTICE_TYPE)}, {names.field(c.NOTICE_SUBJECT)}"
_RECEIVER = names.series(instruments.WEBHOOKS)
REMEMBERED = "14d"  # how long a dead receiver's open notice stays open


def held(selector: str) -> str:
    """A receiver's gauge; of a service without any living receiver, the last value it told."""
    last = f"last_over_time({selector}[{REMEMBERED}]) unless on ({BY}) last_over_time({_RECEIVER}[10m])"
    return f"(last_over_time({selector}[10m]) or ({last}))"


def _still_open(at: Scope, *types: str) -> str:
    which = (one_of(c.NOTICE_TYPE, *types),) if types else ()
    return f"max by ({_NOTICE_BY}) {held(at.select(instruments.NOTICES_OPEN, *which))}"


def deadlines(at: Scope) -> str:
    """Earliest deadline by service and type; a deactivation has none: it is a fact, not a date."""
    dated = held(at.select(instruments.DEADLINE, none_of(c.NOTICE_TYPE, "deactivation")))
    return f"(min by ({_NOTICE_BY}) {dated} > 0 unless {_still_open(at)} == 0)"


def notices_open(at: Scope) -> str:
    """How many notices are open, by type; a receiver that only tells a deadline has at least one."""
    told = held(at.select(instruments.DEADLINE))
    return f"{_still_open(at)} > 0\nor max by ({_NOTICE_BY}) (0 * {told} + 1) unless {_still_open(at)} == 0"


def hours_left() -> str:
    """Hours to the earliest deadline, by service and type."""
    return f"({deadlines(ALERT)} - time()) / 3600"


def notices_received() -> str:
    """Notices counted in the last hours, of a type that has open ones still."""
    counted = m.first(ALERT.select(instruments.NOTICES, one_of(c.NOTICE_TYPE, *NOTICE_TYPES)), _NOTICE_BY)
    return f"{counted}\nunless {_still_open(ALERT)} == 0"


NOTICE_TYPES: Final = ("identifier_blocked", "warning", "deactivation")
MISALIGNED: Final = ("alert", "org_alert")


def misalignment() -> str:
    """A misalignment alert by webhook that nobody has closed, or a call stopped for it."""
    alerts = m.first(ALERT.select(instruments.NOTICES, one_of(c.NOTICE_TYPE, *MISALIGNED)), _NOTICE_BY)
    blocks = ALERT.select(instruments.BLOCKS, equal(c.BLOCK_TYPE, "misalignment"))
    return f"sum by ({BY}) (\n{alerts}\nunless {_still_open(ALERT)} == 0\n)\nor {m.first(blocks, BY)}"


# --- who is there ------------------------------------------------------------------------------------------


def receivers_down() -> str:
    """No receiver of a service reports: one did within a day, or died with a notice open."""
    waiting = ALERT.select(instruments.NOTICES_OPEN)
    return (
        f"(\n  group by ({BY}) (last_over_time({_RECEIVER}[1d]))\n"
        f"  or group by ({BY}) (last_over_time({waiting}[{REMEMBERED}]) > 0)\n)\n"
        f"unless group by ({BY}) ({_RECEIVER})"
    )


def receiver_down() -> str:
    """One receiver of several: it reported within a day and does not now, and fewer report than usual."""
    each = f"group by ({BY}, instance) ({_RECEIVER})"
    usual = f"quantile_over_time(0.9, count by ({BY}) ({each})[1d:5m])"
    return f"{lost(_RECEIVER, f'{BY}, instance')}\nand on ({BY}) count by ({BY}) ({each}) < {usual}"


def collector_down() -> str:
    """One collector: seen within a day and not now, unless Prometheus was told to look there no more."""
    given_up = f"(last_over_time({names.UP}[1d]) unless {names.UP})"
    return f"{lost(names.UPTIME, 'job, instance')}\nunless on (job, instance) {given_up}"


def store_down() -> str:
    """Loki does not answer Prometheus' scrape."""
    return f'{names.UP}{{job="loki"}} == 0'


# --- access ------------------------------------------------------------------------------------------------


def model_out_of_reach() -> str:
    """A model that answered within a day gives access errors only: for everybody, not for one user."""
    by = f"{BY}, {names.field(c.REQUEST_MODEL)}"
    answered = ALERT.select(instruments.CALLS, none_of(c.OUTCOME, "failed", "abandoned", "cancelled"))
    errors = ALERT.select(instruments.ACCESS_ERRORS)
    return (
        f"sum by ({by}) (increase({errors}[15m])) > 2\n"
        f"and sum by ({by}) (increase({answered}[1d] offset 15m)) > 0\n"
        f"unless sum by ({by}) (increase({answered}[15m])) > 0"
    )


def notices_named() -> str:
    """A template that names the kinds of notice open anywhere."""
    kind = names.field(c.NOTICE_TYPE)
    query = notices_open(ALERT).replace("\n", " ").replace('"', "'")
    return (
        f'{{{{ range query "{query}" }}}} Open notice: {{{{ .Labels.{kind} }}}}, '
        "received by {{ .Labels.service_name }}.{{ end }}"
    )


def deadline_named() -> str:
    """A template for the earliest deadline of the alert's own service and type."""
    place = ", ".join(f"{label}='%s'" for label in _NOTICE_BY.split(", "))
    query = f"min(last_over_time({names.series(instruments.DEADLINE)}{{{place}}}[{REMEMBERED}]) > 0)"
    given = " ".join(f"$labels.{label}" for label in _NOTICE_BY.split(", "))
    return (
        f'{{{{ if ne $labels.{names.field(c.NOTICE_TYPE)} "deactivation" }}}}'
        f'{{{{ range printf "{query}" {given} | query }}}}, to be answered by {{{{ .Value | humanizeTimestamp }}}}'
        "{{ end }}{{ end }}"
    )


# --- identity ----------------------------------------------------------------------------------------------


def coverage_low() -> str:
    """Coverage under target, of enough calls that needed an identifier."""
    return (
        f"{m.coverage(ALERT, '1h', BY)} < {COVERAGE}\nand {m.expected_calls(ALERT, '1h')} >= {COVERAGE_CALLS}"
    )


def largest_cause() -> str:
    """A template that asks Prometheus for the largest cause, within the alert's own service."""
    fields = [names.field(name) for name in (c.API, c.IDENTIFIER_SOURCE, c.IDENTIFIER_DELIVERY)]
    selector = ALERT.select(instruments.CALLS, *m.NOT_SENT)
    place = ", ".join(f"{label}='%s'" for label in BY.split(", "))
    quoted = selector.replace('"', "'").removesuffix("}") + f", {place}}}"
    query = f"topk(1, sum by ({', '.join(fields)}) (increase({quoted}[1h])))"
    said = "{{ .Labels.%s }}: identifier {{ .Labels.%s }}, delivery {{ .Labels.%s }}" % tuple(fields)  # noqa: UP031
    return (
        f'{{{{ range printf "{query}" $labels.service_name $labels.deployment_environment_name | query }}}}'
        f'{said} ({{{{ .Value | printf "%.0f" }}}} calls){{{{ end }}}}'
    )


def silent() -> str:
    """Hook failed; or a service that ran most of the day reports no more; or its calls stopped.

    The same hour a week ago is what is usual, so that a business app's weekend is silent; a service younger than a
    week is compared with yesterday.
    """
    info, calls = ALERT.select(instruments.INFO), ALERT.select(instruments.CALLS)
    failed = ALERT.select(instruments.INFO, one_of(c.HOOK_STATE, "failed", "removed"))
    known = f"group by ({BY}) (last_over_time({info}[1d] offset 7d))"
    causes = {
        "hook failed or removed": f"group by ({BY}) ({failed})",
        "reports no more": (
            f"count_over_time(group by ({BY}) ({info})[1d:10m]) > 72\n"
            f"unless group by ({BY}) ({info})\n"
            f"unless ({known} unless group by ({BY}) (last_over_time({info}[1h] offset 7d)))"
        ),
        "no calls, unlike a week or a day ago": (
            f"(\n  {m.total(calls, '1h', offset='7d')} >= {AT_LEAST}\n"
            f"  or ({m.total(calls, '1h', offset='1d')} >= {AT_LEAST} unless {known})\n)\n"
            f"and group by ({BY}) ({info})\n"
            f"unless {m.total(calls, '1h')} > 0"
        ),
    }
    return "\nor ".join(
        f'label_replace(\n{expr},\n"cause", "{cause}", "", ""\n)' for cause, expr in causes.items()
    )


def each_item(table: dict[str, str], by: str) -> str:
    """First occurrences of a collector counter, for log records, spans and metric points."""
    return "\nor ".join(
        f'label_replace({m.first(name, by)}, "item", "{item}", "", "")' for item, name in table.items()
    )


def more_than_one_key() -> str:
    """More than one HMAC key within a day."""
    # Over a day, not at one moment: a deployment that changes the key replaces one series by the other.
    key = names.field(c.IDENTIFIER_KEY_ID)
    seen = (
        f'last_over_time({names.series(instruments.INFO)}{{{key}!=""}}[1d]){m.but_unreal(instruments.INFO)}'
    )
    return f"count by ({BY}) (group by ({BY}, {key}) ({seen})) > 1"


def under_warning() -> str:
    """Enforcement blocks while the gauge of a warning is there."""
    return f"{m.first(_ENFORCED, BY)}\nand on () (max({_still_open(ALERT, 'warning')}) > 0)"


def list_unreadable() -> str:
    """What the last reading of a suspension list found instead of a list."""
    found = ALERT.select(instruments.SUSPENSIONS_STATE, none_of(c.SUSPENSIONS_FOUND, "read"))
    return f"max by ({BY}, {names.field(c.SUSPENSIONS_FOUND)}) ({found}) > 0"


def check_errors() -> str:
    """Share of failed moderation checks, of enough checks."""
    failed = m.total(ALERT.select(instruments.CHECKS, equal(c.RESULT, "error")), "1h", but=_REAL_CHECKS)
    every = m.total(ALERT.select(instruments.CHECKS), "1h", but=_REAL_CHECKS)
    return f"{failed} / {every} > 0.05\nand {failed} >= {AT_LEAST}"


def problem(reason: vocabulary.ProblemReason) -> str:
    """Calls whose identifier went wrong in this way."""
    selector = ALERT.select(instruments.PROBLEMS, equal(c.REASON, reason))
    return m.first(selector, BY, but=m.but_unreal(instruments.PROBLEMS))


def past_the_sdk() -> str:
    """Requests to the provider that no record tells of, by service, host and API."""
    by = f"{BY}, {names.field(c.SERVER_ADDRESS)}, {names.field(c.API)}"
    return m.first(ALERT.select(instruments.UNSEEN), by, but=m.but_unreal(instruments.UNSEEN))


def dark() -> str:
    """Requests in the dark, as the last comparison found them; it may run but once a day."""
    return f"{pipe.compared(ALERT, 'dark', '26h', BY)} > 0"
