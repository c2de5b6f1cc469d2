"""Safety overview: is the organisation in danger and until when, because of whom, and can that be believed."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders.common import VizTextDisplayOptions
from grafana_foundation_sdk.models.common import VizOrientation
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from grafana import colours, columns, frame, names, tables
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana.boards import trust
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
2. **Stop the harm:** `openai-safety queue`, worst first; then `decide IDENT --action suspend`.
3. **Answer OpenAI** with the case, then `openai-safety notice close CASE`.
4. **Never rotate** keys, accounts or identifiers.

[The four steps]({RUNBOOK}#the-four-steps) · [the warning]({RUNBOOK}#safetynoticeopen)
"""
_ABOUT: Final = """\
Counted here: calls made through the OpenAI SDK in processes that carry the instrumentation. **Not seen from
here**, and never shown as 0:

* browsers and phones that talk to OpenAI with a Realtime client secret (compare issued with seen);
* Batch jobs (`openai-safety batch results`), the Playground, ChatGPT workspaces;
* services in other languages, or without this package; a leaked key.

OpenAI's own Safety Usage dashboard shows blocked Responses requests by identifier: a block there with no line
here came through one of these doors.
"""
_ALL: Final = ("now", "day ago", "week ago")


def _minute() -> frame.Row:
    causes = {
        field(c.USER_HASH): columns.WHO,
        tables.VALUE: Column("Of all blocks", unit="percentunit", width=125, decimals=0),
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
                "Of the last 15 days: what OpenAI sent, or somebody entered from a mail. The case leads to its line.",
                events(q.notices(HERE), max_lines=50),
                columns.NOTICE,
                no_value="no notice in 15 days",
            ).time_from("15d"),
            width=10,
        ),
        panel(
            6, p.alert_list("Alerts", "Pages and tickets that fire now; each leads to the runbook."), width=5
        ),
    )


def _who() -> frame.Row:
    key = {
        names.SERVICE: Column("Service"),
        field(c.API_KEY_ID): Column("API key"),
        tables.VALUE: Column("Blocked", unit="percentunit", width=90, decimals=1),
    }
    waits = {
        field(c.USER_HASH): columns.WHO,
        field(c.REQUEST_MODEL): Column("Model"),
        tables.VALUE: Column("Wait", unit="s", width=70),
    }
    return row(
        19,
        "Who causes it?",
        9,
        panel(
            20,
            tables.listing(
                "Most enforcement blocks",
                "The ten identifiers with most enforcement blocks in this range.",
                events(q.top_by_blocks(HERE), instant=True),
                columns={field(c.USER_HASH): columns.WHO, tables.VALUE: Column("Blocks", "short", width=90)},
            ),
            width=6,
        ),
        panel(
            21,
            tables.listing(
                "Most flagged inputs",
                "The ten identifiers with most flagged inputs in this range.",
                events(q.top_by_flags(HERE, "input"), instant=True),
                columns={field(c.USER_HASH): columns.WHO, tables.VALUE: Column("Flagged", "short", width=90)},
            ),
            width=6,
        ),
        panel(
            18,
            tables.listing(
                "Possible holds",
                "In the last hour: identifiers whose streams wait over 5 s and three times as long as their "
                "model's usual: OpenAI may be checking them more closely. A guess, from at least 5 streams.",
                events(q.possible_holds(HERE, q.AUTO), instant=True),
                columns=waits,
                no_value="none in the last hour",
            ).time_from("1h"),
            width=6,
        ),
        panel(
            22,
            tables.listing(
                "API keys",
                "In the last hour: share of each key's calls that enforcement blocked; keys are keyed hashes.",
                events(q.api_key_block_share(HERE, q.AUTO), instant=True),
                columns=key,
                no_value="none in the last hour",
            ).time_from("1h"),
            width=6,
        ),
    )


def _rules() -> frame.Row:
    by_rule = {
        field(c.BLOCK_CLASS): Column("Kind", words=True),
        field(c.BLOCK_TYPE): Column("Rule", width=150),
        field(c.API): Column("API", width=95),
        tables.VALUE: Column("Calls", unit="short", width=80),
    }
    return row(
        15,
        "Which rule, which door, which category?",
        9,
        panel(
            9,
            tables.listing(
                "Stopped calls by rule and API",
                "Enforcement moves the organisation's standing; filters and local suspensions never do.",
                events(q.blocks_by_type_and_api(HERE), instant=True),
                columns=by_rule,
            ),
            width=9,
        ),
        panel(
            16,
            p.bars(
                "Flagged by category",
                "Flagged calls, input or output, each category by itself.",
                events(q.flagged_categories(HERE), instant=True),
                rows=True,
                decimals=0,
                no_value="none in this range",
                link_to=frame.runbook("FlaggedShareUp"),
            ),
            width=8,
        ),
        panel(
            17,
            p.graph(
                "Refusals by API",
                "Calls in which the model refused; as a share of all calls on the dashboard Moderation.",
                events(q.refusals_by_api(HERE), "{{openai_safety_api}}"),
                bars=True,
                known=c.APIS,
                link_to=frame.runbook("RefusalShareUp"),
            ),
            width=7,
        ),
    )


def _coverage() -> frame.Row:
    why = {
        field(c.API): Column("API"),
        field(c.IDENTIFIER_SOURCE): Column("From"),
        field(c.IDENTIFIER_DELIVERY): Column("Delivery"),
        tables.VALUE: Column("Calls", unit="short", width=80, decimals=0),
    }
    covered = {names.SERVICE: Column("Service")} | {
        f"{tables.VALUE} #{ref}": Column(said, unit="percentunit", width=85, decimals=1)
        for ref, said in zip("ABC", _ALL, strict=True)
    }
    return row(
        11,
        "Which calls carry no identifier, and why?",
        8,
        panel(
            12,
            tables.listing(
                "Coverage by service",
                "Share of calls that carried an identifier, of those that had to: now, a day and a week before.",
                *(
                    metric(m.known(m.coverage(HERE, m.RANGE, names.SERVICE, ago)), as_table=True)
                    for ago in ("", "1d", "7d")
                ),
                columns=covered,
                no_value=p.UNSEEN,
            ),
            width=8,
        ),
        panel(
            13,
            tables.listing(
                "Calls without identifier",
                "By where the identifier came from and why it was not sent. Absent: nobody said who the "
                "user is; withheld: no key, or injection off. Calls that were never sent do not count.",
                metric(m.not_sent_by_cause(HERE, m.RANGE), as_table=True),
                columns=why,
            ),
            width=8,
        ),
        panel(
            14,
            p.graph(
                "Identifier problems",
                "Calls whose identifier went wrong, by reason; all kinds of traffic.",
                metric(m.identifier_problems(HERE), "{{openai_safety_reason}}"),
                bars=True,
                no_value=p.UNSEEN,
                link_to=frame.runbook("RawIdentifierSuspected"),
            ),
            width=8,
        ),
    )


def _doors() -> frame.Row:
    return row(
        23,
        "What cannot be seen from here?",
        11,
        panel(
            24,
            p.bars(
                "Calls by door",
                "Calls recorded at each API. A door without series is not seen from here: not 0.",
                metric(m.calls_by_door(HERE), "{{openai_safety_api}}", instant=True),
                decimals=0,
            ),
            width=8,
        ),
        panel(
            25,
            p.number(
                "Secrets issued",
                "Client secrets issued by our servers: each lets a browser talk to OpenAI directly.",
                metric(m.secrets_issued(HERE), instant=True),
                decimals=0,
            ),
            width=4,
        ),
        panel(
            26,
            p.number(
                "Sockets seen",
                "Realtime, Live and Responses sockets that ran through instrumented processes.",
                metric(m.sessions_observed(HERE), instant=True),
                decimals=0,
            ),
            width=4,
        ),
        panel(27, p.note("What cannot be seen", "The limits of these numbers.", _ABOUT), width=8),
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
        (_minute(), _worse(), trust.row(38, 5), _happened(), _who(), _rules(), _coverage(), _doors()),
        "now-24h",
    )
