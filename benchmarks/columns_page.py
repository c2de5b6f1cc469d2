"""The part of the page that says what a year of events in columns takes: its size, and each question of it."""

from __future__ import annotations

from typing import Any

from tables import table

_BILLION = 1_000_000_000


def render(scale: dict[str, Any]) -> str:
    """The curve, the slowest questions of its largest point, and what compaction takes."""
    largest = scale["curve"][-1]
    heads = [
        "Events",
        "GB",
        *(f"{what}, {state}" for what in ("report", "queue", "case") for state in _STATES),
    ]
    heads += ["slowest question, warm", "MB"]
    slowest = [[f"{seconds:.2f}", f"`{sql}…`"] for seconds, sql in largest["warm"]["slowest"]]
    billion = (
        f"A billion events of this kind would take {_BILLION * largest['bytes_an_event'] / 1e9:,.0f} GB."
    )
    return "\n\n".join(
        [
            _INTRO,
            table(heads, [_point(one) for one in scale["curve"]]),
            f"The slowest single questions of {largest['events']:,} events, warm:",
            table(["s", "Question"], slowest),
            f"{billion} A report grows with its week, a case with its end user's calls and the number of files.",
            _compaction(scale["compaction"]),
        ]
    )


def _compaction(made: dict[str, Any]) -> str:
    return (
        f"Compaction: {made['events']:,} events of JSON ({made['json_gigabytes']} GB) in {made['seconds']:,.0f} s, "
        f"{made['events_a_second']:,} a second (67,000 wanted), {made['peak_mb']:,} MB; load {made['load']}."
    )


_STATES = ("cold", "warm")
_INTRO = """## A year of events in columns

`columns_scale.py`: a store of a year, 200,000 end users, written as Parquet; the last days of it, and all. Seconds of a
report over its last week, of the queue, and of one end user's case over 400 days; each in a process of its own, after
the files were dropped from memory (cold) and once more (warm). Megabytes are the most that the process held."""


def _point(one: dict[str, Any]) -> list[str]:
    times = [f"{one[state][what]:.2f}" for what in ("report", "queue", "case") for state in _STATES]
    slowest = one["warm"]["slowest"][0][0]
    return [
        f"{one['events']:,}",
        f"{one['gigabytes']:.2f}",
        *times,
        f"{slowest:.2f}",
        f"{one['warm']['peak_mb']:,}",
    ]
