"""The alerts on metrics, by the group that Prometheus evaluates together."""

from __future__ import annotations

from typing import Final

from grafana.enforcement_rows import ENFORCEMENT, IDENTITY
from grafana.page_rows import PAGES
from grafana.pipeline_rows import PIPELINE

# Group, time between evaluations, rows: pages should not wait.
METRIC_GROUPS: Final = {
    "openai-safety-pages": ("30s", PAGES),
    "openai-safety-enforcement": ("1m", ENFORCEMENT),
    "openai-safety-identity": ("1m", IDENTITY),
    "openai-safety-pipeline": ("1m", PIPELINE),
}
METRIC_ALERTS: Final = tuple(alert for _, group in METRIC_GROUPS.values() for alert in group)
