"""The mixin rules for alerts, the runbook's anchors."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from grafana.rules import RUNBOOK
from support.panels import ROOT

GRAFANA = ROOT / "grafana"
FILES = {name: GRAFANA / "alerts" / name for name in ("openai-safety.rules.yaml", "loki.rules.yaml")}
GROUPS: dict[str, list[dict[str, Any]]] = {
    n: yaml.safe_load(p.read_text())["groups"] for n, p in FILES.items()
}
ALERTS = [r for groups in GROUPS.values() for g in groups for r in g["rules"] if "alert" in r]
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])


@each_alert
def test_names_are_short_and_camel_case(alert: dict[str, Any]) -> None:
    """Alert names are CamelCase, at most 40 characters."""
    assert re.fullmatch(r"([A-Z][a-z0-9]+)+", alert["alert"])
    assert len(alert["alert"]) <= 40


def test_groups_are_short_and_small() -> None:
    """Group names have at most 40 characters, groups at most 20 rules, and no name is used twice."""
    groups = [group for groups in GROUPS.values() for group in groups]
    assert [g["name"] for g in groups if len(g["name"]) > 40 or len(g["rules"]) > 20] == []
    assert len({group["name"] for group in groups}) == len(groups)
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)


@each_alert
def test_severity_and_notify_are_known(alert: dict[str, Any]) -> None:
    """Severity is one of the three that mixins allow; `notify` says whom it is for, `happening` what it is about."""
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["labels"]["notify"] in {"page", "ticket", "drill"}
    assert set(alert["labels"]) == {"severity", "notify", "happening"}


@each_alert
def test_summary_is_a_plain_sentence(alert: dict[str, Any]) -> None:
    """The summary is the same for every instance: a sentence without templates."""
    assert re.fullmatch(r"[A-Z][^{}]*\.", alert["annotations"]["summary"])


@each_alert
def test_description_is_templated(alert: dict[str, Any]) -> None:
    """The description says which service, identifier or collector it is."""
    assert "{{" in alert["annotations"]["description"]
    assert "$labels" in alert["annotations"]["description"]


def _anchors() -> set[str]:
    text = (GRAFANA / "runbook.md").read_text()
    return {
        re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
        for h in re.findall(r"(?m)^#+ (.+)$", text)
    }


@each_alert
def test_runbook_has_the_anchor(alert: dict[str, Any]) -> None:
    """Each alert links to a heading of the runbook that exists."""
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert page == RUNBOOK
    assert anchor in _anchors()


@each_alert
def test_runbook_says_what_to_do(alert: dict[str, Any]) -> None:
    """Under each alert: what it means, where to look first, what to do, what not to do."""
    text = (GRAFANA / "runbook.md").read_text()
    section = text.partition(f"### {alert['alert']}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    said = re.findall(r"(?m)^\*\*(.+?)\*\*", section)
    assert said == ["Means.", "First look.", "Do.", "Do not."]


def test_every_dashboard_link_into_the_runbook_exists() -> None:
    """Panels point to headings that exist too."""
    links = {
        found
        for path in (GRAFANA / "dashboards").glob("*.json")
        for found in re.findall(re.escape(RUNBOOK) + r"#([\w-]+)", path.read_text())
    }
    assert links
    assert links <= _anchors()


def test_table_names_source_and_condition_of_each_alert() -> None:
    """An alert without a row is not shipped, and no row is left over."""
    text = (GRAFANA / "alerts" / "README.md").read_text()
    rows = re.findall(
        r"(?m)^\| \[(\w+)\]\(\.\./runbook\.md#(\w+)\) \| (\w+) \| (.+) \| (\w+) \| (\w+) \| (\w+) \|$", text
    )
    sources = {rule["alert"]: "Loki" for group in GROUPS["loki.rules.yaml"] for rule in group["rules"]}
    expected = [
        (
            name,
            name.lower(),
            sources.get(name, "Prometheus"),
            rule["labels"]["severity"],
            rule["labels"]["notify"],
            rule["labels"]["happening"],
        )
        for rule in ALERTS
        for name in [rule["alert"]]
    ]
    assert [(a, b, c, e, f, g) for a, b, c, d, e, f, g in rows if d] == expected


@each_alert
def test_alerts_leave_tests_and_drills_out(alert: dict[str, Any]) -> None:
    """Whatever is counted by kind of traffic reads production, except the alert that proves a drill."""
    kinds = set(re.findall(r'openai_safety_traffic(=~?"[^"]+")', alert["expr"]))
    drill = alert["alert"].startswith("SafetyDrill")
    # The red team's processes are named to be left out where a metric has no such label.
    assert kinds - {'=~"redteam|drill"'} <= ({'="drill"'} if drill else {'="production"'})
    if '=~"redteam|drill"' in kinds:
        assert "unless on (job, instance)" in alert["expr"]
