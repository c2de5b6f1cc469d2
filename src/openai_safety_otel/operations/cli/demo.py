"""`demo` and `provider`: the whole loop on this machine, and the stand-in for the provider alone."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from openai_safety_otel.contract.installing import install

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
    sys.exit(_needing("the demo", _NEEDED, "openai_safety_otel.demo.run").run(out))


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety provider --port 8090          until Ctrl-C; its address is printed first\n"
    "  openai-safety provider --replay recordings/ answers with recorded exchanges\n"
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="The loopback port.  [default: a free one]"
)
@click.option(
    "--block-after",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Enforcement blocks after which everything of an identifier is blocked; 0: never.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder of recorded exchanges to answer with.",
)
def provider(port: int, block_after: int, replay: Path | None) -> None:
    """Serve a stand-in for OpenAI's API on loopback that blocks, filters, flags and warns as told.

    Set OPENAI_BASE_URL to the printed address. What a prompt says decides what happens; see docs/provider.md.
    `GET /_ledger` shows what it did.
    """
    module = _needing("the provider", ("uvicorn",), "openai_safety_otel.testing.provider")
    module.serve(port=port, replay=replay, block_after=block_after)


def _needing(what: str, packages: tuple[str, ...], module: str) -> Any:
    """Import a module, or say in one line what to install."""
    try:
        for package in packages:
            importlib.import_module(package)
    except ModuleNotFoundError:
        message = f"{what} needs more packages: {install('demo')}"
        raise click.ClickException(message) from None
    return importlib.import_module(module)
