"""Safety overview: where the organisation stands, who causes it, and what cannot be seen from here."""

from __future__ import annotations

from typing import Any

from grafana import frame, names
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana.scope import DASHBOARD as HERE
from grafana.targets import events, metric
from openai_safety_otel.contract import conventions as c

_WHO = p.Column("Identifier", links=(frame.TO_IDENTIFIER,))
_ABOUT = """\
Counted here: calls made through the OpenAI SDK in processes that carry the instrumentation. **Not seen from
here**, and never shown as 0:

* browsers and phones that talk to OpenAI with a Realtime client secret (compare issued with seen);
* Batch jobs (`openai-safety batch results` records their lines), the Playground, ChatGPT workspaces;
* services in other languages, or without this package; other people's use of a leaked key.

OpenAI's own Safety Usage dashboard shows blocked Responses requests by identifier: compare it with *Top
identifiers*. A block there with no line here came through one of these doors.
"""


def _ladder() -> frame.Row:
    days = ((None, p.GREEN), (0, p.RED), (86_400, p.ORANGE))
    return (
        "The organisation's ladder",
        (
            (
                p.number(
                    "Open notices",
                    "Notices of any kind that nobody has closed. Without a webhook receiver nothing is known.",
                    metric(m.open_notices(HERE), instant=True),
                    steps=p.BAD_FROM_ONE,
                    no_value="no receiver reports",
                    link=frame.runbook("safetynoticeopen"),
                ),
                4,
            ),
            (
                p.number(
                    "Time to the nearest deadline",
                    "Until the deadline of the oldest open warning or deactivation. Negative: it has passed.",
                    metric(m.deadline_left(HERE), instant=True),
                    unit="dtdurations",
                    steps=days,
                    no_value="no open notice",
                    link=frame.runbook("safetynoticeduesoon"),
                ),
                4,
            ),
            (
                p.number(
                    "Enforcement blocks",
                    "Calls stopped by OpenAI's enforcement in this range: what moves the ladder.",
                    events(q.enforcement_blocks(HERE), instant=True),
                    steps=p.BAD_FROM_ONE,
                    no_value="none recorded",
                    link=frame.runbook("enforcementblockspike"),
                ),
                4,
            ),
            (
                p.number(
                    "Coverage",
                    "Share of calls that carried an identifier, of those that had to. Target: 99.9 %.",
                    metric(m.coverage(HERE, m.RANGE), instant=True),
                    unit="percentunit",
                    decimals=2,
                    steps=((None, p.RED), (0.99, p.ORANGE), (0.999, p.GREEN)),
                    link=frame.runbook("coveragelow"),
                ),
                4,
            ),
            (p.alert_list("Alerts", "Pages and tickets that fire now, of the rules in grafana/alerts."), 8),
        ),
        6,
    )


def _blocks() -> frame.Row:
    by_rule = {
        names.field(c.BLOCK_CLASS): p.Column("Class"),
        names.field(c.BLOCK_TYPE): p.Column("Type"),
        names.field(c.API): p.Column("API"),
        p.VALUE: p.Column("Calls", unit="short"),
    }
    return (
        "Blocks and notices",
        (
            (
                p.graph(
                    "Blocked calls by class",
                    "Enforcement moves the ladder; filters and local suspensions never do.",
                    events(q.blocks_by_class(HERE), "{{openai_safety_block_class}}"),
                    bars=True,
                    link=frame.runbook("enforcementblockspike"),
                ),
                8,
            ),
            (
                p.listing(
                    "Blocks by type and API",
                    "Which rule stopped calls, and at which door.",
                    events(q.blocks_by_type_and_api(HERE), instant=True),
                    by_rule,
                ),
                8,
            ),
            (
                p.lines(
                    "Notices",
                    "What OpenAI sent, or somebody entered from a mail. Open one for its case and reason.",
                    events(q.notices(HERE), max_lines=50),
                ),
                8,
            ),
        ),
        8,
    )


def _coverage() -> frame.Row:
    why = {
        names.field(c.API): p.Column("API"),
        names.field(c.IDENTIFIER_SOURCE): p.Column("Identifier from"),
        names.field(c.IDENTIFIER_DELIVERY): p.Column("Delivery"),
        p.VALUE: p.Column("Calls", unit="short"),
    }
    return (
        "Coverage and its causes",
        (
            (
                p.graph(
                    "Coverage by service",
                    "Share of calls that carried an identifier, of those that had to.",
                    metric(m.coverage(HERE, m.RATE, names.SERVICE), "{{service_name}}"),
                    unit="percentunit",
                    most=1,
                    link=frame.runbook("coveragelow"),
                ),
                8,
            ),
            (
                p.listing(
                    "Calls without identifier",
                    "By where the identifier came from and why it was not sent. Absent: nobody said who the "
                    "user is; withheld: no key, or injection off. Calls that were never sent do not count.",
                    metric(m.not_sent_by_cause(HERE, m.RANGE), as_table=True),
                    why,
                ),
                8,
            ),
            (
                p.graph(
                    "Identifier problems",
                    "Calls a second whose identifier went wrong, by reason; all kinds of traffic.",
                    metric(m.identifier_problems(HERE), "{{openai_safety_reason}}"),
                    unit="cps",
                    link=frame.runbook("rawidentifiersuspected"),
                ),
                8,
            ),
        ),
        8,
    )


def _flags() -> frame.Row:
    flagged = [
        events(q.flagged_by_category(HERE, d), f"{d} {{{{{names.field(c.FLAGGED_CATEGORIES[d])}}}}}")
        for d in c.DIRECTIONS
    ]
    waits = {
        names.field(c.USER_HASH): _WHO,
        names.field(c.REQUEST_MODEL): p.Column("Model"),
        p.VALUE: p.Column("Median wait", unit="s"),
    }
    return (
        "Flags, refusals, holds",
        (
            (
                p.graph(
                    "Flagged by category",
                    "Flagged calls, by direction and the set of categories flagged together.",
                    *flagged,
                    bars=True,
                    link=frame.runbook("flaggedshareup"),
                ),
                8,
            ),
            (
                p.graph(
                    "Refusals by API",
                    "Calls in which the model refused; as a share of all calls on the dashboard Moderation.",
                    events(q.refusals_by_api(HERE), "{{openai_safety_api}}"),
                    bars=True,
                    link=frame.runbook("refusalshareup"),
                ),
                8,
            ),
            (
                p.listing(
                    "Possible holds (last hour)",
                    "Identifiers whose streams wait over 5 s and three times as long as their model's usual: "
                    "OpenAI may be checking them more closely. A guess, from at least 5 streams.",
                    events(q.possible_holds(HERE, q.AUTO), instant=True),
                    waits,
                ).time_from("1h"),
                8,
            ),
        ),
        8,
    )


def _who() -> frame.Row:
    key = {
        names.SERVICE: p.Column("Service"),
        names.field(c.API_KEY_ID): p.Column("API key"),
        p.VALUE: p.Column("Blocked share", unit="percentunit"),
    }
    ranked = {names.field(c.USER_HASH): _WHO}
    return (
        "Who",
        (
            (
                p.listing(
                    "Top identifiers by enforcement blocks",
                    "The ten identifiers with most enforcement blocks in this range.",
                    events(q.top_by_blocks(HERE), instant=True),
                    {**ranked, p.VALUE: p.Column("Blocks", unit="short", width=90)},
                ),
                8,
            ),
            (
                p.listing(
                    "Top identifiers by flagged input",
                    "The ten identifiers with most flagged inputs in this range.",
                    events(q.top_by_flags(HERE, "input"), instant=True),
                    {**ranked, p.VALUE: p.Column("Flagged", unit="short", width=90)},
                ),
                8,
            ),
            (
                p.listing(
                    "API keys by blocked share (last hour)",
                    "Share of each key's calls that enforcement blocked; keys are short keyed hashes.",
                    events(q.api_key_block_share(HERE, q.AUTO), instant=True),
                    key,
                ).time_from("1h"),
                8,
            ),
        ),
        9,
    )


def _doors() -> frame.Row:
    return (
        "Doors",
        (
            (
                p.bars(
                    "Calls by door",
                    "Calls recorded at each API. A door without series is not seen from here: not 0.",
                    metric(m.calls_by_door(HERE), "{{openai_safety_api}}", instant=True),
                ),
                8,
            ),
            (
                p.number(
                    "Realtime secrets issued",
                    "Client secrets issued by our servers: each lets a browser talk to OpenAI directly.",
                    metric(m.secrets_issued(HERE), instant=True),
                    decimals=0,
                ),
                4,
            ),
            (
                p.number(
                    "Socket sessions seen",
                    "Realtime, Live and Responses sockets that ran through instrumented processes.",
                    metric(m.sessions_observed(HERE), instant=True),
                    decimals=0,
                ),
                4,
            ),
            (p.note("What cannot be seen from here", "The limits of these numbers.", _ABOUT), 8),
        ),
        9,
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
        "OpenAI safety: notices and deadlines, blocks, coverage, flags, and who causes them.",
        variables,
        (_ladder(), _blocks(), _coverage(), _flags(), _who(), _doors()),
        "now-24h",
    )
