"""Safety overview: is the organisation in danger and until when, because of whom, and can that be believed."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders.common import VizTextDisplayOptions
from grafana_foundation_sdk.models.common import VizOrientation
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana import colours, columns, frame, tables
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana.boards import details, trust
from grafana.frame import panel, row
from grafana.names import field
from grafana.rules import RUNBOOK
from grafana.scope import DASHBOARD as HERE
from grafana.tables import Column
from grafana.targets import events, metric
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.operations.page.kinds import KINDS, STANDING

_STANDING: Final = {
    str(m.CALM): (STANDING["calm"], colours.CALM),
    str(m.ABOUT_SOMEBODY): (STANDING["somebody"], colours.TODAY),
    str(m.WARNED): (STANDING["warned"], colours.NOW),
    str(m.OVERDUE): (STANDING["overdue"], KINDS["organization"].dark),
    str(m.DEACTIVATED): (STANDING["deactivated"], KINDS["organization"].dark),
}
_CLOCK: Final = "time:DD MMM HH:mm"
_HOURS: Final = ((None, colours.NOW), (86_400, colours.TODAY), (259_200, colours.CALM))
_DO: Final = f"""\
1. **Who?** Click the identifier on the left.
2. **Stop the harm:** `openai-safety queue`, worst first; suspend or filter them.
3. **Answer OpenAI** with the case, then close the notice.
4. **Never rotate** keys, accounts or identifiers.

[The four steps, with their commands]({RUNBOOK}#the-four-steps) · [the warning]({RUNBOOK}#safetynoticeopen)
"""
_ALL: Final = ("now", "day ago", "week ago")


def _minute() -> frame.Row:
    causes = {
        field(c.USER_HASH): columns.WHO,
        tables.VALUE: Column("Of enforcement", unit="percentunit", width=125, decimals=0),
    }
    return row(
        1,
        "If you have one minute",
        7,
        panel(
            31,
            p.number(
                "Are we in danger?",
                "The worst open notice: deactivated, overdue, warned, about an end user, or none.",
                metric(m.danger(HERE), instant=True),
                words=_STANDING,
                no_value="not known: no receiver reports",
                link_to=frame.runbook("SafetyNoticeOpen"),
            ),
            width=5,
        ),
        panel(
            3,
            p.number(
                "Until when?",
                "The nearest deadline of an open warning. Red: under a day, or passed; orange: under three.",
                metric(m.deadline_left(HERE), instant=True),
                metric(m.overdue(HERE), instant=True),
                metric(f"1000 * {m.deadline(HERE)}", instant=True),
                unit="dtdurations",
                steps=_HOURS,
                no_value="no deadline",
                calm_without=True,
                named=("left", "overdue by", "by"),
                compared=False,
                link_to=frame.runbook("SafetyNoticeDueSoon"),
            )
            .orientation(VizOrientation.HORIZONTAL)
            .text(VizTextDisplayOptions().title_size(14).value_size(24))
            .override_by_query("B", [colours.painted(KINDS["organization"].dark)])
            .override_by_query("C", [colours.painted(colours.CALM), DynamicConfigValue("unit", _CLOCK)]),
            width=5,
        ),
        panel(
            32,
            tables.listing(
                "Because of whom?",
                "The identifiers with most enforcement blocks in this range, as their share of all.",
                events(q.share_of_blocks(HERE, 4), instant=True),
                columns=causes,
                no_value="nobody: no enforcement block in this range",
            ),
            width=7,
        ),
        panel(33, p.note("What to do", "The runbook's four steps, in short.", _DO), width=7),
    )


def _worse() -> frame.Row:
    def both(make: Any) -> tuple[Any, ...]:
        return (
            events(make(HERE)),
            events(make(HERE, q.before("1d")), instant=True),
            events(make(HERE, q.before("7d")), instant=True),
        )

    signals = (
        (
            4,
            "Enforcement",
            "Calls stopped by OpenAI's enforcement: what moves the organisation towards a warning.",
            q.enforcement_blocks,
            colours.BAD_FROM_ONE,
            "EnforcementBlockSpike",
        ),
        (
            34,
            "Content filter",
            "Calls that a content filter stopped. They count against nobody.",
            q.filtered,
            colours.PLAIN,
            None,
        ),
        (35, "Refused", "Calls in which the model refused.", q.refused, colours.PLAIN, "RefusalShareUp"),
        (
            36,
            "Flagged",
            "Calls whose input or output moderation flagged.",
            q.flagged,
            colours.PLAIN,
            "FlaggedShareUp",
        ),
    )
    made = [
        panel(
            number,
            p.trend(
                title,
                f"{about} Beside it: the same span a day and a week before.",
                *both(make),
                named=_ALL,
                steps=steps,
                no_value="none in this range",
                link_to=frame.runbook(alert) if alert else None,
            ),
            width=6,
        )
        for number, title, about, make, steps, alert in signals
    ]
    return row(37, "Is it worse than yesterday?", 5, *made)


def _happened() -> frame.Row:
    return row(
        7,
        "What happened, and what fires",
        8,
        panel(
            8,
            p.graph(
                "Calls that were not simply completed",
                "By kind, the worst at the bottom; lines mark notices, decisions and releases of this package.",
                events(q.troubled_by_kind(HERE), "{{kind}}"),
                bars=True,
                kinds=True,
                link_to=frame.runbook("EnforcementBlockSpike"),
            ),
            width=9,
        ),
        panel(
            10,
            tables.log_table(
                "Notices",
                "Of the last 15 days: what OpenAI sent, or somebody entered from a mail. The case leads to its line. "
                "One whose case is not read is possibly ours, the organisation's.",
                events(q.notices_and_whose(HERE, frame.IDENTIFIER, frame.OVERVIEW), max_lines=50),
                columns.NOTICE_AND_WHOSE,
                no_value="no notice in 15 days",
            ).time_from("15d"),
            width=10,
        ),
        panel(
            6, p.alert_list("Alerts", "Pages and tickets that fire now; each leads to the runbook."), width=5
        ),
    )


def build() -> Any:
    """The dashboard."""
    variables = [
        frame.source("prometheus"),
        frame.source("loki"),
        *frame.process_variables(),
        frame.traffic(),
    ]
    return frame.board(
        frame.OVERVIEW,
        "Safety overview",
        "OpenAI safety: is the organisation in danger, until when, because of whom, and can that be believed.",
        variables,
        (_minute(), _worse(), trust.row(38, 5), _happened(), *details.rows()),
        "now-24h",
    )
