"""`doctor`: what would silently not work."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from openai_safety_otel.doctor import examine
from openai_safety_otel.settings import Settings

_MARKS = {"ok": ("✓", "green"), "note": ("·", "cyan"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety doctor\n"
    "  opentelemetry-instrument openai-safety doctor   # also sees other instrumentations' wrappers\n"
    "  openai-safety doctor --json | jq '.[] | select(.state == \"fail\")'\n"
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
def doctor(as_json: bool) -> None:
    """Examine versions, hooks, settings, key, exporters and limits, and show what a call would send.

    Keys are never shown. Exits with 1 when something would silently not work.
    """
    findings = examine(Settings.resolve())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            mark, colour = _MARKS[finding.state]
            mend = f" → {finding.mend}" if finding.mend and finding.state != "ok" else ""
            click.echo(f"{click.style(mark, fg=colour)} {finding.topic:<10} {finding.text}{mend}")
    sys.exit(any(finding.state == "fail" for finding in findings))
