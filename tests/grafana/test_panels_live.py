"""Every panel and rule asked of the real Prometheus and Loki, behind the shipped agent."""

from __future__ import annotations

import pytest

from grafana import identifier_queries as one
from grafana import log_queries as q
from grafana.alert_queries import RECORDS
from grafana.alert_rows import METRIC_ALERTS
from grafana.log_alert_rows import LOG_ALERTS
from grafana.names import COLLECTOR_METRICS, ENQUEUE_FAILED, SEND_FAILED
from grafana.scope import DASHBOARD, equal
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from support.fed import VARIABLES, Fed
from support.interpolate import interpolate, windows
from support.panels import BOARDS, Query, panels, queries, run
from support.scenario import hashed
from support.stores import RefusedError, get
from support.waiting import until

pytestmark = pytest.mark.stack

# A collector in good health has refused nothing and lost nothing: series of these appear with the first loss.
NEVER_IN_HEALTH = {"pipeline: Refused and failed"}


def _ask(fed: Fed, query: Query) -> list[dict[str, object]]:
    return run(query, fed.loki if query.kind == "loki" else fed.prometheus, fed.at, VARIABLES)


def _refusal(fed: Fed, query: Query) -> str:
    try:
        _ask(fed, query)
    except RefusedError as error:
        return str(error)
    return ""


def _of(fed: Fed, expr: str, identifier: str) -> int:
    values = {**VARIABLES, "identifier": identifier, **windows(instant=True, span="3600s", step="60s")}
    return round(fed.loki.number(interpolate(expr, values), fed.at))


def _fired(fed: Fed, name: str) -> list[dict[str, str]]:
    every = [one["labels"] for one in fed.alerts if one["labels"]["alertname"] == name]
    return [labels for labels in every if labels["deployment_environment_name"] == "test"]


def _unfired(fed: Fed, expected: set[str]) -> set[str]:
    return expected - {one["labels"]["alertname"] for one in fed.alerts}


def test_every_target_is_accepted(fed: Fed) -> None:
    """No query of any panel is refused by the store it is for."""
    refused = {str(query): reason for query in queries() if (reason := _refusal(fed, query))}
    assert refused == {}


def test_every_panel_has_data(fed: Fed) -> None:
    """After an eventful hour no panel is empty, but for the one that shows a collector's losses."""
    empty = {
        f"{name}: {panel['title']}"
        for name, board in BOARDS.items()
        for panel in panels(board)
        if panel.get("targets")
        and not any(_ask(fed, Query(name, panel["title"], target)) for target in panel["targets"])
    }
    assert empty <= NEVER_IN_HEALTH


def test_calls_of_each_identifier_equal_the_ledger(fed: Fed) -> None:
    """Loki counts exactly the calls that were made, for every identifier."""
    counted = {user: _of(fed, one.calls_of(DASHBOARD), user) for user in fed.ledger.by_user}
    assert counted == {user: facts["calls"] for user, facts in fed.ledger.by_user.items()}


def test_outcomes_of_each_identifier_equal_the_ledger(fed: Fed) -> None:
    """Blocks, enforcement blocks, refusals and flags are the ledger's, for everybody who had any."""
    blocked = equal(c.OUTCOME, "blocked")
    asked = {
        "blocked": one.calls_of(DASHBOARD, blocked, streams=q.SAFETY),
        "enforcement": one.calls_of(DASHBOARD, blocked, q.ENFORCED, streams=q.SAFETY),
        "refused": one.calls_of(DASHBOARD, equal(c.OUTCOME, "refused"), streams=q.SAFETY),
        "flagged": one.flagged_of(DASHBOARD),
    }
    troubled = [user for user, facts in fed.ledger.by_user.items() if set(facts) & set(asked)]
    counted = {user: {fact: _of(fed, expr, user) for fact, expr in asked.items()} for user in troubled}
    assert counted == {user: {fact: fed.ledger.by_user[user][fact] for fact in asked} for user in troubled}
    assert hashed("gone") in counted


def test_red_team_is_nowhere_unless_asked_for(fed: Fed) -> None:
    """With traffic `production` the red team's blocks are in no panel; asked for, they are there."""
    tester, blocks = (
        hashed("tester-0"),
        one.calls_of(DASHBOARD, equal(c.OUTCOME, "blocked"), streams=q.SAFETY),
    )
    values = {**VARIABLES, "identifier": tester, **windows(instant=True, span="3600s", step="60s")}
    assert fed.loki.number(interpolate(blocks, values), fed.at) == 0
    assert fed.loki.number(interpolate(blocks, {**values, "traffic": "redteam"}), fed.at) == 9


def test_doors_without_series_are_nan_and_never_zero(fed: Fed) -> None:
    """APIs nothing was recorded for come as NaN, which the panel spells out; the others are numbers."""
    panel = next(query for query in queries() if query.panel == "Calls by door")
    values = {one["metric"]["openai_safety_api"]: one["value"][1] for one in _ask(fed, panel)}  # type: ignore[index]
    assert set(values) == set(vocabulary.APIS) - {vocabulary.OTHER_API}
    seen = {api for api, value in values.items() if value != "NaN"}
    assert seen == {"responses", "chat", "embeddings"}


def test_every_rule_is_accepted(fed: Fed) -> None:
    """No condition of any alert is refused, and each record is computed."""
    for alert in METRIC_ALERTS:
        fed.prometheus.instant(alert.expr, fed.at)
    for alert in LOG_ALERTS:
        fed.loki.instant(alert.expr, fed.at)
    for record in RECORDS:
        assert until(lambda name=record.name: fed.prometheus.instant(name, fed.at + 60) is not None)  # type: ignore[misc]


def test_collector_metrics_carry_the_names_we_use(fed: Fed) -> None:
    """Each of the collector's metrics in our queries exists, but for those that appear with a first loss."""
    names = set(get(f"{fed.prometheus.url}/api/v1/label/__name__/values")["data"])
    losses = {*SEND_FAILED.values(), *ENQUEUE_FAILED.values()}
    assert COLLECTOR_METRICS - losses - names == set()


def test_log_alerts_fire_at_the_alertmanager(fed: Fed) -> None:
    """Loki's own ruler loads the shipped rules; each alert reaches the Alertmanager, for nobody else."""
    expected = {alert.name for alert in LOG_ALERTS}
    assert until(lambda: not _unfired(fed, expected), seconds=200), _unfired(fed, expected)
    about = {
        "IdentifierBlockedEvent": ("user_hash", {hashed("gone")}),
        "SafetyNoticeEvent": ("openai_safety_notice_id", {"case_1", "evt_2"}),
        "MisalignmentAlertEvent": ("openai_safety_notice_id", {"alert_3"}),
        "IdentifierBlockedByWording": ("user_hash", {hashed("worded")}),
        "SafetyDrillEvent": ("openai_safety_notice_id", {"case_drill"}),
        "SafetyNoticeDueSoonEvent": ("openai_safety_notice_id", {"case_1"}),
        "EndUserMismatch": ("user_hash", {hashed("changed")}),
        "StreamsTruncated": ("service_name", {"chat"}),
        "IdentifierDominates": ("user_hash", {hashed("constant")}),
        "PolicyBlockRetried": ("user_hash", {hashed("retrier")}),
        "PossibleHold": ("user_hash", {hashed("held")}),
        "ApiKeyBlockShareUnusual": ("openai_safety_api_key_id", {"key-b"}),
        "SessionIdentifiersSeenOnce": ("service_name", {"chat"}),
    }
    assert set(about) == expected
    named = {name: {labels[label] for labels in _fired(fed, name)} for name, (label, _) in about.items()}
    assert named == {name: who for name, (_, who) in about.items()}


def test_metric_alerts_fire_at_the_alertmanager(fed: Fed) -> None:
    """First occurrences reach the Alertmanager through Prometheus, by service, and the red team does not."""
    expected = {
        "IdentifierBlocked",
        "SafetyNoticeOpen",
        "SafetyNoticeReceived",
        "SafetyNoticeDueSoon",
        "MisalignmentAlert",
        "EnforcementBlocksUnderWarning",
        "RawIdentifierSuspected",
        "SafetyEventsDropped",
        "WebhookSignatureFailures",
        "SafetyDrillReceived",
    }
    assert until(lambda: not _unfired(fed, expected), seconds=200), _unfired(fed, expected)
    testers = [hashed(f"tester-{n}") for n in range(3)]
    assert [one for one in fed.alerts if any(tester in str(one) for tester in testers)] == []
