"""The function that stands in for Grafana's own variables."""

from __future__ import annotations

import pytest

from support.interpolate import interpolate, windows


def test_each_spelling_is_replaced() -> None:
    """`$name`, `${name}` and `${name:format}` give the value; what is no variable stays."""
    values = {"job": "chat|search", "__rate_interval": "5m"}
    expr = 'rate(x{job=~"$job", a="${job}", b="${job:regex}"}[$__rate_interval]) # 5$'
    filled = 'rate(x{job=~"chat|search", a="chat|search", b="chat|search"}[5m]) # 5$'
    assert interpolate(expr, values) == filled


def test_longest_name_wins() -> None:
    """`$jobs` is not `$job` with an s."""
    assert interpolate("$jobs", {"job": "a", "jobs": "b"}) == "b"


def test_unknown_variable_raises() -> None:
    """A panel that reads a variable its dashboard lacks is an error, never an empty string."""
    with pytest.raises(KeyError, match="service"):
        interpolate("$service", {})


def test_auto_is_the_range_of_an_instant_query() -> None:
    """As in Grafana: `$__auto` covers the whole range for one number, one step for a graph."""
    assert windows(instant=True, span="3600s", step="60s")["__auto"] == "3600s"
    assert windows(instant=False, span="3600s", step="60s")["__auto"] == "60s"
