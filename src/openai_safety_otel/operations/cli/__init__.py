"""The ``openai-safety`` command: each verb's file is loaded when it is used."""

from __future__ import annotations

import importlib
import sys

from openai_safety_otel.contract.installing import install

# verb -> where its click command lives; the order is the order of the help page.
VERBS = {
    "demo": "openai_safety_otel.operations.cli.demo:demo",
    "doctor": "openai_safety_otel.operations.cli.doctor:doctor",
    "identifier": "openai_safety_otel.operations.cli.identifier:identifier",
    "report": "openai_safety_otel.operations.cli.report:report",
    "whois": "openai_safety_otel.operations.cli.whois:whois",
    "investigate": "openai_safety_otel.operations.cli.investigate:investigate",
    "decide": "openai_safety_otel.operations.cli.decide:decide",
    "suspend": "openai_safety_otel.operations.cli.decide:suspend",
    "decisions": "openai_safety_otel.operations.cli.decide:decisions",
    "suspensions": "openai_safety_otel.operations.cli.suspensions:suspensions",
    "queue": "openai_safety_otel.operations.cli.queue:queue",
    "notice": "openai_safety_otel.operations.cli.notice:notice",
    "webhooks": "openai_safety_otel.operations.cli.webhooks:webhooks",
    "reconcile": "openai_safety_otel.operations.cli.reconcile:reconcile",
    "batch": "openai_safety_otel.operations.cli.batch:batch",
    "provider": "openai_safety_otel.operations.cli.demo:provider",
    "compact": "openai_safety_otel.operations.cli.compact:compact",
    "erase": "openai_safety_otel.operations.cli.erase:erase",
}


def main() -> None:
    """Run the command line; without the ``cli`` extra, say in one line what to install."""
    try:
        output = importlib.import_module("openai_safety_otel.operations.cli.output")
        group = importlib.import_module("openai_safety_otel.operations.cli.group")
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"openai-safety needs click and rich: {install('cli')}")
    output.suit_locale()
    group.app()
