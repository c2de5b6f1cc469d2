"""Answers at the edges: what stores say when nothing happened, everything did, or time ran out."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from dashboards.answers import Answers
from grafana import names
from openai_safety_otel.contract import conventions as c
from support.scenario import hashed

Result = list[dict[str, Any]]
MANY = 1000


def _points(result: Result, change: Callable[[str], str]) -> Result:
    """The same series with other values; lines of a log stay as they are."""
    changed = deepcopy(result)
    for one in changed:
        if "value" in one:
            one["value"][1] = change(one["value"][1])
        elif "stream" not in one:
            one["values"] = [[at, change(value)] for at, value in one["values"]]
    return changed


def _many(result: Result) -> Result:
    """A thousand series, streams or rows in the place of each answer's first."""
    first = result[0] if result else None
    if first is None or ("values" in first and "stream" not in first):
        return result  # a graph's series are few by its query
    if "stream" in first:
        at, line = first["values"][0][:2]
        return [{**first, "values": [[str(int(at) - n), line] for n in range(MANY)]}]
    by = next((name for name in (names.field(c.USER_HASH), names.SERVICE) if name in first["metric"]), None)
    if by is None:
        return result
    who: Callable[[int], str] = (
        (lambda n: hashed(str(n))) if by == names.field(c.USER_HASH) else "service-{}".format
    )
    return [{**first, "metric": {**first["metric"], by: who(n)}} for n in range(MANY)]


def _one(result: Result) -> Result:
    return result[:1]


EDGES: dict[str, Callable[[Result], Result]] = {
    "all zero": lambda result: _points(result, lambda _: "0"),
    "one row": _one,
    "a thousand rows": _many,
    "empty store": lambda _: [],
}


def at_the_edge(answers: Answers, edge: str) -> Answers:
    """Every answer changed in this way."""
    change = EDGES[edge]
    return replace(
        answers, found={key: one | {"result": change(one["result"])} for key, one in answers.found.items()}
    )


def nothing_grew(expr: str) -> str:
    """The same query where no counter has grown: shares are 0 / 0, which is NaN."""
    return re.sub(r"\b(increase|rate)\(", r"0 * \1(", expr)


def at_another_time(moment: float) -> Callable[[str], str]:
    """The same query, compared with another time."""
    return lambda expr: expr.replace("time()", f"{moment:.0f}")
