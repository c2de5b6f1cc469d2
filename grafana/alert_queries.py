"""The conditions of the alerts on metrics, where they are more than one query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana import metric_queries as m
from grafana import names
from grafana.names import BY
from grafana.scope import ALERT, equal, one_of
from openai_safety_otel import conventions as c

AT_LEAST = 20  # events under which a share or a spike says nothing
COVERAGE = 0.999
COVERAGE_CALLS = 100


@dataclass(frozen=True, slots=True)
class Record:
    """A series computed ahead, so that a week of it can be compared cheaply."""

    name: str
    expr: str


_ENFORCED = ALERT.select(c.BLOCKS, equal(c.BLOCK_CLASS, "enforcement"))
_FLAGGED = ALERT.select(c.CHECKS, equal(c.RESULT, "flagged"))
_JUDGED = ALERT.select(c.CHECKS, one_of(c.RESULT, "passed", "flagged"))
_REFUSED = ALERT.select(c.CALLS, equal(c.OUTCOME, "refused"))
_REAL_CHECKS = m.but_unreal(c.CHECKS)


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
    _share(REFUSED_1H, m.total(ALERT.select(c.CALLS), "1h")),
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


def _deadline(*types: str) -> str:
    # The last value within 10 minutes: a receiver that restarts must not resolve the alert.
    return f"last_over_time({ALERT.select(c.DEADLINE, one_of(c.NOTICE_TYPE, *types))}[10m]) > 0"


_NOTICE_BY = f"{BY}, {names.field(c.NOTICE_TYPE)}"
HOURS_LEFT = f"(min by ({_NOTICE_BY}) ({_deadline('warning', 'deactivation')}) - time()) / 3600"


def misalignment() -> str:
    """A misalignment alert by webhook, or a call stopped for it."""
    alerts = ALERT.select(c.NOTICES, one_of(c.NOTICE_TYPE, "alert", "org_alert"))
    blocks = ALERT.select(c.BLOCKS, equal(c.BLOCK_TYPE, "misalignment"))
    return f"{m.first(alerts, BY)}\nor {m.first(blocks, BY)}"


def coverage_low() -> str:
    """Coverage under target, of enough calls that needed an identifier."""
    return (
        f"{m.coverage(ALERT, '1h', BY)} < {COVERAGE}\nand {m.expected_calls(ALERT, '1h')} >= {COVERAGE_CALLS}"
    )


def largest_cause() -> str:
    """A template that asks Prometheus for the largest cause, within the alert's own service."""
    fields = [names.field(name) for name in (c.API, c.IDENTIFIER_SOURCE, c.IDENTIFIER_DELIVERY)]
    selector = ALERT.select(c.CALLS, *m.NOT_SENT)
    place = ", ".join(f"{label}='%s'" for label in BY.split(", "))
    quoted = selector.replace('"', "'").removesuffix("}") + f", {place}}}"
    query = f"topk(1, sum by ({', '.join(fields)}) (increase({quoted}[1h])))"
    said = "{{ .Labels.%s }}: identifier {{ .Labels.%s }}, delivery {{ .Labels.%s }}" % tuple(fields)  # noqa: UP031
    return (
        f'{{{{ range printf "{query}" $labels.service_name $labels.deployment_environment_name | query }}}}'
        f'{said} ({{{{ .Value | printf "%.0f" }}}} calls){{{{ end }}}}'
    )


def silent() -> str:
    """Hook failed; or a service that ran most of the day reports no more; or its calls stopped."""
    info, calls = ALERT.select(c.INFO), ALERT.select(c.CALLS)
    failed = ALERT.select(c.INFO, one_of(c.HOOK_STATE, "failed", "removed"))
    causes = {
        "hook failed or removed": f"group by ({BY}) ({failed})",
        "reports no more": (
            f"count_over_time(group by ({BY}) ({info})[1d:10m]) > 72\nunless group by ({BY}) ({info})"
        ),
        "no calls, unlike yesterday": (
            f"(\n  sum by ({BY}) (increase({calls}[1h] offset 1d)) >= {AT_LEAST}\n"
            f"  and group by ({BY}) ({info})\n)\n"
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
    seen = f'last_over_time({names.series(c.INFO)}{{{key}!=""}}[1d]){m.but_unreal(c.INFO)}'
    return f"count by ({BY}) (group by ({BY}, {key}) ({seen})) > 1"


def under_warning() -> str:
    """Enforcement blocks while the gauge of a warning is there."""
    return f"{m.first(_ENFORCED, BY)}\nand on () (max({_deadline('warning')}) > 0)"


def check_errors() -> str:
    """Share of failed moderation checks, of enough checks."""
    failed = m.total(ALERT.select(c.CHECKS, equal(c.RESULT, "error")), "1h", but=_REAL_CHECKS)
    every = m.total(ALERT.select(c.CHECKS), "1h", but=_REAL_CHECKS)
    return f"{failed} / {every} > 0.05\nand {failed} >= {AT_LEAST}"


def raw() -> str:
    """Identifiers that look like personal data."""
    selector = ALERT.select(c.PROBLEMS, equal(c.REASON, "raw_suspected"))
    return m.first(selector, BY, but=m.but_unreal(c.PROBLEMS))
