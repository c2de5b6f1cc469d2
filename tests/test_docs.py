"""The README and the pages: generated parts are up to date, and what they name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import openai
import pytest

from openai_safety_otel.contract.settings import PREFIX, Settings
from openai_safety_otel.operations.cli import VERBS
from openai_safety_otel.testing.provider import Provider
from support.telemetry import Instrument

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]


def test_generated_pages_are_up_to_date() -> None:
    """Settings, names and command line are what the code says; `make generate` writes them."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file, and its anchor a heading of that file."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [] == [one for one in targets if "://" not in one and not (page.parent / one).exists()]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_and_targets_named_exist(page: str) -> None:
    """The pages for whoever carries on name files and targets that are there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    inside = ROOT / "src" / "openai_safety_otel"
    paths = re.findall(r"`((?:[\w.*-]+/)+[\w.*-]*|[\w-]+\.py)", text)
    rooms = (ROOT, inside, inside / "instrumentation", inside / "instrumentation" / "extract")
    assert [] == [one for one in paths if not any(list(room.glob(one.rstrip("/"))) for room in rooms)]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set() == set(re.findall(r"`make ([a-z-]+)`", text)) - set(targets)


def test_make_targets_and_verbs_exist() -> None:
    """Each `make x` and `openai-safety x` that the README names can be run."""
    text = README.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set() == set(re.findall(r"make ([a-z-]+)", text)) - targets
    assert set() == set(re.findall(r"openai-safety ([a-z]+)", text)) - set(VERBS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_named_exist(page: Path) -> None:
    """No page names a setting that is not in `Settings`."""
    known = {PREFIX + item.name.upper() for item in fields(Settings)}
    named = set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")))
    assert set() == named - known


def test_the_python_of_the_readme_runs(provider_url: str, instrument: Instrument) -> None:
    """The five lines of Python work as printed, given a client."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    instrument()
    with openai.OpenAI(api_key="k", base_url=provider_url) as client:
        names: dict[str, Any] = {"client": client}
        exec(compile(code, "README.md", "exec"), names)
    assert "end_user" in names


@pytest.fixture
def provider_url() -> Any:
    with Provider() as provider:
        yield provider.url
        assert 1 == len([entry for entry in provider.ledger if entry.identifier])


def test_people_are_named_neutrally() -> None:
    """Code, tests, docs and the runbook call the end user "they": nobody knows who is behind an identifier."""
    kept = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "grafana").rglob("*.md"),
    ]
    code = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".j2", ".js", ".css"}]
    code += [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    shown = [*kept, *code, *(ROOT / "grafana").rglob("*.json"), *(ROOT / "grafana").rglob("*.yaml")]
    found = {
        str(path.relative_to(ROOT)): words
        for path in shown
        if "vendor" not in path.parts
        and (words := re.findall(r"(?i)\b(?:he|him|his|she|hers?)\b", path.read_text(encoding="utf-8")))
    }
    assert found == {}


# What stands at the top of the repository. Whatever else is there was left lying about.
TOP = """
    .ci .gitignore .pre-commit-config.yaml CHANGELOG.md CONTRIBUTING.md LICENSE Makefile README.md SECURITY.md
    benchmarks collector-config compose.yaml deploy docs grafana pyproject.toml src stack tests
"""


def test_nothing_else_stands_at_the_top() -> None:
    """The repository's first page shows what belongs to it: no download, log or output was put in."""
    command = ["git", "ls-tree", "--name-only", "HEAD"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert shown.split() == TOP.split()
