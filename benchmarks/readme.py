"""README.md of the benchmarks, written from the JSON in results: no number stands in it by hand.

The numbers of the *targets* are the project's own promise and stand in `TARGETS`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import columns_page
import remains
from tables import table

HERE = Path(__file__).parent
# A plain call over OpenTelemetry's own instrumentation, a moderated one over the floor, a streamed chunk over the bare
# one (per cent), an import (ms), candidates a second, the report over a million events (s; s and MB where columns are
# made of them), the agent over a bare collector, the ranking of two million events (s).
TARGETS = {
    "official": 1.0,
    "floor": 1.5,
    "chunk": 3,
    "import": 30,
    "whois": 500_000,
    "fresh": 15,
    "report": 60,
    "report_mb": 1000,
    "reconcile": 60,
    "reconcile_mb": 500,
    "collector": 0.7,
    "ranking": 2,
}
MILLION = 1_000_000


def results() -> dict[str, Any]:
    """Every result file by its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "results").glob("*.json"))}


def whole(value: float) -> str:
    """A number without decimals."""
    return f"{value:,.0f}"


def one(value: float) -> str:
    """A number with one decimal."""
    return f"{value:,.1f}"


def two(value: float) -> str:
    """A number with two decimals."""
    return f"{value:,.2f}"


def _spread(found: dict[str, float]) -> str:
    return f"{whole(found['median'])} ({whole(found['low'])} … {whole(found['high'])})"


def render(found: dict[str, Any]) -> str:
    """The whole page."""
    parts = [_INTRO.format(**_machine(found)), _targets(found), _cost(found)]
    parts += [
        _together(found),
        _start(found),
        _memory(found),
        remains.render(found["profile"]),
        *([columns_page.render(found["columns_scale"])] if "columns_scale" in found else []),
        _others(found),
    ]
    return "\n\n".join(parts) + "\n"


_INTRO = """# Benchmarks

`make bench` runs everything and writes `results/*.json`, `docs/benchmarks.svg` and this page; every number here is
read from those files. Measured {date} on {processor}, {cores} cores, {memory_gb} GB, {system}, Python {python}
({packages}); load average {load_before} when the run began: other work ran on the same machine, so trust ratios
before absolute times.

How: each contender is a process in an environment of its own, with the same provider in memory behind the SDK's own
transport, real batch processors and exporters that drop. All are alive at once and are asked for small batches in
turn, in a new order each round ({starts} starts, {rounds} rounds each); what is compared is the process's CPU time,
exporting threads included, batch by batch against the bare SDK's of the same round. Medians, with quartiles in
parentheses. The *floor* is the OpenTelemetry SDK alone, told to record the same span, event and measurements as
constants; *in place* it is told so from within the SDK's `request`, where an instrumentation stands.

![CPU time added to a call](../docs/benchmarks.svg)"""


def _machine(found: dict[str, Any]) -> dict[str, Any]:
    machine, cost = found["machine"], found["cost_per_call"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return {**machine, "packages": packages, "starts": cost["starts"], "rounds": cost["rounds"]}


def _met(met: bool) -> str:
    return "met" if met else "**not met**"


def _targets(found: dict[str, Any]) -> str:
    rows = found["cost_per_call"]["rows"]
    moderated = [row["ours_over_floor"] for row in rows if "moderation" in row["case"]]
    over = [
        row["added_us"]["ours"]["median"] / row["added_us"]["official"]["median"]
        for row in rows
        if row["case"] in ("chat", "responses")
    ]
    chunks = [row["percent"] for row in found["chunk_cost"]["rows"]]
    together = found["concurrency"]["together"]
    ours_rate, official_rate = (together[name]["calls_per_second"]["median"] for name in ("ours", "official"))
    imported = found["startup"]["import_ms"]["median"]
    ours, bare = (found["memory"]["growth"][name] for name in ("ours", "bare"))
    flat = ours["blocks_per_call"] < bare["blocks_per_call"] + 0.05
    return "## Targets\n\n" + table(
        ["Target", "Measured", ""],
        [
            [
                "a plain call adds at most what OpenTelemetry's own instrumentation adds",
                f"{two(min(over))} … {two(max(over))} times",
                _met(max(over) <= TARGETS["official"]),
            ],
            [
                f"one with inline moderation (26 scores) at most {TARGETS['floor']} times the floor",
                f"{two(min(moderated))} … {two(max(moderated))} times",
                _met(max(moderated) <= TARGETS["floor"]),
            ],
            [
                "as many calls at once as with OpenTelemetry's own",
                f"{whole(ours_rate)} a second; official {whole(official_rate)}",
                _met(ours_rate >= official_rate),
            ],
            [
                f"a streamed chunk adds at most {TARGETS['chunk']} % of the bare chunk",
                f"{one(min(chunks))} … {one(max(chunks))} %",
                _met(max(chunks) <= TARGETS["chunk"]),
            ],
            [
                f"`import` adds at most {TARGETS['import']} ms over openai and OpenTelemetry",
                f"{one(imported)} ms",
                _met(imported <= TARGETS["import"]),
            ],
            [
                "memory is flat",
                _kept(ours, bare, found["memory"]["calls"]),
                _met(flat),
            ],
            *_other_targets(found),
        ],
    )


def _kept(ours: dict[str, Any], bare: dict[str, Any], calls: int) -> str:
    return (
        f"{two(ours['blocks_per_call'])} blocks kept per call (bare: {two(bare['blocks_per_call'])}); "
        f"{one(_grown(ours))} MB more resident after {whole(calls)} calls (bare: {one(_grown(bare))})"
    )


def _grown(growth: dict[str, Any]) -> float:
    """Resident megabytes at the end over those at the first sample."""
    return float(growth["samples"][-1]["mb"] - growth["samples"][0]["mb"])


def _other_targets(found: dict[str, Any]) -> list[list[str]]:
    whois, report, month = found["whois_speed"], found["report_speed"], found["reconcile_speed"]
    rate = max(value for key, value in whois.items() if key.startswith("per_second"))
    cold, agent, ranking = report["cold"], found["collector_throughput"], found["loki_ranking"]["curve"][-1]
    return [
        [
            f"`whois` tries {whole(TARGETS['whois'])} candidates a second",
            whole(rate),
            _met(rate >= TARGETS["whois"]),
        ],
        [
            f"`report` over {whole(MILLION)} fresh events of JSON in {TARGETS['fresh']} s",
            f"{whole(report['events'])} events ({report['gigabytes']} GB) in {one(report['fresh']['seconds'])} s",
            _met(report["events"] >= MILLION and report["fresh"]["seconds"] < TARGETS["fresh"]),
        ],
        [
            f"`report` over {whole(MILLION)} events in {TARGETS['report']} s and {whole(TARGETS['report_mb'])} MB",
            f"{whole(report['events'])} events in {one(cold['seconds'])} s and {whole(cold['peak_mb'])} MB",
            _met(
                report["events"] >= MILLION
                and cold["seconds"] < TARGETS["report"]
                and cold["peak_mb"] < TARGETS["report_mb"]
            ),
        ],
        [
            (
                f"`reconcile` over {whole(10 * MILLION)} events and a month of the provider's buckets in "
                f"{TARGETS['reconcile']} s and {whole(TARGETS['reconcile_mb'])} MB"
            ),
            f"{whole(month['events'])} events in {one(month['seconds'])} s and {whole(month['peak_mb'])} MB",
            _met(
                month["events"] >= 10 * MILLION
                and month["seconds"] < TARGETS["reconcile"]
                and month["peak_mb"] < TARGETS["reconcile_mb"]
            ),
        ],
        [
            f"the shipped agent brings the demo's events to Loki at {100 * TARGETS['collector']:.0f} % of a bare rate",
            f"{100 * agent['into_loki']['share']:.0f} %; {100 * agent['agent_alone']['share']:.0f} % into nothing",
            _met(agent["into_loki"]["share"] >= TARGETS["collector"]),
        ],
        [
            f"identifiers ranked by blocks over 7 days of {whole(2 * MILLION)} events in {TARGETS['ranking']} s",
            f"{whole(ranking['events'])} events: {two(ranking['ranking_seconds'])} s",
            _met(ranking["events"] >= 2 * MILLION and ranking["ranking_seconds"] < TARGETS["ranking"]),
        ],
    ]


def _cost(found: dict[str, Any]) -> str:
    rows = found["cost_per_call"]["rows"]
    names = list(rows[0]["added_us"])
    lines = [
        [f"{row['case']}, {row['mode']}", whole(row["bare_us"]["median"])]
        + [f"{_spread(row['added_us'][name])} {_counts(found, name, row['case'])}" for name in names]
        + [two(row["ours_over_floor"])]
        for row in rows
    ]
    return (
        "## CPU time added to a call, µs\n\nIn brackets what one call made each record: spans / events / measurements. "
        "Cheaper is not better where less is said.\n\n"
        + table(["Case", "bare", *names, "ours / floor"], lines)
        + f"\n\nA stream has {found['cost_per_call']['chunks']} chunks.\n\n"
        + _chunks(found)
    )


def _chunks(found: dict[str, Any]) -> str:
    whole_streams = {
        (row["case"], row["mode"]): row["ours_chunk_us"]
        for row in found["cost_per_call"]["rows"]
        if row["stream"]
    }
    cost = found["chunk_cost"]
    lines = [
        [
            f"{row['case']}, {row['mode']}",
            one(row["bare_us"]["median"]),
            f"{two(row['added_us']['median'])} ({one(row['added_us']['low'])} … {one(row['added_us']['high'])})",
            one(row["percent"]),
            two(whole_streams[row["case"], row["mode"]]),
        ]
        for row in cost["rows"]
    ]
    return (
        f"What a chunk costs, µs, in the middle of {cost['streams']} streams of {cost['chunks']}, observed and not, "
        "read in turn in one process; beside it what a whole stream of the table above adds over a call of its kind, "
        "spread over its chunks (beginning and end of a stream included):\n\n"
        + table(["Case", "bare chunk", "ours adds", "%", "whole stream, a chunk"], lines)
    )


def _counts(found: dict[str, Any], name: str, case: str) -> str:
    return f"[{'/'.join(str(count) for count in found['cost_per_call']['recorded'][name][case].values())}]"


def _together(found: dict[str, Any]) -> str:
    both = found["concurrency"]
    lines = [
        [
            name,
            _spread(values["calls_per_second"]),
            _spread(values["cpu_us_per_call"]),
            whole(both["latency"][name]["added_p50_us"]),
            whole(both["latency"][name]["added_p99_us"]),
        ]
        for name, values in both["together"].items()
    ]
    return (
        f"## {whole(both['calls'])} calls at once on one event loop, and single calls one after another\n\n"
        + table(
            ["", "calls a second", "CPU µs a call", "median latency added, µs", "99th percentile added, µs"],
            lines,
        )
    )


def _start(found: dict[str, Any]) -> str:
    start = found["startup"]
    return (
        "## Start\n\n"
        f"CPU milliseconds, medians of {start['repeats']} fresh interpreters that have openai, the OpenTelemetry SDK "
        f"and its instrumentor base loaded: `import openai_safety_otel` {one(start['import_ms']['median'])}; import "
        f"and `instrument()`, which loads the hooks, {one(start['instrument_ms']['median'])}."
    )


def _memory(found: dict[str, Any]) -> str:
    memory = found["memory"]
    ours, bare = (memory["growth"][name] for name in ("ours", "bare"))
    last = ours["samples"][-1]
    return (
        "## Memory\n\n"
        f"A live stream holds {whole(memory['stream_bytes']['bare'])} bytes in the bare SDK and "
        f"{whole(memory['stream_added_bytes'])} more with us ({memory['streams']} open at once).\n\n"
        f"{whole(memory['calls'])} calls, each with a new user and a new answer, resident memory sampled after the "
        f"first {whole(memory['settled_after'])} (the package remembers its last ten thousand answers): "
        f"{two(ours['blocks_per_call'])} live blocks kept per call (bare {two(bare['blocks_per_call'])}), "
        f"{one(last['mb'])} MB resident at the end (bare {one(bare['samples'][-1]['mb'])} MB). The slope is "
        f"{one(ours['mb_per_million_calls'])} MB a million calls (bare {one(bare['mb_per_million_calls'])} MB)"
        + ("." if memory["calls"] >= MILLION else "; a full run of that length was not made.")
    )


def _others(found: dict[str, Any]) -> str:
    names = (
        "whois_speed",
        "report_speed",
        "reconcile_speed",
        "suspensions",
        "collector_throughput",
        "loki_ranking",
    )
    blocks = [
        f"`{name}.py`:\n\n```json\n{json.dumps(found[name], indent=1)}\n```"
        for name in names
        if name in found
    ]
    return "## Whois, report and the rest\n\nAs their scripts print them.\n\n" + "\n\n".join(blocks)


def write() -> None:
    """Write the page."""
    (HERE / "README.md").write_text(render(results()))


if __name__ == "__main__":
    write()
