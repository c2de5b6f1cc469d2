"""The same eight days as samples: what the processes' metrics and a collector's own would have been."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dashboards.week import DAY, DAYS, HOUR, Call, Week
from grafana import names
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from openai_safety_otel.contract.blocks import BLOCK_CLASSES

Series = tuple[str, tuple[tuple[str, str], ...]]
# Seconds between samples: in the last hours, and before; gauges are asked for what they were at one moment.
OFTEN, SELDOM, GAUGES = 60, 600, 240
RECENT = 2 * HOUR
# Histograms are many series: a day of them is enough.
_OF_A_DAY = (names.series(instruments.MODERATION_SCORE), names.series(instruments.FIRST_OUTPUT))


def _process(service: str) -> dict[str, str]:
    return {
        "job": service,
        "instance": f"{service}-1",
        names.SERVICE: service,
        names.ENVIRONMENT: "production",
    }


def _series(
    metric: instruments.Metric, service: str, of: dict[str, str], part: str = "", **more: str
) -> Series:
    labels = _process(service) | {names.field(name): value for name, value in of.items()} | more
    return names.series(metric) + part, tuple(sorted(labels.items()))


def _counted(metric: instruments.Metric, call: Call, values: tuple[str, ...]) -> Series:
    return _series(metric, call.service, dict(zip(metric.labels, values, strict=True)))


def _observed(
    metric: instruments.Metric, call: Call, values: tuple[str, ...], value: float
) -> Iterator[tuple[Series, float]]:
    about: Any = dict(zip(metric.labels, values, strict=True))
    for bound in (*metric.bounds, float("inf")):
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        yield _series(metric, call.service, about, "_bucket", le=le), float(value <= bound)
    yield _series(metric, call.service, about, "_sum"), value
    yield _series(metric, call.service, about, "_count"), 1


def grown(call: Call) -> Iterator[tuple[Series, float]]:
    """What a call adds to which series."""
    r, o = call.record, call.outcome
    model = r.request_model or ""
    yield (
        _counted(instruments.CALLS, call, (r.api, model, o.name, r.identity.source, r.delivery, r.traffic)),
        1,
    )
    if o.block_type:
        kind = (r.api, o.block_type, BLOCK_CLASSES[o.block_type], o.block_source or "", r.traffic)
        yield _counted(instruments.BLOCKS, call, kind), 1
    if r.time_to_first_output:
        yield from _observed(instruments.FIRST_OUTPUT, call, (r.api, model), r.time_to_first_output)
    for direction, leg in r.moderation.legs.items():
        result = "error" if leg.error else "flagged" if leg.flagged else "passed"
        yield _counted(instruments.CHECKS, call, (r.api, direction, result)), 1
        for category in leg.categories:
            yield _counted(instruments.FLAGS, call, (direction, category)), 1
        for category, score in leg.scores.items():
            yield from _observed(instruments.MODERATION_SCORE, call, (direction, category), score)


def _levels(week: Week) -> dict[Series, Callable[[float], float | None]]:
    """Gauges, and counters that grow evenly: their value at a moment, or nothing."""
    released, warned = week.now - 3 * DAY, week.deadline - 7 * DAY
    found: dict[Series, Callable[[float], float | None]] = {}

    def gauge(
        metric: instruments.Metric, service: str, value: Callable[[float], float | None], **about: Any
    ) -> None:
        found[_series(metric, service, about)] = value

    for service in ("chat", "search"):
        for version, first, last in (("0.9.0", 0.0, released), ("0.10.0", released, float("inf"))):
            about = {
                c.VERSION: version,
                c.SDK_VERSION: "3.52.0",
                c.IDENTIFIER_KEY_ID: "k1",
                c.HOOK_STATE: "installed",
            }
            gauge(instruments.INFO, service, lambda t, a=first, b=last: 1 if a <= t < b else None, **about)  # type: ignore[misc]
        gauge(instruments.SUSPENSIONS_AGE, service, lambda t: 2 + t % 9)
        for reason, a_day in (("raw_suspected", 1.0), ("no_key", 0.0)):
            gauge(
                instruments.PROBLEMS,
                service,
                lambda t, n=a_day: float(int(n * t / DAY)),  # type: ignore[misc]
                **{c.REASON: reason},
            )
        gauge(instruments.DROPPED, service, lambda _: 0.0, **{c.SIGNAL: "event", c.REASON: "queue_full"})
        for api, model, a_day in (("realtime", "gpt-realtime", 4.0), ("live", "gpt-live", 3.0)):
            values = (api, model, "completed", "end_user", "sent", "production")
            gauge(
                instruments.CALLS,
                service,
                lambda t, n=a_day: float(int(n * t / DAY)),  # type: ignore[misc]
                **dict(zip(instruments.CALLS.labels, values, strict=True)),
            )
        gauge(
            instruments.CLIENT_SECRETS,
            service,
            lambda t: float(int(4 * t / DAY)),
            **{c.TRAFFIC: "production"},
        )
        gauge(
            instruments.SESSIONS,
            service,
            lambda t: float(int(3 * t / DAY)),
            **{c.API: "live", c.TRAFFIC: "production"},
        )
    told = {c.NOTICE_TYPE: "warning", c.NOTICE_SUBJECT: "organization", c.TRAFFIC: "production"}
    blocked = told | {c.NOTICE_TYPE: "identifier_blocked", c.NOTICE_SUBJECT: "identifier"}
    gauge(instruments.NOTICES_OPEN, "safety-webhooks", lambda t: float(t > warned), **told)
    gauge(instruments.NOTICES_OPEN, "safety-webhooks", lambda t: float(t > week.now - 2 * HOUR), **blocked)
    gauge(instruments.DEADLINE, "safety-webhooks", lambda t: week.deadline if t > warned else None, **told)
    for result, a_day in (("accepted", 1.0), ("bad_signature", 0.2)):
        gauge(
            instruments.WEBHOOKS,
            "safety-webhooks",
            lambda t, n=a_day: float(int(n * t / DAY)),  # type: ignore[misc]
            **{c.RESULT: result},
        )
    return found | _collector()


def _collector() -> dict[Series, Callable[[float], float | None]]:
    where = (("instance", "collector-1:8888"), ("job", "otelcol"))

    def own(name: str, **more: str) -> Series:
        return name, tuple(sorted((*where, *more.items())))

    found: dict[Series, Callable[[float], float | None]] = {
        own(names.UP): lambda _: 1.0,
        own(names.UPTIME): lambda t: t % 1e6,
        own(names.MEMORY): lambda t: 1.3e8 + 4e6 * ((t / HOUR) % 5),
    }
    for exporter, base in (("otlp_http/safety", 3), ("otlp_http/completed", 9), ("otlp_http/prometheus", 1)):
        found[own(names.QUEUE_SIZE, exporter=exporter)] = lambda t, n=base: float(n + int(t / 700) % 4)  # type: ignore[misc]
        found[own(names.QUEUE_CAPACITY, exporter=exporter)] = lambda _: 1000.0
    for item, a_second in (("log_records", 0.02), ("spans", 0.02), ("metric_points", 1.1)):
        for table in (names.ACCEPTED, names.SENT):
            found[own(table[item])] = lambda t, n=a_second: float(int(n * (t % 1e7)))  # type: ignore[misc]
        found[own(names.REFUSED[item])] = lambda _: 0.0
    return found


def _sums(week: Week) -> dict[Series, list[tuple[float, float]]]:
    """What each counter had counted, at each moment it grew."""
    sums: dict[Series, float] = defaultdict(float)
    steps: dict[Series, list[tuple[float, float]]] = defaultdict(list)
    for call in week.calls:
        for series, more in grown(call):
            sums[series] += more
            steps[series].append((call.at, sums[series]))
    return steps


def _sampled(name: str, grew: list[tuple[float, float]], times: list[float]) -> Iterator[tuple[float, float]]:
    at, value = 0, 0.0
    for time in times:
        while at < len(grew) and grew[at][0] <= time:
            value, at = grew[at][1], at + 1
        if not name.startswith(_OF_A_DAY) or time > times[-1] - 1.1 * DAY:
            yield time, value


def _times(week: Week, seldom: int) -> list[float]:
    begin = week.now - DAYS * DAY
    before = [begin + n * seldom for n in range(int((DAYS * DAY - RECENT) / seldom))]
    return before + [week.now - RECENT + n * OFTEN for n in range(int(RECENT / OFTEN) + 1)]


def openmetrics(week: Week) -> Iterator[str]:
    """The text that `promtool tsdb create-blocks-from openmetrics` reads: one family after the other."""
    lines: dict[str, list[str]] = defaultdict(list)

    def write(series: Series, samples: Iterable[tuple[float, float | None]]) -> None:
        name, labels = series
        start = name + "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}"
        lines[name] += [f"{start} {value:.10g} {time:.0f}" for time, value in samples if value is not None]

    for series, grew in _sums(week).items():
        write(series, _sampled(series[0], grew, _times(week, SELDOM)))
    for series, level in _levels(week).items():
        write(series, ((time, level(time)) for time in _times(week, GAUGES)))
    for name in sorted(lines):
        yield from lines[name]
    yield "# EOF"
