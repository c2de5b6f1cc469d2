"""Moderation: what the inline checks say, by category and direction."""

from __future__ import annotations

from typing import Any, Final

from grafana import frame, tables
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana.colours import RANKED
from grafana.frame import panel, row
from grafana.names import field
from grafana.scope import DASHBOARD as HERE
from grafana.tables import Column
from grafana.targets import events, metric
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary

_RESULTS: Final = tuple(
    f"{direction} {result}" for direction in c.DIRECTIONS for result in ("passed", "flagged", "error")
)


def _checks() -> frame.Row:
    return row(
        1,
        "Are the checks working?",
        7,
        panel(
            2,
            p.graph(
                "Checks by result",
                "Moderation checks; all kinds of traffic.",
                metric(m.checks_by_result(HERE), "{{openai_safety_direction}} {{openai_safety_result}}"),
                bars=True,
                known=_RESULTS,
                no_value="no check was made",
            ),
            width=8,
        ),
        panel(
            4,
            p.graph(
                "Failed share",
                "Checks that gave no result: those calls carry no score.",
                metric(m.check_error_share(HERE), "{{openai_safety_direction}}"),
                known=c.DIRECTIONS,
                unit="percentunit",
                at_least=0.05,
                no_value="no check was made",
                link_to=frame.runbook("ModerationErrorShare"),
            ),
            width=8,
        ),
        panel(
            3,
            p.graph(
                "Flagged share",
                "Flagged checks as a share of those that gave a result.",
                metric(m.flagged_share(HERE), "{{openai_safety_direction}}"),
                known=c.DIRECTIONS,
                unit="percentunit",
                at_least=0.05,
                no_value="no check gave a result",
                link_to=frame.runbook("FlaggedShareUp"),
            ),
            width=8,
        ),
    )


def _found() -> frame.Row:
    return row(
        14,
        "What do they find?",
        8,
        panel(
            15,
            p.bars(
                "Flagged by category",
                "Flagged calls, input or output, each category by itself.",
                events(q.flagged_categories(HERE), instant=True),
                rows=True,
                decimals=0,
                no_value="none in this range",
            ),
            width=8,
        ),
        panel(
            5,
            p.graph(
                "Flagged calls by API",
                "Calls whose input or output was flagged.",
                *(
                    events(q.flagged_by_api(HERE, direction), f"{direction}, {{{{openai_safety_api}}}}")
                    for direction in c.DIRECTIONS
                ),
                bars=True,
                known=tuple(
                    f"{direction}, {api}" for api in ("chat", "responses") for direction in c.DIRECTIONS
                ),
            ),
            width=8,
        ),
        panel(
            19,
            p.graph(
                "Flagged categories by direction",
                "Flagged categories; a call flagged for two counts twice. All kinds of traffic.",
                metric(m.flags_by_direction(HERE), "{{openai_safety_direction}}"),
                known=c.DIRECTIONS,
                bars=True,
            ),
            width=8,
        ),
    )


def _scores(direction: vocabulary.Direction, numbers: tuple[int, int, int, int]) -> frame.Row:
    first, heat, course, by_category = numbers
    scores = {
        field(c.CATEGORY): Column("Category"),
        f"{tables.VALUE} #A": Column("95 %", unit="none", width=75, decimals=2),
        f"{tables.VALUE} #B": Column("Mean", unit="none", width=75, decimals=3),
    }
    return row(
        first,
        f"How close does the {direction} come to a flag?",
        9,
        panel(
            by_category,
            tables.listing(
                f"Scores of the {direction} by category",
                "Over this range: the score that 95 % of calls stay under, and the mean (0 to 1).",
                metric(m.score_quantile(HERE, 0.95, direction), as_table=True),
                metric(m.score_mean(HERE, direction), as_table=True),
                columns=scores,
                no_value="no scores in this range",
            ),
            width=8,
        ),
        panel(
            course,
            p.graph(
                f"95th percentile of the {direction}",
                "Of the category that is highest: the higher, the closer ordinary traffic comes to a flag.",
                metric(m.highest_quantile(HERE, 0.95, direction), "highest category"),
                unit="none",
                most=1,
                no_value="no scores in this range",
            ),
            width=8,
        ),
        panel(
            heat,
            p.density(
                f"All scores of the {direction}",
                "How many scores fell into each bucket (0 to 1), of the categories chosen above.",
                metric(m.score_heatmap(HERE, direction), "{{le}}", as_heatmap=True),
            ),
            width=8,
        ),
    )


def _consequences() -> frame.Row:
    return row(
        18,
        "What follows for the calls?",
        7,
        panel(
            21,
            p.graph(
                "Calls by kind",
                "How calls ended, the worst at the bottom.",
                *(metric(query, RANKED[kind]) for kind, query in m.kinds(HERE).items()),
                bars=True,
                kinds=True,
                no_value="no call in this range",
            ),
            width=8,
        ),
        panel(
            20,
            p.graph(
                "Refused share by API",
                "Calls in which the model refused, as a share of all calls.",
                metric(m.refused_share(HERE), "{{openai_safety_api}}"),
                known=vocabulary.APIS,
                unit="percentunit",
                at_least=0.05,
                no_value="no call in this range",
                link_to=frame.runbook("RefusalShareUp"),
            ),
            width=8,
        ),
        panel(
            22,
            p.graph(
                "Time to first output",
                "Median seconds of streams, by model; all kinds of traffic.",
                metric(m.first_output_median(HERE), "{{gen_ai_request_model}}"),
                unit="s",
                at_least=1,
                no_value="no stream in this range",
                link_to=frame.runbook("PossibleHold"),
            ),
            width=8,
        ),
    )


def build() -> Any:
    """The dashboard."""
    variables = [
        frame.source("prometheus"),
        frame.source("loki"),
        *frame.process_variables(),
        frame.traffic(),
        frame.choice("category", "Category", c.ATTRIBUTES[c.CATEGORY].values, "Moderation categories"),
    ]
    return frame.board(
        frame.MODERATION,
        "Moderation",
        "Inline moderation: scores by category and direction, flagged and failed shares.",
        variables,
        (
            _checks(),
            _found(),
            _scores("input", (6, 7, 8, 9)),
            _scores("output", (10, 11, 12, 13)),
            _consequences(),
        ),
        "now-24h",
    )
