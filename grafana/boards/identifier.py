"""Identifier: everything stored about one end user's identifier, from the first call to the decision."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard

from grafana import frame, names
from grafana import log_queries as q
from grafana import panels as p
from grafana.scope import DASHBOARD as HERE
from grafana.scope import equal
from grafana.targets import events, explore
from openai_safety_otel.contract import conventions as c

_TO_TRACE = (
    "Trace",
    explore("${tempo_datasource}", {"queryType": "traceql", "query": "${__value.raw}"}),
)
_EVIDENCE = explore(
    "openai-safety-evidence", {"expr": '{openai_safety_stream="evidence"} | user_hash="${identifier}"'}
)
_ABOUT = f"""\
1. **Map** the identifier: `openai-safety whois $identifier --candidates FILE --by YOU --why CASE`
2. **Pull the context**: `openai-safety investigate $identifier --out case.zip --by YOU --why CASE`
3. **Decide**: `openai-safety decide $identifier --action suspend --by YOU --why TEXT`, or `watch`, `filter`,
   `revoke`, `clear`
4. **Never rotate**: a new identifier for the same person is evasion, whoever makes it.

[Evidence]({_EVIDENCE}) (masked text, if it is switched on) is in a data source of its own, which these dashboards
cannot read: only those who decide cases can.
"""


def _numbers() -> frame.Row:
    blocked = (equal(c.OUTCOME, "blocked"),)
    # Only what is not simply completed is read from the small stream.
    seldom = q.SAFETY
    counts = (
        ("Calls", "All its calls in this range.", q.calls_of(HERE), p.PLAIN),
        (
            "Enforcement blocks",
            "Stopped by OpenAI's enforcement.",
            q.calls_of(HERE, *blocked, q.ENFORCED, streams=seldom),
            p.BAD_FROM_ONE,
        ),
        (
            "Blocked",
            "Stopped for any reason, local ones included.",
            q.calls_of(HERE, *blocked, streams=seldom),
            p.PLAIN,
        ),
        (
            "Refused",
            "The model refused.",
            q.calls_of(HERE, equal(c.OUTCOME, "refused"), streams=seldom),
            p.PLAIN,
        ),
        ("Flagged", "Flagged by moderation, in or out.", q.flagged_of(HERE), p.PLAIN),
    )
    numbers = [
        (p.number(title, about, events(query, instant=True), steps=steps, no_value="none"), 3)
        for title, about, query, steps in counts
    ]
    times = [
        (
            p.number(
                title,
                f"{title} within the chosen range; widen it to look further back.",
                events(q.seen_of(HERE, which), instant=True),
                unit="dateTimeFromNow",
                no_value="no call in range",
            ),
            3,
        )
        for title, which in (("First seen", "min"), ("Last seen", "max"))
    ]
    highest = p.number(
        "Highest input score",
        "The highest moderation score of any input (0 to 1).",
        events(q.highest_score_of(HERE, "input"), instant=True),
        unit="none",
        decimals=2,
        steps=((None, p.GREEN), (0.5, p.ORANGE), (0.9, p.RED)),
        no_value="no scores",
    )
    return "This identifier", (*numbers, *times, (highest, 3)), 4


def _activity() -> frame.Row:
    return (
        "Activity",
        (
            (
                p.graph(
                    "Calls by outcome",
                    "How its calls ended.",
                    events(q.calls_of_by(HERE, c.OUTCOME), "{{openai_safety_outcome}}"),
                    bars=True,
                ),
                8,
            ),
            (
                p.graph(
                    "Calls by model",
                    "Which models it asked.",
                    events(q.calls_of_by(HERE, c.REQUEST_MODEL), "{{gen_ai_request_model}}"),
                    bars=True,
                ),
                8,
            ),
            (
                p.graph(
                    "Calls by API",
                    "Through which doors: a block at one does not close the others.",
                    events(q.calls_of_by(HERE, c.API), "{{openai_safety_api}}"),
                    bars=True,
                ),
                8,
            ),
        ),
        7,
    )


def _judged() -> frame.Row:
    categories = [
        events(
            q.categories_of(HERE, direction),
            f"{direction} {{{{{names.field(c.FLAGGED_CATEGORIES[direction])}}}}}",
        )
        for direction in c.DIRECTIONS
    ]
    linked = {
        names.field(c.USER_HASH): p.Column("Identifier", links=(frame.TO_IDENTIFIER,)),
        names.field(c.IDENTIFIER_LINKED): p.Column("Linked session", links=(frame.TO_IDENTIFIER,)),
        p.VALUE: p.Column("Calls", unit="short", width=90),
    }
    return (
        "What was found",
        (
            (
                p.graph(
                    "Flagged categories",
                    "Sets of categories flagged together, by direction.",
                    *categories,
                    bars=True,
                ),
                8,
            ),
            (
                p.graph(
                    "Time to first output",
                    "Median seconds of its streams, by model; far above the model's usual may be a hold.",
                    events(q.first_output_of(HERE), "{{gen_ai_request_model}}"),
                    unit="s",
                    link=frame.runbook("possiblehold"),
                ),
                8,
            ),
            (
                p.listing(
                    "Linked identifiers",
                    "The same person before and after signing in: session and user.",
                    events(q.linked_with(HERE), instant=True),
                    linked,
                ),
                8,
            ),
        ),
        7,
    )


def _lines() -> frame.Row:
    columns = {
        "Time": p.Column("Time", width=170),
        names.field(c.OUTCOME): p.Column("Outcome", width=90),
        names.field(c.BLOCK_TYPE): p.Column("Block", width=150),
        names.field(c.BLOCK_CODE): p.Column("Code", width=150),
        names.field(c.API): p.Column("API", width=90),
        names.field(c.REQUEST_MODEL): p.Column("Model", width=120),
        names.field(c.PROVIDER_REQUEST_ID): p.Column("Request id"),
        names.field(c.RESPONSE_ID): p.Column("Response id"),
        names.TRACE_ID: p.Column("Trace", links=(_TO_TRACE,)),
    }
    return (
        "Calls",
        (
            (
                p.log_table(
                    "Calls that were not simply completed",
                    "Blocked, refused, flagged and failed calls, with the ids OpenAI's support asks for.",
                    events(q.refs_of(HERE), max_lines=200),
                    columns,
                ),
                24,
            ),
            (
                p.lines(
                    "All calls",
                    "Every call as a line; open one for all its fields and the link to its trace.",
                    events(q.lines_of(HERE), max_lines=200),
                ),
                24,
            ),
        ),
        9,
    )


def _case() -> frame.Row:
    rows = (
        ("Notices", "OpenAI's notices that name this identifier.", q.notices_of(HERE)),
        ("Decisions", "What was decided, by whom and why: the audit trail.", q.decisions_of(HERE)),
        ("User reports", "Reports of the product's users about answers it was given.", q.reports_of(HERE)),
    )
    lines = [(p.lines(title, about, events(query, max_lines=50)), 6) for title, about, query in rows]
    steps = p.note("Next steps", "The runbook's four steps, for this identifier.", _ABOUT)
    return "The case", (*lines, (steps, 6)), 9


def build() -> Any:
    """The dashboard."""
    variables = [
        frame.source("loki"),
        frame.source("tempo"),
        *frame.event_variables(),
        frame.traffic(),
        dashboard.TextBoxVariable("identifier")
        .label("Identifier")
        .description("The identifier as OpenAI sees it: 64 hex characters, or what the app sends itself")
        .default_value(""),
    ]
    return frame.board(
        frame.IDENTIFIER,
        "Identifier",
        "One end user's identifier: calls, outcomes, categories, notices, decisions, traces.",
        variables,
        (_numbers(), _activity(), _judged(), _lines(), _case()),
        "now-7d",
    )
