"""`doctor`: what would silently not work."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.operations.cli.output import say
from openai_safety_otel.operations.doctor.examine import examine
from openai_safety_otel.operations.doctor.kept import accept_key as accept

_MARKS = {"ok": ("✓", "green"), "note": ("·", "cyan"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety doctor\n"
    "  opentelemetry-instrument openai-safety doctor   # also sees other instrumentations' wrappers\n"
    "  openai-safety doctor --json | jq '.[] | select(.state == \"fail\")'\n"
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
@click.option(
    "--accept-key", is_flag=True, help="The key in force is meant, although it is not the last one seen."
)
def doctor(as_json: bool, accept_key: bool) -> None:
    """Try versions, hooks, settings, key, what the settings name, and exporters; show what a call would send.

    The resolver is called, the suspension list read, each folder written to. The store remembers the key's id,
    so that a changed key is told. Keys are never shown. Exits with 1 when something would silently not work.
    """
    settings = Settings.resolve()
    if accept_key:
        accept(settings)
    findings = examine(settings)
    if as_json:
        say(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            mark, colour = _MARKS[finding.state]
            mend = f" → {finding.mend}" if finding.mend and finding.state != "ok" else ""
            say(f" {finding.topic:<13} {finding.text}{mend}", mark=click.style(mark, fg=colour))
    sys.exit(any(finding.state == "fail" for finding in findings))
