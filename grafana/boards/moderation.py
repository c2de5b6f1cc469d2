"""Moderation: what the inline checks say, by category and direction."""

from __future__ import annotations

from typing import Any

from grafana import frame
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana.scope import DASHBOARD as HERE
from grafana.targets import events, metric
from openai_safety_otel.contract import conventions as c


def _checks() -> frame.Row:
    return (
        "Checks",
        (
            (
                p.graph(
                    "Checks by result",
                    "Moderation checks a second; all kinds of traffic.",
                    metric(m.checks_by_result(HERE), "{{openai_safety_direction}} {{openai_safety_result}}"),
                    unit="cps",
                ),
                6,
            ),
            (
                p.graph(
                    "Flagged share",
                    "Flagged checks as a share of those that gave a result.",
                    metric(m.flagged_share(HERE), "{{openai_safety_direction}}"),
                    unit="percentunit",
                    link=frame.runbook("flaggedshareup"),
                ),
                6,
            ),
            (
                p.graph(
                    "Failed share",
                    "Checks that gave no result: those calls carry no score.",
                    metric(m.check_error_share(HERE), "{{openai_safety_direction}}"),
                    unit="percentunit",
                    link=frame.runbook("moderationerrorshare"),
                ),
                6,
            ),
            (
                p.graph(
                    "Flagged calls by API",
                    "From the events: inputs and outputs flagged.",
                    *(
                        events(q.flagged_by_api(HERE, direction), f"{direction} {{{{openai_safety_api}}}}")
                        for direction in c.DIRECTIONS
                    ),
                    bars=True,
                ),
                6,
            ),
        ),
        7,
    )


def _scores(direction: c.Direction) -> frame.Row:
    return (
        f"Scores of the {direction}",
        (
            (
                p.density(
                    f"All scores of the {direction}",
                    "How many scores fell into each bucket (0 to 1), of the categories chosen above.",
                    metric(m.score_heatmap(HERE, direction), "{{le}}", as_heatmap=True),
                ),
                8,
            ),
            (
                p.graph(
                    f"95th percentile of the {direction}",
                    "By category: the higher, the closer ordinary traffic comes to the thresholds.",
                    metric(m.score_quantile(HERE, 0.95, direction), "{{openai_safety_category}}"),
                    unit="none",
                    most=1,
                ),
                8,
            ),
            (
                p.bars(
                    f"Mean score of the {direction}",
                    "By category, over this range.",
                    metric(m.score_mean(HERE, direction), "{{openai_safety_category}}", instant=True),
                    unit="none",
                ),
                8,
            ),
        ),
        9,
    )


def _consequences() -> frame.Row:
    return (
        "What follows",
        (
            (
                p.graph(
                    "Flagged categories",
                    "Flagged categories a second; all kinds of traffic.",
                    metric(
                        m.flags_by_category(HERE), "{{openai_safety_category}} ({{openai_safety_direction}})"
                    ),
                    unit="cps",
                ),
                6,
            ),
            (
                p.graph(
                    "Refused share by API",
                    "Calls in which the model refused, as a share of all calls.",
                    metric(m.refused_share(HERE), "{{openai_safety_api}}"),
                    unit="percentunit",
                    link=frame.runbook("refusalshareup"),
                ),
                6,
            ),
            (
                p.graph(
                    "Calls by outcome",
                    "Calls a second by how they ended.",
                    metric(m.calls_by_outcome(HERE), "{{openai_safety_outcome}}"),
                    unit="cps",
                ),
                6,
            ),
            (
                p.graph(
                    "Time to first output",
                    "Median seconds of streams, by model; all kinds of traffic.",
                    metric(m.first_output_median(HERE), "{{gen_ai_request_model}}"),
                    unit="s",
                    link=frame.runbook("possiblehold"),
                ),
                6,
            ),
        ),
        7,
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
        (_checks(), *(_scores(direction) for direction in c.DIRECTIONS), _consequences()),
        "now-24h",
    )
