"""Cases for promtool, as a table: for each alert, series over time and when it must fire or be silent.

`counted` and `level` give the cases that every alert of their kind must pass; `Case` states the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from grafana import names
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments

Proves = Literal["fires", "silent", "gap", "restart", "birth"]
Series = Mapping[str, str]
PLACE = {"service_name": "chat", "deployment_environment_name": "prod"}


@dataclass(frozen=True)
class Case:
    """Series, and the times at which the alert fires (``says``: its text then) or is silent."""

    alert: str
    proves: Proves
    name: str
    series: Series
    fires: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    interval: str = "1m"
    labels: Mapping[str, str] = field(default_factory=dict)
    says: str = ""


def of(metric: instruments.Metric | str, *, instance: str = "1", **labels: str) -> str:
    """One series of a service; keywords are labels without their `openai_safety_` prefix where they have one."""
    known = {names.field(name) for name in c.ATTRIBUTES}
    if isinstance(metric, str):
        inner: dict[str, str] = {"instance": instance, **labels}
        inner.setdefault("job", "otelcol")
    else:
        traffic = {"openai_safety_traffic": "production"} if c.TRAFFIC in metric.labels else {}
        spelled = {
            f"openai_safety_{name}" if f"openai_safety_{name}" in known else name: value
            for name, value in labels.items()
        }
        inner = {"job": "chat", "instance": instance, **PLACE, **traffic, **spelled}
    listed = ", ".join(f'{name}="{value}"' for name, value in inner.items())
    return f"{metric if isinstance(metric, str) else names.series(metric)}{{{listed}}}"


def calls(*, instance: str = "1", **labels: str) -> str:
    """A series of calls: of an end user, completed and with identifier, unless told otherwise."""
    usual = {"api": "responses", "outcome": "completed", "gen_ai_request_model": "gpt-5"}
    sent = {"identifier_source": "end_user", "identifier_delivery": "sent"}
    return of(instruments.CALLS, instance=instance, **{**usual, **sent, **labels})


def counted(
    alert: str,
    series: str,
    *,
    hold: int = 0,
    beside: Series | None = None,
    says: str = "",
    labels: Mapping[str, str] | None = None,
) -> Iterator[Case]:
    """What every alert on the first event of a counter must do; ``hold``: minutes until it fires."""
    more, other = dict(beside or {}), series.replace('instance="1"', 'instance="2"')

    def case(
        proves: Proves, name: str, values: Series, fires: Iterable[str] = (), silent: Iterable[str] = ()
    ) -> Case:
        return Case(alert, proves, name, {**more, **values}, tuple(fires), tuple(silent))

    yield Case(
        alert,
        "birth",
        "fires on the first event of a series that was not there",
        {**more, series: "_x5 1x30"},
        (f"{5 + hold}m",),
        (f"{4 + hold}m",),
        says=says,
        labels=labels or {},
    )
    yield case(
        "fires",
        "a series that was 0 grows",
        {series: "0x10 1x300"},
        [f"{11 + hold}m", "4h10m"],
        [f"{10 + hold}m", "4h16m"],
    )
    yield case("fires", "seen hours late", {series: "0x10 1x200"}, ["3h"])
    yield case("silent", "zero is silent", {series: "0x300"}, (), ["6m", "4h"])
    yield case("silent", "history is silent", {series: "3x600"}, (), ["5h", "9h"])
    yield case("gap", "history after a gap", {series: "3x300 _x20 3x300"}, (), ["5h", "5h21m", "8h"])
    yield case("gap", "history after a night", {series: "3x300 _x600 3x300"}, (), ["5h", "15h1m", "19h"])
    yield case("gap", "an event in a gap", {series: "3x300 _x20 4x300"}, [f"5h{22 + hold}m"], ["5h"])
    yield case("restart", "a restart alone", {series: "3x300 0x300"}, (), ["5h5m", "8h"])
    yield case(
        "restart", "an event after a restart", {series: "3x300 0x10 1x100"}, [f"5h{12 + hold}m"], ["5h10m"]
    )
    yield case("restart", "a restart in a gap", {series: "3x300 _x300 0x300"}, (), ["10h5m"])
    yield case(
        "restart", "an event after a restart in a gap", {series: "3x300 _x300 1x300"}, [f"10h{5 + hold}m"]
    )
    yield case(
        "restart", "another process takes over", {series: "3x300", other: "_x300 0x300"}, (), ["5h6m", "9h"]
    )
    yield case("restart", "it ends right after", {series: "0x10 1x1"}, [f"{11 + hold}m", "1h"])


def level(
    alert: str,
    firing: Series,
    quiet: Series,
    *,
    hold: int = 0,
    ends: str = "",
    says: str = "",
    labels: Mapping[str, str] | None = None,
) -> Iterator[Case]:
    """What every alert on a level must do; ``hold``: minutes until it fires."""
    labels = labels or {}

    def over(values: Series, text: str) -> dict[str, str]:
        return {series: text.replace("V", value) for series, value in values.items()}

    late = f"{6 + hold}m"
    yield Case(
        alert,
        "birth",
        "fires from no series",
        over(firing, "_x5 Vx400"),
        (late,),
        ("4m",),
        labels=labels,
        says=says,
    )
    yield Case(alert, "fires", "goes on firing", over(firing, "Vx400"), (f"{1 + hold}m", "5h"))
    yield Case(alert, "silent", "the usual is silent", over(quiet, "Vx400"), (), (late, "5h"))
    gap = over(firing, "Vx60 _x20 Vx300")
    yield Case(alert, "gap", "fires again after a gap", gap, ("1h", f"{82 + hold}m"))
    yield Case(alert, "gap", "the usual after a gap", over(quiet, "Vx60 _x20 Vx300"), (), ("1h", "82m", "2h"))
    renewed = {
        **over(firing, "Vx60"),
        **{s.replace('instance="1"', 'instance="2"'): f"_x60 {v}x200" for s, v in firing.items()},
    }
    yield Case(alert, "restart", "a restart goes on firing", renewed, (f"{67 + hold}m",))
    anew = {
        **over(quiet, "Vx60"),
        **{s.replace('instance="1"', 'instance="2"'): f"_x60 {v}x200" for s, v in quiet.items()},
    }
    yield Case(alert, "restart", "a restart of the usual", anew, (), ("61m", f"{67 + hold}m"))
    if ends:
        yield Case(alert, "silent", "ends with its cause", over(firing, f"Vx60 {ends}x60"), ("1h",), ("62m",))


def busy(
    alert: str,
    firing: Mapping[str, float],
    quiet: Mapping[str, float],
    *,
    minutes: int = 70,
    before: Mapping[str, float] | None = None,
    says: str = "",
    labels: Mapping[str, str] | None = None,
) -> Iterator[Case]:
    """What every alert on rates must do; numbers are events a minute, ``before`` those of the hours before."""
    labels, early = labels or {}, 0 if before is None else 300

    def load(rates: Mapping[str, float], *parts: tuple[str, int]) -> dict[str, str]:
        return {
            series: _grown(rate, (before or {}).get(series), early, parts) for series, rate in rates.items()
        }

    def at(minute: int) -> str:
        return f"{early + minute}m"

    run, gap, reset = ("run", 400), ("gap", 20), ("reset", 400)
    yield Case(
        alert,
        "birth",
        "fires from no series",
        load(firing, ("gap", 5), run),
        (at(minutes),),
        labels=labels,
        says=says,
    )
    yield Case(alert, "fires", "goes on firing", load(firing, run), (at(minutes), at(minutes + 10)))
    yield Case(alert, "silent", "the usual is silent", load(quiet, run), (), (at(minutes), at(300)))
    halves = (("run", minutes), gap, run)
    yield Case(alert, "gap", "fires after a gap", load(firing, *halves), (at(minutes), at(2 * minutes + 21)))
    yield Case(
        alert,
        "gap",
        "the usual after a gap",
        load(quiet, *halves),
        (),
        (at(minutes + 21), at(2 * minutes + 21)),
    )
    anew = (("run", minutes), reset)
    yield Case(alert, "restart", "fires after a restart", load(firing, *anew), (at(2 * minutes),))
    yield Case(
        alert,
        "restart",
        "the usual after a restart",
        load(quiet, *anew),
        (),
        (at(minutes + 1), at(2 * minutes)),
    )


def _grown(rate: float, before: float | None, early: int, parts: Iterable[tuple[str, int]]) -> str:
    text, value = [], 0.0
    if early:
        text.append(f"0+{before or 0}x{early - 1}")
        value = (before or 0) * early
    for kind, length in parts:
        if kind == "gap":
            text.append(f"_x{length}")
            continue
        value = 0.0 if kind == "reset" else value
        text.append(f"{value}+{rate}x{length - 1}")
        value += rate * length
    return " ".join(text)
