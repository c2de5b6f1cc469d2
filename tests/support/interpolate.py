"""Grafana's variables replaced by values, as its data sources do it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


def interpolate(expr: str, values: Mapping[str, str]) -> str:
    """Replace ``$name``, ``${name}`` and ``${name:format}``.

    Raises:
        KeyError: a variable has no value; a panel that reads it could never work.
    """
    return _VARIABLE.sub(lambda found: values[found.group(1) or found.group(2)], expr)


def windows(*, instant: bool, span: str, step: str) -> dict[str, str]:
    """The windows Grafana knows: ``$__auto`` is the whole range of an instant query, the step of a graph."""
    auto = span if instant else step
    return {"__auto": auto, "__range": span, "__interval": step, "__rate_interval": "5m"}
