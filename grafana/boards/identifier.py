"""Identifier: everything stored about one end user's identifier, from the first call to the decision."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard

from grafana import colours, columns, frame, tables
from grafana import identifier_queries as one
from grafana import log_queries as q
from grafana import panels as p
from grafana.frame import panel, row
from grafana.names import field
from grafana.rules import RUNBOOK
from grafana.scope import DASHBOARD as HERE
from grafana.scope import equal
from grafana.targets import events, explore
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary

_EVIDENCE = explore(
    "openai-safety-evidence", {"expr": '{openai_safety_stream="evidence"} | user_hash="${identifier}"'}
)
_DO: Final = f"""\
The first 12 characters of an identifier are enough for every command.

1. **Map it** to a user of ours.
2. **Pull the context:** `openai-safety investigate IDENT`
3. **Decide:** suspend, or watch, filter, revoke, clear.
4. **Never rotate**: a new identifier for the same person is evasion.

[The four steps, with their commands]({RUNBOOK}#the-four-steps) ·
[Evidence]({_EVIDENCE}) (masked text, if switched on), for those who decide cases
"""
_SCORES: Final = ((None, colours.CALM), (0.5, colours.TODAY), (0.9, colours.NOW))


def _numbers() -> frame.Row:
    blocked = (equal(c.OUTCOME, "blocked"),)
    # Only what is not simply completed is read from the small stream.
    seldom = q.SAFETY
    counts = (
        (
            3,
            "Enforced",
            "Calls stopped by OpenAI's enforcement.",
            one.calls_of(HERE, *blocked, q.ENFORCED, streams=seldom),
            colours.BAD_FROM_ONE,
        ),
        (
            4,
            "Stopped",
            "Stopped for any reason: enforcement, filters, and local ones.",
            one.calls_of(HERE, *blocked, streams=seldom),
            colours.PLAIN,
        ),
        (
            5,
            "Refused",
            "The model refused.",
            one.calls_of(HERE, equal(c.OUTCOME, "refused"), streams=seldom),
            colours.PLAIN,
        ),
        (6, "Flagged", "Flagged by moderation, in or out.", one.flagged_of(HERE), colours.PLAIN),
        (2, "Calls", "All its calls in this range.", one.calls_of(HERE), colours.PLAIN),
    )
    made = [
        panel(
            number,
            p.number(title, about, events(query, instant=True), steps=steps, no_value="none"),
            width=3,
        )
        for number, title, about, query, steps in counts
    ]
    times = [
        panel(
            number,
            p.number(
                title,
                f"{title} within the chosen range; widen it to look further back.",
                events(one.seen_of(HERE, which), instant=True),
                unit="dateTimeFromNow",
                no_value="no call",
            ),
            width=3,
        )
        for number, title, which in ((7, "First seen", "min"), (8, "Last seen", "max"))
    ]
    highest = p.number(
        "Top score",
        "The highest moderation score of any input (0 to 1). Orange from 0.5, red from 0.9.",
        events(one.highest_score_of(HERE, "input"), instant=True),
        unit="none",
        decimals=2,
        steps=_SCORES,
        no_value="no scores",
    )
    return row(1, "How bad is it?", 4, *made, panel(9, highest, width=3), *times)


def _course() -> frame.Row:
    return row(
        10,
        "What happened when, and what was decided?",
        8,
        panel(
            11,
            p.graph(
                "Calls by kind",
                "How its calls ended; lines mark notices and decisions.",
                events(one.kinds_of(HERE), "{{kind}}"),
                bars=True,
                kinds=True,
                no_value="no call in this range",
            ),
            width=8,
        ),
        panel(
            23,
            tables.log_table(
                "Notices",
                "OpenAI's notices that name this identifier. The case leads to its whole line.",
                events(one.notices_of(HERE), max_lines=50),
                columns.NOTICE,
                no_value="no notice names it",
            ),
            width=8,
        ),
        panel(
            24,
            tables.log_table(
                "Decisions",
                "What was decided, by whom and why: the audit trail.",
                events(one.decisions_of(HERE), max_lines=50),
                columns.DECISION,
                no_value="nothing decided in this range",
            ),
            width=8,
        ),
    )


def _judged() -> frame.Row:
    linked = {
        field(c.USER_HASH): columns.WHO,
        field(c.IDENTIFIER_LINKED): tables.Column("Session", links=(frame.TO_IDENTIFIER,), short=True),
        tables.VALUE: tables.Column("Calls", unit="short", width=62),
    }
    return row(
        14,
        "What was found, and what to do?",
        8,
        panel(
            15,
            p.bars(
                "Flagged categories",
                "Its flagged calls, input or output, each category by itself.",
                events(one.flagged_categories_of(HERE), instant=True),
                rows=True,
                decimals=0,
                no_value="none in this range",
            ),
            width=8,
        ),
        panel(
            17,
            tables.listing(
                "Linked identifiers",
                "The same person before and after signing in: session and user.",
                events(one.linked_with(HERE), instant=True),
                columns=linked,
            ),
            width=7,
        ),
        panel(26, p.note("What to do", "The runbook's four steps, for this identifier.", _DO), width=9),
    )


def _habits() -> frame.Row:
    return row(
        28,
        "How does it work?",
        7,
        panel(
            12,
            p.graph(
                "Calls by model",
                "Which models it asked.",
                events(one.calls_of_by(HERE, c.REQUEST_MODEL), "{{gen_ai_request_model}}"),
                bars=True,
                no_value="no call in this range",
            ),
            width=6,
        ),
        panel(
            13,
            p.graph(
                "Calls by API",
                "Through which doors: a block at one does not close the others.",
                events(one.calls_of_by(HERE, c.API), "{{openai_safety_api}}"),
                bars=True,
                known=vocabulary.APIS,
                no_value="no call in this range",
            ),
            width=6,
        ),
        panel(
            16,
            p.graph(
                "Time to first output",
                "Median seconds of its streams, by model; far above the model's usual may be a hold.",
                events(one.first_output_of(HERE), "{{gen_ai_request_model}}"),
                unit="s",
                at_least=1,
                no_value="no stream in this range",
                link_to=frame.runbook("PossibleHold"),
            ),
            width=6,
        ),
        panel(
            25,
            tables.log_table(
                "User reports",
                "Reports of the product's users about answers it was given.",
                events(one.reports_of(HERE), max_lines=50),
                columns.REPORT,
                no_value="no report in this range",
            ),
            width=6,
        ),
    )


def _calls() -> tuple[frame.Row, frame.Row]:
    return (
        row(
            18,
            "Which calls exactly?",
            9,
            panel(
                19,
                tables.log_table(
                    "Calls that were not simply completed",
                    "With the ids OpenAI's support asks for; each leads to its whole line, the trace to its trace.",
                    events(one.refs_of(HERE), max_lines=200),
                    columns.CALL,
                    no_value="none in this range",
                ),
                width=24,
            ),
        ),
        row(
            29,
            "All of them",
            9,
            panel(
                20,
                tables.log_table(
                    "All calls",
                    "Every call; its ids lead to its whole line and to its trace.",
                    events(one.lines_of(HERE), max_lines=200),
                    columns.CALL,
                    no_value="no call in this range",
                ),
                width=24,
            ),
        ),
    )


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
        (_numbers(), _course(), _judged(), _habits(), *_calls()),
        "now-7d",
    )
