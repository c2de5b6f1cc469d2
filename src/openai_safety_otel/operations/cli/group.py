"""The command group: finds a verb's file only when the verb is used."""

from __future__ import annotations

import importlib
from typing import Any, cast

import click

from openai_safety_otel.contract.addresses import without_password
from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.operations.cli import VERBS
from openai_safety_otel.operations.cli.output import clean

# Which extra brings a package that a verb imports.
EXTRAS = {
    "httpx2": "cli",
    "duckdb": "report",
    "jinja2": "report",
    "markupsafe": "report",
    "msgspec": "report",
    "sqlalchemy": "report",
    "redis": "redis",
    "openai": "webhooks",
    "uvicorn": "webhooks",
    "opentelemetry": "otlp",
}


class Verbs(click.Group):
    """A click group over the table of verbs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the table's order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's command."""
        place = VERBS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        try:
            return cast("click.Command", getattr(importlib.import_module(module), name))
        except ModuleNotFoundError as error:
            raise _missing(cmd_name, error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error is one line that names no password of an address, and moves no cursor."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:  # a package that this way of calling the verb needs
            raise _missing(str(ctx.invoked_subcommand), error) from None
        except OneLineError as error:
            raise click.ClickException(clean(without_password(str(error)))) from None
        except click.ClickException as error:
            error.__dict__["message"] = clean(without_password(error.message))
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line for each verb; of one whose extra is missing, what to install."""
        width = formatter.width - 6 - max(map(len, VERBS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(ctx, name, width)) for name in VERBS])

    def _summary(self, ctx: click.Context, name: str, width: int) -> str:
        try:
            command = self.get_command(ctx, name)
        except click.ClickException as missing:
            return f"({missing.message.partition(': ')[2]})"
        return command.get_short_help_str(width) if command else ""


def _missing(verb: str, error: ModuleNotFoundError) -> Exception:
    """What to install; the error itself where no extra brings that package."""
    extra = EXTRAS.get(str(error.name).partition(".")[0])
    if extra is None:
        return error
    return click.ClickException(f"{verb} needs {error.name}: {install(extra)}")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openai-safety-otel")
def app() -> None:
    """Safety observability for products built on the OpenAI API.

    Data goes to standard output, messages to standard error; every command takes --json where it prints data.
    """
