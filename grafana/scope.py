"""Selectors: which series and lines a query reads, checked against the contract as they are built."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grafana.names import COMPLETED, ENVIRONMENT, NOTABLE, SERVICE, STREAM, field, series
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments

_OPERATORS = ("=~", "!~", "!=", "=")


@dataclass(frozen=True, slots=True)
class Match:
    """One condition on an attribute of the contract."""

    attribute: str
    operator: str
    value: str

    def __post_init__(self) -> None:
        if self.operator not in _OPERATORS:
            raise ValueError(f"unknown operator {self.operator}")
        allowed = c.ATTRIBUTES[self.attribute].values
        named = set(re.findall(r"[A-Za-z_/-]+", self.value)) if "$" not in self.value else set()
        if allowed and not named <= set(allowed):
            raise ValueError(f"{self.attribute} is never {self.value}")

    def __str__(self) -> str:
        return f'{field(self.attribute)}{self.operator}"{self.value}"'


def equal(attribute: str, value: str) -> Match:
    """The attribute has this value."""
    return Match(attribute, "=", value)


def one_of(attribute: str, *values: str) -> Match:
    """The attribute has one of these values."""
    return Match(attribute, "=~", "|".join(values))


def none_of(attribute: str, *values: str) -> Match:
    """The attribute has none of these values."""
    return Match(attribute, "!~", "|".join(values))


def present(attribute: str) -> Match:
    """The attribute is there."""
    return Match(attribute, "!=", "")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a query is about: the dashboard's variables, or all services for an alert.

    Args:
        series: matchers of every Prometheus selector.
        lines: matchers of every Loki stream selector.
        traffic: condition on the kind of traffic.
    """

    series: tuple[str, ...]
    lines: tuple[str, ...]
    traffic: Match

    def select(self, metric: instruments.Metric, *matches: Match, part: str = "") -> str:
        """A Prometheus selector of one metric (``part`` of a histogram); labels are the contract's."""
        conditions = [*matches, self.traffic] if c.TRAFFIC in metric.labels else list(matches)
        if wrong := [m.attribute for m in conditions if m.attribute not in metric.labels]:
            raise ValueError(f"{metric.name} has no label {', '.join(wrong)}")
        inner = ", ".join([*self.series, *(str(condition) for condition in conditions)])
        return f"{series(metric)}{part}{{{inner}}}"

    def not_ours(self, name: str) -> str:
        """A Prometheus selector of a metric that is not ours (the collector's own)."""
        wanted = [m for m in self.series if not m.startswith((SERVICE, ENVIRONMENT))]
        return f"{name}{{{', '.join(wanted)}}}" if wanted else name

    def events(self, event: str, *matches: Match, streams: tuple[str, ...] = (NOTABLE, COMPLETED)) -> str:
        """A Loki log query: one kind of event, filtered by attributes; the fewer streams, the faster."""
        operator = "=" if len(streams) == 1 else "=~"
        selector = ", ".join([*self.lines, f'{STREAM}{operator}"{"|".join(streams)}"'])
        filters = [Match(c.EVENT_NAME, "=", event), self.traffic, *matches]
        return f"{{{selector}}}" + "".join(f" | {condition}" for condition in filters)


DASHBOARD = Scope(
    series=(
        'job=~"$job"',
        'instance=~"$instance"',
        f'{SERVICE}=~"$service"',
        f'{ENVIRONMENT}=~"$environment"',
    ),
    lines=(f'{SERVICE}=~"$service"', f'{ENVIRONMENT}=~"$environment"'),
    traffic=Match(c.TRAFFIC, "=~", "$traffic"),
)
ALERT = Scope(series=(), lines=(), traffic=equal(c.TRAFFIC, "production"))
DRILL = Scope(series=(), lines=(), traffic=equal(c.TRAFFIC, "drill"))
