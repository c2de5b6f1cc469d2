"""Dates and times as options of commands."""

from __future__ import annotations

from typing import Any

import click

from openai_safety_otel.contract import moments


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer click only
    """A date or time in Unix seconds; UTC unless it says."""

    name = "WHEN"
    expected = "expected 2026-11-20 or 2026-11-20T09:30"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds."""
        if isinstance(value, int):
            return value
        try:
            seconds = int(moments.instant(value))
        except ValueError:
            self.fail(f"{self.expected}, got {value!r}", param, ctx)
        if seconds < 0:
            self.fail(f"{value!r} is before 1970", param, ctx)
        return seconds


class Until(Moment):
    """As `Moment`, or a time after the notice was received: ``-N`` seconds until that is known."""

    expected = "expected 2026-11-20 or 2026-11-20T09:30, or 48h or 7d after the receipt"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds; negative: seconds after the receipt."""
        if isinstance(value, str) and (seconds := moments.span(value)) is not None:
            return -int(seconds)
        return super().convert(value, param, ctx)
