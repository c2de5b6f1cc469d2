"""The five usual edits of CONTRIBUTING.md, made on a copy: how many files each takes, and which test names the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = "src/openai_safety_otel/"
LEFT_OUT = ("docs/report.png", "grafana/pictures/", "benchmarks/results/", "tests/dashboards/")


class Copy:
    """A copy of the checkout, edited as a newcomer would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.edited: set[str] = set()

    def edit(self, name: str, before: str, after: str) -> None:
        """Put one text in the place of another that stands there once."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name} does not hold this once: {before}"
        path.write_text(text.replace(before, after), encoding="utf-8")
        self.edited.add(name)

    def run(self, *words: str) -> tuple[bool, str]:
        """Run Python on the copy; whether it succeeded, and what it said."""
        paths = (self.folder / "src", self.folder / "tests", self.folder)
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=self.folder, env=environ, check=False, capture_output=True, text=True, timeout=120
        )
        return done.returncode == 0, done.stdout + done.stderr

    def test(self, *names: str) -> tuple[bool, str]:
        """Run tests of the copy."""
        return self.run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *names)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """What git keeps of the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(LEFT_OUT):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    return Copy(tmp_path)


def test_an_attribute_takes_three_files(copy: Copy) -> None:
    """A name that nobody sets is named by a test; the fact and one row of the table set it on span and event."""
    check = "test_contract_is_kept.py"
    copy.edit(
        f"{SRC}contract/conventions.py",
        "BLOCK_CODE: Final =",
        'WEATHER: Final = _attribute("openai_safety.weather", "string", "how it was outside")\nBLOCK_CODE: Final =',
    )
    green, said = copy.test(f"tests/{check}")
    assert not green
    assert "openai_safety.weather" in said
    copy.edit(
        f"{SRC}contract/record.py",
        "    local_block: BlockType | None = None\n",
        '    local_block: BlockType | None = None\n    weather: str | None = "sunny"\n',
    )
    copy.edit(
        f"{SRC}instrumentation/signals/attributes.py",
        "        (c.RETRIES, record.retries or None),\n",
        "        (c.RETRIES, record.retries or None),\n        (c.WEATHER, record.weather),\n",
    )
    green, said = copy.test(f"tests/{check}")
    assert green, said
    assert len(copy.edited) == 3
    green, said = copy.run("docs/generate.py", "--check")
    assert not green
    assert "names.md" in said


def test_a_kind_of_block_takes_one_file_and_its_twins(copy: Copy) -> None:
    """A row makes code and type a block; without its class nothing starts, without twins a test names the rules."""
    place = f"{SRC}contract/blocks.py"
    copy.edit(place, '    "access_terminated",\n]', '    "access_terminated",\n    "weather_policy",\n]')
    green, said = copy.test("tests/test_block_rules.py")
    assert not green
    assert "KeyError: 'weather_policy'" in said
    copy.edit(
        place,
        '    "access_terminated": Block(',
        '    "weather_policy": Block("enforcement", ("weather_policy_violation",)),\n    "access_terminated": Block(',
    )
    assert copy.edited == {place}
    codes = "openai_safety_otel.instrumentation.extract.codes"
    ask = f"from {codes} import block_of; print(block_of('Weather-Policy.Violation'))"
    assert copy.run("-c", ask) == (True, "weather_policy\n")
    for check, named in (("twin", "weather_policy_code"), ("pinned", "weather_policy")):
        green, said = copy.test("tests/test_block_rules.py", "-k", check)
        assert not green
        assert named in said


def test_a_panel_takes_one_file_and_changes_nothing_else(copy: Copy) -> None:
    """The built dashboard differs by the panel and by nothing else: ids of others stay."""
    copy.edit(
        "grafana/boards/moderation.py",
        "            _checks(),\n",
        "            _checks(),\n"
        '            row(990, "How is it outside?", 4, panel(991, p.note("Weather", "Now.", "Sunny."), width=6)),\n',
    )
    built = "grafana/dashboards/moderation.json"
    before = _panels(copy.folder / built)
    green, said = copy.run("-m", "grafana.build")
    assert green, said
    after = _panels(copy.folder / built)
    assert set(after) - set(before) == {990, 991}
    assert {key: shown for key, shown in after.items() if key in before} == before
    assert len(copy.edited) == 1


def _panels(path: Path) -> dict[int, object]:
    """Each panel by its id, without the place that it was given."""
    found = json.loads(path.read_text(encoding="utf-8"))["panels"]
    return {one["id"]: {name: value for name, value in one.items() if name != "gridPos"} for one in found}


def test_an_endpoint_takes_one_row(copy: Copy) -> None:
    """Without its row, a test names the method of the SDK that nobody records."""
    copy.edit(
        f"{SRC}instrumentation/extract/endpoints.py",
        '    ("POST", "/embeddings", Endpoint("embeddings", "embeddings.create", "embeddings")),\n',
        "",
    )
    green, said = copy.test("tests/test_endpoints.py", "-k", "recorded_or")
    assert not green
    assert "embeddings.create" in said


def test_a_renamed_option_takes_one_file(copy: Copy) -> None:
    """Until it is written anew, a check names the page that has the old one."""
    copy.edit(f"{SRC}operations/cli/report.py", '"--top"', '"--most", "top"')
    green, said = copy.run("docs/generate.py", "--check")
    assert not green
    assert "cli.md" in said
