"""Whether the numbers can be believed now: the row that stands on the overview and on the pipeline's dashboard."""

from __future__ import annotations

from grafana import colours, frame
from grafana import log_queries as q
from grafana import metric_queries as m
from grafana import panels as p
from grafana import pipeline_queries as pipe
from grafana.frame import panel
from grafana.scope import DASHBOARD as HERE
from grafana.scope import none_of
from grafana.targets import events, metric
from openai_safety_otel.contract import conventions as c

_COVERED = ((None, colours.NOW), (0.99, colours.TODAY), (0.999, colours.CALM))


def row(first: int, coverage: int) -> frame.Row:
    """The row; the ids follow the first one, but for the coverage's."""
    made = (
        p.number(
            "Coverage",
            "Share of calls that carried an identifier, of those that had to. Target: 99.9 %.",
            metric(m.known(m.coverage(HERE, m.RANGE)), instant=True),
            metric(m.known(m.coverage(HERE, m.RANGE, ago="1d")), instant=True),
            unit="percentunit",
            decimals=1,
            steps=_COVERED,
            named=("now", "day ago"),
            link_to=frame.runbook("CoverageLow"),
        ),
        p.number(
            "Apps watched",
            "Processes that report, and those among them whose hook does not work.",
            metric(pipe.processes(HERE), instant=True),
            metric(pipe.processes(HERE, none_of(c.HOOK_STATE, "installed")), instant=True),
            steps=colours.MUST_BE_THERE,
            named=("apps", "no hook"),
            no_value="none reports",
            link_to=frame.runbook("InstrumentationSilent"),
        ),
        p.number(
            "Collectors",
            "Collectors that report now, and how many did a day ago.",
            metric(pipe.collectors(HERE), instant=True),
            metric(pipe.collectors(HERE, "1d"), instant=True),
            steps=colours.MUST_BE_THERE,
            named=("now", "day ago"),
            no_value="none reports",
            link_to=frame.runbook("SafetyPipelineDown"),
        ),
        p.number(
            "Newest stored call",
            "When the newest call that reached the store ended. Looked for in the last hour.",
            events(q.newest(HERE), instant=True),
            unit="dateTimeFromNow",
            steps=colours.MUST_BE_THERE,
            no_value="none for an hour",
            link_to=frame.runbook("InstrumentationSilent"),
        ).time_from("1h"),
        p.number(
            "Lost on the way",
            "Items that apps dropped, and that collectors refused, could not send or not queue, in this range.",
            metric(pipe.dropped_in_range(HERE), instant=True),
            metric(pipe.lost_in_range(HERE), instant=True),
            steps=colours.BAD_FROM_ONE,
            named=("in apps", "collectors"),
            link_to=frame.runbook("SafetyEventsDropped"),
        ),
        p.number(
            "Webhook receivers",
            "Receivers of OpenAI's notices that report. Without one, no notice is known here.",
            metric(m.receivers(HERE), instant=True),
            steps=colours.MUST_BE_THERE,
            no_value="none reports",
            link_to=frame.runbook("WebhookReceiverDown"),
        ),
    )
    placed = [panel(first + at if at else coverage, built, width=4) for at, built in enumerate(made)]
    return frame.row(first, "Can these numbers be trusted now?", 4, *placed)
