"""The part of the page that says what remains of a call's cost, function by function, and what was tried."""

from __future__ import annotations

from typing import Any

from tables import table

_SHOWN = 2.0  # own microseconds from which on a function has a line of its own
_BOTH = ("ours", "official")
_UNDER = ("opentelemetry", "everything else")


def render(profile: dict[str, Any]) -> str:
    """All cases, then what was tried."""
    return "\n\n".join([_INTRO.format(**profile), *(_case(*one) for one in profile["cases"].items()), _TRIED])


_INTRO = """## What remains, function by function

Own time under cProfile, µs a call: of {batches} batches of {calls} calls each function's lower quartile. The profiler
makes each call of a function dearer, so that the sums are about twice what a call costs: read them side by side, not
as costs. What C functions take stands with the function that calls them, and a function of the standard
library with whoever calls it. *ours* records an event and a count more than *official*, OpenTelemetry's own
instrumentation; beside moderation also two checks and 26 scores."""


def _case(case: str, both: dict[str, Any]) -> str:
    parts = {name: (name, *_UNDER) for name in _BOTH}
    totals = [[name, *(_us(both[name]["own_us"][part]) for part in parts[name])] for name in _BOTH]
    return "\n\n".join(
        [
            f"### {case}",
            table(["", "its own functions", *_UNDER], totals),
            "OpenTelemetry's functions, under us and under the official instrumentation:",
            table(_SIDES, _side_by_side(both)),
            *(part for name in _BOTH for part in _own(name, both[name]["functions"])),
        ]
    )


_SIDES = ["Function", "calls, ours", "µs, ours", "calls, official", "µs, official", "difference"]


def _side_by_side(both: dict[str, Any]) -> list[list[str]]:
    sides = {
        name: {row["function"]: row for row in both[name]["functions"] if row["owner"] == "opentelemetry"}
        for name in _BOTH
    }
    none = {"calls": 0.0, "own_us": 0.0}
    pairs = [
        (function, *(sides[name].get(function, none) for name in _BOTH))
        for function in dict.fromkeys(function for name in _BOTH for function in sides[name])
    ]
    pairs.sort(key=lambda pair: pair[2]["own_us"] - pair[1]["own_us"])
    shown = [pair for pair in pairs if max(pair[1]["own_us"], pair[2]["own_us"]) >= _SHOWN]
    rest = [pair for pair in pairs if pair not in shown]
    left = [{key: sum(pair[at][key] for pair in rest) for key in none} for at in (1, 2)]
    return [_pair(*pair) for pair in shown] + [_pair(f"{len(rest)} more", *left)]


def _pair(name: str, ours: dict[str, float], official: dict[str, float]) -> list[str]:
    columns = [_us(side[key]) for side in (ours, official) for key in ("calls", "own_us")]
    return [f"`{name}`", *columns, f"{ours['own_us'] - official['own_us']:+.1f}"]


def _own(name: str, functions: list[dict[str, Any]]) -> tuple[str, str]:
    own = [row for row in functions if row["owner"] == name]
    shown = [row for row in own if row["own_us"] >= _SHOWN]
    rest = [row for row in own if row not in shown]
    lines = [[f"`{row['function']}`", _us(row["calls"]), _us(row["own_us"])] for row in shown]
    left = [f"{len(rest)} more", *(_us(sum(row[key] for row in rest)) for key in ("calls", "own_us"))]
    return f"Own functions of *{name}*:", table(["Function", "calls", "µs"], [*lines, left])


def _us(value: float) -> str:
    return f"{value:,.1f}"


_TRIED = """### What was tried

Thread time of single calls, alternating in one process or in turn with the bare SDK, the fastest 2 %:

- Attributes of span and event put at once where the SDK keeps them, where it is as known (`signals/prepared.py`),
  instead of being cleaned one by one: chat 30 µs less, responses 25, moderated chat 36; on a loaded machine, at the
  median, 75 to 90. In a warm loop an event of 28 attributes costs 5 µs instead of 20, one of 54 (with scores) 5
  instead of 27, a span of 27 costs 16 instead of 29. There is no public way: `ReadWriteLogRecord` and
  `set_attributes` clean whatever they are given.
- Series of measurements remembered (`signals/series.py`): the SDK copies, cleans, sorts and hashes the labels of each
  measurement to find the series that it has kept for them, which is most of the 10 µs that one with six labels takes
  warm. Measured on a loaded machine: chat 66 µs less, responses 86, moderated chat 42 (at the lowest tenth 83, 111
  and 93). Where the SDK drops its series at each collection (delta), or is not as known, it is told as before. It
  costs 12 Python calls of ours more and spares about 100 of OpenTelemetry's.
- A log record that says how it is copied (`__copy__`), since the SDK's batches copy each: 1 µs warm.
- Moderation results checked in one pass over the scores: 1.2 µs warm for two legs; single scores of the span looked
  for only where something was flagged: 1 µs.
- Fewer functions: 90 Python calls of ours for a chat call instead of 227 brought less than a tenth of our own time.
  Between two calls the SDK runs for 0.7 ms and evicts what we need, so that most of ours runs from cold caches,
  however short it is: counted by callgrind before the two first changes, a recorded call of responses adds 36,000
  misses of the first-level caches to the bare 123,000, the official instrumentation 35,000, the floor 23,000. In
  warm loops our own functions of a chat call add up to about 30 µs.
- Calls and checks added up in the process and read when the SDK collects, instead of a measurement each: about 20
  µs for each of them. Undone: observable counters have no exemplars, and nothing less is to be recorded.
- What is the same for an address and for an end user worked out once: about 5 µs. Usual answers read in one pass:
  about 5 µs for a plain call, 40 µs for a moderated one.
- Compiling extraction and outcome with mypyc: nothing.

Looked at and left:

- More of the SDK's private parts: beginning and ending a span is what is left of it (its own functions above), and is
  the same for everybody.
- Contexts: all measurements and the event are handed the one context that holds the span; what remains of
  `get_current_span` is the SDK's own look for exemplars.
- Garbage collection: 5 to 8 µs a call, the official instrumentation 4 to 7; an event is what keeps more objects
  alive.
- Lazy values (sentence, ids, categories worked out when exported): a sentence and its severity take less than 1 µs.
- The SDK's `base_url` property, which imports at each look: 1 µs warm. A subclass of the app's may override it, and
  it decides where an identifier may go, so that it is asked as it is.
- `copy.copy` of the SDK's options: 1.5 µs warm, and the app's own objects are not to be changed.
- Recording on a thread in the background (spans would end late, and an exit would lose them), and measurements
  without a context (they would lose their exemplars)."""
