"""`demo`: the whole loop on this machine."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

_NEEDED = (
    "fastapi", "uvicorn", "openai", "duckdb", "msgspec", "opentelemetry.sdk", "pydantic",
    "opentelemetry.configuration",
    "opentelemetry.exporter.otlp.json.file",
)  # fmt: skip
_INSTALL = (
    "the demo needs more packages: pip install 'openai-safety-otel[otlp,cli,report]' fastapi uvicorn openai "
    "opentelemetry-configuration opentelemetry-exporter-otlp-json-file"
)


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety demo\n"
    "  openai-safety demo --out /tmp/look\n"
    "  openai-safety demo --serve --port 8090          only the provider stub, until Ctrl-C\n"
    "  openai-safety demo --serve --replay recordings/ the stub, answering with recorded exchanges\n"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for telemetry, page and log; made anew.",
)
@click.option("--collector", metavar="URL", help="Send the app's telemetry to this OTLP/HTTP endpoint too.")
@click.option("--serve", is_flag=True, help="Only serve the provider stub; its address is printed.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="With --serve: the port. [default: free]"
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="With --serve: a folder of recorded exchanges to answer with.",
)
def demo(out: Path, collector: str | None, serve: bool, port: int, replay: Path | None) -> None:
    """Start a provider stub and an unchanged app, drive 30 users through it, and show what is known of them.

    Only loopback is used. Exit code 1: the files and the provider's own ledger disagree.
    """
    if not serve:
        if port or replay:
            raise click.UsageError("--port and --replay belong to --serve")
        sys.exit(_module("openai_safety_otel.demo.run").run(out, collector=collector))
    _module("openai_safety_otel.demo.provider").serve(port=port, replay=replay)


def _module(name: str) -> Any:
    try:
        for needed in _NEEDED:
            importlib.import_module(needed)
    except ModuleNotFoundError:
        raise click.ClickException(_INSTALL) from None
    return importlib.import_module(name)
