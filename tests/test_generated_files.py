"""`make generated` says which committed files differ from their sources, and writes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import build, chart, chart_schema, generate

ROOT = Path(__file__).parents[1]
VALUES = (chart.CHART / "values.yaml").read_text()


def test_the_collectors_files_are_compared_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed and a foreign file are named, and both stay as they are."""
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "scores.yaml").write_text("by hand")
    (tmp_path / "left.yaml").write_text("by hand")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "differs from its source: left.yaml",
        "differs from its source: scores.yaml",
    ]
    assert [(tmp_path / name).read_text() for name in ("scores.yaml", "left.yaml")] == ["by hand"] * 2


def test_the_chart_holds_what_its_sources_say() -> None:
    """Collector files, rules, dashboards, the table of values and their schema."""
    assert chart.stale() == []


def test_a_file_in_the_chart_that_was_edited_or_left_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing mends both."""
    for name in ("README.md", "values.yaml"):
        (tmp_path / name).write_text((chart.CHART / name).read_text())
    monkeypatch.setattr(chart, "CHART", tmp_path)
    monkeypatch.setattr(chart, "ROOT", tmp_path)
    assert chart.main([]) == 0
    edited, left = tmp_path / "files/rules/loki.rules.yaml", tmp_path / "files/collector/old.yaml"
    edited.write_text(edited.read_text() + "# by hand\n")
    left.write_text("by hand")
    said: list[str] = []
    assert chart.main(["--check"], say=said.append) == 1
    assert sorted(said) == [
        "differs from its source: files/collector/old.yaml",
        "differs from its source: files/rules/loki.rules.yaml",
    ]
    assert chart.main([]) == 0
    assert chart.main(["--check"]) == 0


def _leaves(values: Any, path: str = "") -> list[str]:
    if not isinstance(values, dict) or not values:
        return [path]
    return [leaf for name, one in values.items() for leaf in _leaves(one, f"{path}.{name}".lstrip("."))]


def test_every_value_is_documented() -> None:
    """Each has a line of its own, or stands in a whole that has one."""
    told = {name for name, _, _ in chart.documented(VALUES)}
    undocumented = [
        leaf
        for leaf in _leaves(yaml.safe_load(VALUES))
        if not any(leaf == one or leaf.startswith(f"{one}.") for one in told)
    ]
    assert undocumented == []


def test_a_rule_of_the_schema_about_no_value_is_said() -> None:
    """A renamed value does not lose its rule without a word."""
    with pytest.raises(KeyError, match=r"collector\.mode"):
        chart_schema.schema(VALUES.replace("  mode:", "  kind:"), [])


def test_settings_left_to_values_are_those_the_collector_reads() -> None:
    """What the chart sets itself is not among them."""
    assert chart_schema.settings(["${env:LOG_LEVEL:-warn} ${env:QUEUE_DIR} ${env:LOKI_URL}"]) == ["LOG_LEVEL"]


def test_the_chart_has_the_packages_version_and_the_tested_collector() -> None:
    """Nobody has to remember either when they release."""
    found = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    built = build.required("collector", "go.opentelemetry.io/collector/service").removeprefix("v")
    assert found
    assert (about["version"], about["appVersion"]) == (found[1], found[1])
    assert yaml.safe_load(VALUES)["collector"]["image"]["tag"] == built
