"""Queries are built from the contract, and cannot be built against it."""

from __future__ import annotations

import re

import pytest

from grafana import names
from grafana.alert_queries import largest_cause
from grafana.log_queries import retried_blocks
from grafana.scope import ALERT, DASHBOARD, Match, equal, one_of
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments


@pytest.mark.parametrize(
    ("metric", "spelled"),
    [
        (instruments.CALLS, "openai_safety_calls_total"),
        (instruments.DEADLINE, "openai_safety_notice_deadline_seconds"),
        (instruments.INFO, "openai_safety_instrumentation_info"),
        (instruments.FIRST_OUTPUT, "openai_safety_time_to_first_output_seconds"),
        (instruments.MODERATION_SCORE, "openai_safety_moderation_score"),
        (instruments.OPERATION_DURATION, "gen_ai_client_operation_duration_seconds"),
    ],
)
def test_series_names_follow_the_otlp_translation(metric: instruments.Metric, spelled: str) -> None:
    """Counters end in `_total`, seconds in `_seconds`; annotations in braces leave no trace."""
    assert names.series(metric) == spelled


def test_a_label_the_metric_lacks_is_refused() -> None:
    """No query can filter a metric by a label that it never carries."""
    with pytest.raises(ValueError, match=r"openai_safety\.flags has no label openai_safety\.outcome"):
        ALERT.select(instruments.FLAGS, equal(c.OUTCOME, "blocked"))


@pytest.mark.parametrize("build", [equal, one_of])
def test_a_value_the_attribute_never_has_is_refused(build: object) -> None:
    """No query can ask for an outcome that does not exist."""
    with pytest.raises(ValueError, match=r"openai_safety\.outcome is never denied"):
        build(c.OUTCOME, "denied")  # type: ignore[operator]


def test_an_unknown_attribute_is_refused() -> None:
    """No query can name an attribute outside the contract."""
    with pytest.raises(KeyError, match="made_up"):
        Match("openai_safety.made_up", "=", "x")


def test_alerts_read_production_only() -> None:
    """The scope of alerts leaves the red team and drills out by itself."""
    assert (
        ALERT.select(instruments.BLOCKS) == 'openai_safety_blocks_total{openai_safety_traffic="production"}'
    )
    assert ALERT.events(c.CALL_EVENT, streams=("notable",)) == (
        '{openai_safety_stream="notable"} | event_name="openai_safety.call" | openai_safety_traffic="production"'
    )


def test_dashboards_read_what_the_reader_chose() -> None:
    """Every selector of a dashboard is narrowed by its variables."""
    assert DASHBOARD.select(instruments.CHECKS) == (
        'openai_safety_moderation_checks_total{job=~"$job", instance=~"$instance", service_name=~"$service", '
        'deployment_environment_name=~"$environment"}'
    )


def test_a_burst_within_a_minute_always_lies_whole_in_one_piece() -> None:
    """Whenever a minute begins, one of the cuts of time has a piece that holds all of it."""
    cuts = [
        (int(cut), int(piece))
        for cut, piece in re.findall(r"unixEpoch\) (\d+)\) (\d+)", retried_blocks(ALERT, "4h", 3))
    ]
    assert cuts
    for begins in range(300):
        assert any((begins + cut) // piece == (begins + 60 + cut) // piece for cut, piece in cuts)


def test_largest_cause_asks_within_the_alerts_service() -> None:
    """The description's own query is narrowed to the service and environment that fired."""
    template = largest_cause()
    assert "service_name='%s', deployment_environment_name='%s'" in template
    assert "$labels.service_name $labels.deployment_environment_name | query" in template
