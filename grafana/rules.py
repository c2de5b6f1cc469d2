"""Alert rows to rule files for Prometheus and Loki, and to the table that people read."""

from __future__ import annotations

import os
from typing import Any

import yaml

from grafana.alert import Alert
from grafana.alert_queries import RECORDS
from grafana.alert_rows import METRIC_ALERTS, METRIC_GROUPS
from grafana.log_alert_rows import LOG_ALERTS, LOG_GROUPS

# Where the alerts and dashboards link to: this project's own page, or a copy of it that you keep.
RUNBOOK = os.environ.get(
    "RUNBOOK_URL", "https://github.com/openai-safety-otel/openai-safety-otel/blob/main/grafana/runbook.md"
)
ALERTS = {alert.name: alert for alert in (*METRIC_ALERTS, *LOG_ALERTS)}
RECORD_GROUP = "openai-safety-records"
_NOTE = "# Made by `python -m grafana.build` from the alert rows beside it; edit those.\n"


class _Dumper(yaml.SafeDumper):
    """Long expressions as blocks, keys in the order given."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def anchor(alert: Alert) -> str:
    """The runbook's anchor of an alert."""
    return alert.name.lower()


def _rule(alert: Alert) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr}
    if alert.hold != "0s":
        rule["for"] = alert.hold
    if alert.kept:
        rule["keep_firing_for"] = alert.kept
    rule["labels"] = alert.labels
    rule["annotations"] = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{RUNBOOK}#{anchor(alert)}",
    }
    return rule


def _dump(groups: list[dict[str, Any]]) -> str:
    text = yaml.dump({"groups": groups}, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
    return _NOTE + text


def prometheus_rules() -> str:
    """The rule file for Prometheus."""
    records = [{"record": record.name, "expr": record.expr} for record in RECORDS]
    groups: list[dict[str, Any]] = [{"name": RECORD_GROUP, "interval": "1m", "rules": records}]
    for name, (interval, alerts) in METRIC_GROUPS.items():
        rules = [_rule(alert) for alert in alerts]
        groups.append({"name": name, "interval": interval, "rules": rules})
    return _dump(groups)


def loki_rules() -> str:
    """The rule file for Loki's ruler."""
    return _dump(
        [
            {"name": name, "interval": interval, "rules": [_rule(alert) for alert in alerts]}
            for name, (interval, alerts) in LOG_GROUPS.items()
        ]
    )


def table() -> str:
    """The page that names source and condition of each alert."""
    lines = [
        "# Alerts",
        "",
        "Made by `python -m grafana.build`. `openai-safety.rules.yaml` is for Prometheus or Mimir,",
        "`loki.rules.yaml` for Loki's ruler. `notify` says what an alert is for: `page` wakes a person,",
        "`ticket` waits for office hours, `drill` proves that a drill came through. `happening` joins alerts that see",
        "the same thing from different sides: `stack/config/alertmanager.yaml` makes one notification of them.",
        "",
        "Every alert is by service and environment (those on the collector by its job) and leaves red-team",
        "and drill traffic out. Relative alerts compare with the same service's own 7 days before.",
        "",
        "| Alert | Source | Condition | Severity | Notify | Happening |",
        "|---|---|---|---|---|---|",
    ]
    for source, alerts in (("Prometheus", METRIC_ALERTS), ("Loki", LOG_ALERTS)):
        lines += [
            f"| [{a.name}](../runbook.md#{anchor(a)}) | {source} | {a.question} | "
            + " | ".join(a.labels.values())
            + " |"
            for a in alerts
        ]
    lines += ["", "The queries themselves:", ""]
    for alert in (*METRIC_ALERTS, *LOG_ALERTS):
        lines += [f"### {alert.name}", "", "```text", alert.expr, "```", ""]
    return "\n".join(lines).rstrip() + "\n"
