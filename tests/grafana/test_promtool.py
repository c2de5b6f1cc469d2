"""The rules by Prometheus' own tool: valid, and every case of the table: fires, silent, gaps, restarts, births."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from grafana.alert_rows import METRIC_ALERTS
from grafana.rules import RUNBOOK, anchor
from stack.programs import binary
from support.alert_cases import Case, Proves
from support.alert_table import CASES
from support.panels import ROOT

RULES = ROOT / "grafana" / "alerts" / "openai-safety.rules.yaml"
ROWS = {alert.name: alert for alert in METRIC_ALERTS}


def _promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(binary("promtool")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.stack
def test_rules_are_valid() -> None:
    """Prometheus accepts the file, and finds no rule twice."""
    done = _promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(ROWS))
def test_each_alert_has_every_kind_of_case(name: str) -> None:
    """No alert without cases that show it firing, silent, over a gap, over a restart, and from no series."""
    assert {case.proves for case in CASES if case.alert == name} == set(get_args(Proves))
    assert [case.name for case in CASES if case.alert == name and case.says] != []


def _unit(case: Case, rules: Path) -> dict[str, Any]:
    series = [{"series": one, "values": values} for one, values in case.series.items()]
    firing = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}} > 0) > bool 0'
    asked = [(at, 1) for at in case.fires] + [(at, None) for at in case.silent]
    checks = [
        {
            "expr": firing,
            "eval_time": at,
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for at, value in asked
    ]
    test = {"name": case.name, "interval": case.interval, "input_series": series, "promql_expr_test": checks}
    if case.says:
        test["alert_rule_test"] = [_said(case)]
    pace = {"1m": "1m", "5m": "5m", "10m": "30m"}[case.interval]
    return {"rule_files": [str(rules)], "evaluation_interval": pace, "tests": [test]}


def _alone(name: str, folder: Path) -> Path:
    """A rule file with this alert only, after the records: all of them would take minutes for each case."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") == name or "record" in rule]
    row = next(rule for group in groups for rule in group["rules"] if rule.get("alert") == name)
    needed = [
        rule
        for group in groups
        for rule in group["rules"]
        if "record" in rule and rule["record"] in row["expr"]
    ]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "alone", "rules": [*needed, row]}]}, width=10_000))
    return path


def _said(case: Case) -> dict[str, Any]:
    row = ROWS[case.alert]
    told = {
        "exp_labels": {**case.labels, **row.labels},
        "exp_annotations": {
            "summary": row.summary,
            "description": case.says,
            "runbook_url": f"{RUNBOOK}#{anchor(row)}",
        },
    }
    return {"eval_time": case.fires[0], "alertname": case.alert, "exp_alerts": [told]}


@pytest.mark.stack
@pytest.mark.parametrize("name", sorted(ROWS))
def test_alert_in_all_its_cases(name: str, tmp_path: Path) -> None:
    """Each case of the alert holds; where a text is given, it is the alert's whole text."""
    paths, rules = [], _alone(name, tmp_path)
    for at, case in enumerate(case for case in CASES if case.alert == name):
        path = tmp_path / f"{at:02}-case.yaml"
        path.write_text(yaml.safe_dump(_unit(case, rules), allow_unicode=True, width=10_000))
        paths.append(path)
    done = _promtool("test", "rules", *paths)
    assert done.returncode == 0, done.stdout + done.stderr
