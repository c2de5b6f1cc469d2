"""Dates and times as options of commands."""

from __future__ import annotations

import re
from typing import Any

import click

from openai_safety_otel.contract import moments

_DAYS = re.compile(r"([1-9][0-9]{0,3})d")


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer click only
    """A date or time in Unix seconds; UTC unless it says."""

    name = "WHEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds."""
        if isinstance(value, int):
            return value
        try:
            return int(moments.instant(value))
        except ValueError:
            self.fail(f"expected 2026-11-20 or 2026-11-20T09:30, got {value!r}", param, ctx)


class Until(Moment):
    """As `Moment`, or a number of days after the notice was received: ``-N`` until that is known."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds; negative: seconds after the receipt."""
        if isinstance(value, str) and (found := _DAYS.fullmatch(value.strip())):
            return -int(found[1]) * 86_400
        return super().convert(value, param, ctx)
