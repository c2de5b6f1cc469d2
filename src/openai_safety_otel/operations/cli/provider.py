"""`provider`: the stand-in for the provider, for tests of an app's own handling of blocks."""

from __future__ import annotations

from pathlib import Path

import click

from openai_safety_otel.operations.cli.needing import needing


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
    module = needing("the provider", ("uvicorn",), "openai_safety_otel.testing.provider")
    module.serve(port=port, replay=replay, block_after=block_after)
