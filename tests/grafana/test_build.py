"""What is committed is what the code makes, and Grafana's own types read it back unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    pytest.skip("grafana-foundation-sdk needs Python 3.11 or newer", allow_module_level=True)

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import build
from support.panels import BOARDS, ROOT


def test_committed_files_are_what_the_code_makes() -> None:
    """Dashboards, rules and the table of alerts were built from the code beside them."""
    assert build.stale() == []


def test_an_edited_dashboard_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is not blind: a changed, a missing and a left-over file are all named."""
    for path, text in build.files().items():
        copy = tmp_path / path.relative_to(build.HERE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    monkeypatch.setattr(build, "HERE", tmp_path)
    assert build.stale() == []
    changed, missing, left = (
        tmp_path / "dashboards" / f"{name}.json" for name in ("overview", "pipeline", "old")
    )
    changed.write_text(changed.read_text().replace("Coverage", "Cover"))
    missing.unlink()
    left.write_text("{}")
    assert build.stale() == [changed, missing, left]


def test_check_exits_with_0() -> None:
    """`python -m grafana.build --check` is what people and CI run."""
    done = subprocess.run(  # noqa: PLW1510 - the exit code is what is tested
        [sys.executable, "-m", "grafana.build", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_dashboards_round_trip_through_the_typed_models(name: str) -> None:
    """Grafana's types, of the version the SDK is generated from, lose and add nothing."""
    register_default_plugins()
    read = Dashboard.from_json(BOARDS[name])
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == BOARDS[name]
