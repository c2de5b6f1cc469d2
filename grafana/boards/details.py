"""The rows under the overview's answers: who, which rule, which calls carry no identifier, what is not seen."""

from __future__ import annotations

from typing import Final, get_args

from grafana import columns, frame, names, tables
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana.frame import panel, row
from grafana.names import field
from grafana.scope import DASHBOARD as HERE
from grafana.tables import Column
from grafana.targets import events, metric
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary

_ABOUT: Final = """\
Counted here: calls made through the OpenAI SDK in processes that carry the instrumentation. **Not seen from
here**, and never shown as 0:

* browsers and phones that talk to OpenAI with a Realtime client secret (compare issued with seen);
* Batch jobs (`openai-safety batch results FILE`), the Playground, ChatGPT workspaces;
* services in other languages, or without this package; a leaked key.

OpenAI's own Safety Usage dashboard shows blocked Responses requests by identifier: a block there with no line
here came through one of these doors.
"""
_ALL: Final = ("now", "day ago", "week ago")


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
                known=vocabulary.APIS,
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
                known=get_args(vocabulary.ProblemReason),
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


def rows() -> tuple[frame.Row, ...]:
    """The rows, in their order."""
    return _who(), _rules(), _coverage(), _doors()
