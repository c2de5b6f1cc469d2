"""Every metric, label, attribute, event and setting named outside the code is one of the contract."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from grafana import names
from grafana.alert_queries import RECORDS
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from openai_safety_otel.contract.settings import PREFIX, Settings
from support.panels import ROOT

PLACES = ("grafana", "collector-config", "stack/config", "docs", "README.md", "CHANGELOG.md", "compose.yaml")
KINDS = {".json", ".yaml", ".yml", ".md"}
FILES = sorted(
    path
    for place in PLACES
    for path in ([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"))
    if path.suffix in KINDS and "node_modules" not in path.parts
)

DOTTED = c.ATTRIBUTES.keys() | instruments.METRICS.keys() | c.EVENTS.keys() | {"openai_safety.stream"}
# Of a histogram people also name the whole.
SPELLED = (
    names.every_series()
    | names.every_field()
    | {names.STREAM, *map(names.series, instruments.METRICS.values())}
)
# Standard attributes of other instrumentations' spans, which the collector lets pass.
OF_OTHERS = {"gen_ai.agent.name", "gen_ai.tool.name"}
SETTINGS = {PREFIX + item.name.upper() for item in fields(Settings)}
RECORDED = {part for record in RECORDS for part in record.name.split(":")}
# Names of ours that are neither telemetry nor settings: packages, folders, a prefix for all of it.
PACKAGES = ("openai_safety_otel", "openai_safety_")


def _dotted(name: str) -> bool:
    # `openai_safety.moderation.` and the like stand for everything below.
    return name in DOTTED | OF_OTHERS or any(known.startswith(f"{name.rstrip('.')}.") for known in DOTTED)


def _spelled(name: str) -> bool:
    whole = name in SPELLED or name in RECORDED or name.startswith(PACKAGES[0])
    return whole or (name.endswith("_") and any(known.startswith(name) for known in SPELLED))


NAMES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "attributes, metrics and events": (r"\b(?:openai_safety|gen_ai)\.[a-z][a-z0-9_./-]*[a-z0-9_]", _dotted),
    "series and labels": (r"(?<![\w.])(?:openai_safety|gen_ai)_[a-z0-9_]*", _spelled),
    "settings": (rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b", SETTINGS.__contains__),
    "the collector's metrics": (r"\botelcol_[a-z_]+\b", names.COLLECTOR_METRICS.__contains__),
}


def unknown(text: str, kind: str) -> set[str]:
    """Names of a kind in a text that the contract lacks."""
    pattern, known = NAMES[kind]
    return {found for found in re.findall(pattern, text) if not known(found)}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_is_of_the_contract(path: Path, kind: str) -> None:
    """No dashboard, rule, configuration or page names something that is never sent."""
    assert unknown(path.read_text(), kind) == set()


@pytest.mark.parametrize(
    ("kind", "text", "wrong"),
    [
        (
            "attributes, metrics and events",
            "`openai_safety.outcom` of openai_safety.block.type",
            {"openai_safety.outcom"},
        ),
        (
            "series and labels",
            "sum(openai_safety_call_total) by (openai_safety_api)",
            {"openai_safety_call_total"},
        ),
        ("settings", "OPENAI_SAFETY_HMAC=x OPENAI_SAFETY_HMAC_KEY=y", {"OPENAI_SAFETY_HMAC"}),
        ("the collector's metrics", "otelcol_exporter_queue_length", {"otelcol_exporter_queue_length"}),
    ],
)
def test_a_wrong_name_is_found(kind: str, text: str, wrong: set[str]) -> None:
    """The search is not blind: one wrong name beside a right one is reported."""
    assert unknown(text, kind) == wrong


def test_the_places_are_read() -> None:
    """Dashboards, rules, runbook and collector configuration are among the files."""
    read = {str(path.relative_to(ROOT)) for path in FILES}
    assert {
        "grafana/dashboards/overview.json",
        "grafana/alerts/openai-safety.rules.yaml",
        "grafana/alerts/loki.rules.yaml",
        "grafana/runbook.md",
        "collector-config/agent.yaml",
        "README.md",
    } <= read
