"""`make generated` says which committed files differ from their sources, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import generate


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
