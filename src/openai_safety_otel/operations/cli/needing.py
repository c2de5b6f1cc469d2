"""Modules that need the packages of the extra ``demo``."""

from __future__ import annotations

import importlib
from typing import Any

import click


def needing(what: str, packages: tuple[str, ...], module: str) -> Any:
    """Import a module, or say in one line what to install.

    Raises:
        click.ClickException: a package is missing.
    """
    try:
        for package in packages:
            importlib.import_module(package)
    except ModuleNotFoundError:
        message = f"{what} needs more packages: pip install 'openai-safety-otel[demo]'"
        raise click.ClickException(message) from None
    return importlib.import_module(module)
