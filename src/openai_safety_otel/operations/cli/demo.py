"""`demo`: the whole loop on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from openai_safety_otel.operations.cli.needing import needing

_NEEDED = (
    "fastapi", "uvicorn", "openai", "duckdb", "msgspec", "opentelemetry.sdk", "pydantic",
    "opentelemetry.configuration",
    "opentelemetry.exporter.otlp.json.file",
)  # fmt: skip


@click.command(epilog="\b\nExamples:\n  openai-safety demo\n  openai-safety demo --out /tmp/look\n")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for telemetry, page and log; made anew.",
)
@click.option("--serve", is_flag=True, hidden=True)
def demo(out: Path, serve: bool) -> None:
    """Start a provider stub and an unchanged app, drive 30 users through it, and show what is known of them.

    Only loopback is used. Exit code 1: the files and the provider's own ledger disagree.
    """
    if serve:
        raise click.UsageError("the provider alone is now: openai-safety provider")
    sys.exit(needing("the demo", _NEEDED, "openai_safety_otel.demo.run").run(out))
