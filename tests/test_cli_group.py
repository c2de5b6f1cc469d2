"""The command group: every verb loads, and a missing extra is one line with the command that mends it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import openai_safety_otel
from openai_safety_otel.contract.installing import install
from openai_safety_otel.operations.cli import VERBS
from openai_safety_otel.operations.cli.group import EXTRAS, app

BLOCK = (
    "import sys; sys.modules[{name!r}] = None; from openai_safety_otel.operations.cli import main; "
    "sys.argv[1:] = {args!r}; main()"
)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    """`--help` of each verb answers at once, says what it does and shows an example."""
    command = app.get_command(click.Context(app), verb)
    inner = list(command.commands) if isinstance(command, click.Group) else []
    pages = [CliRunner().invoke(app, [verb, *path, "--help"]) for path in ([], *([name] for name in inner))]
    shown = "".join(page.output.split("Usage:", 1)[1] for page in pages)
    assert ([0] * len(pages), True) == ([page.exit_code for page in pages], f"openai-safety {verb}" in shown)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("duckdb", ["report"]),
        ("jinja2", ["report"]),
        ("msgspec", ["report"]),
        ("duckdb", ["decisions", "--verify", "--source", "files"]),
        ("openai", ["webhooks"]),
        ("uvicorn", ["webhooks"]),
        (
            "sqlalchemy",
            ["whois", "a" * 64, "--sql", "sqlite:///u.db", "--query", "u.id", "--by", "ann", "--why", "x"],
        ),
    ],
)
def test_a_missing_extra_is_one_line(name: str, args: list[str], tmp_path: Path) -> None:
    """Without the packages of an extra, its verb names the extra instead of a traceback, whenever it needs them."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCK.format(name=name, args=args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "OPENAI_SAFETY_HMAC_KEY": "k" * 40},
    )
    assert 1 == done.returncode
    (line,) = done.stderr.splitlines()
    assert line.endswith(f": {install(EXTRAS[name])}"), line


def test_without_the_cli_extra_too() -> None:
    """Without click the command says what to install."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCK.format(name="click", args=["report"])],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert f"openai-safety needs click and rich: {install('cli')}\n" == done.stderr


def test_every_package_that_commands_import_has_its_extra() -> None:
    """Whichever of its packages a verb misses first, the message names the extra that brings it."""
    root = Path(openai_safety_otel.__file__).parent
    imported = {
        name.partition(".")[0]
        for room in ("operations", "ledger")
        for path in (root / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
        )
    }
    there = {*sys.stdlib_module_names, "click", "rich", "openai_safety_otel"}
    assert set() == imported - there - EXTRAS.keys()
