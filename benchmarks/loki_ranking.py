"""Ranking identifiers by blocks over seven days, as stored events grow: ``python benchmarks/loki_ranking.py``.

Two per cent of the calls are blocked. The question reads the stream of notable calls only, whatever the completed
ones have grown to; the same question without the stream is timed beside it where that is still bearable.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import platform
import random
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from google.protobuf import json_format  # noqa: E402 - after the path
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402

from openai_safety_otel.contract import conventions as c  # noqa: E402
from stack import query, traffic  # noqa: E402
from stack.programs import Running, running  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "loki_ranking.json"
SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "100000,500000,2000000").split(","))
WEEK = 7 * 86400 * 10**9
BATCH = 5000
BLOCKED_EVERY = 50  # two per cent
PEOPLE = 2000
ALL_LIMIT = 100_000  # beyond this the question without the stream takes minutes
TARGET_SECONDS = 2.0


def _template(service: str, stream: str, outcome: str) -> ExportLogsServiceRequest:
    """A request with one event; the others are made from it."""
    payload = traffic.logs_request(service, [traffic.call(1, outcome=outcome)])
    payload["resourceLogs"][0]["resource"]["attributes"] += traffic.attributes_json(
        {"openai_safety.stream": stream}
    )
    request = ExportLogsServiceRequest()
    json_format.ParseDict(payload, request)
    return request


def _request(template: ExportLogsServiceRequest, at: list[int], numbers: list[int]) -> bytes:
    made = ExportLogsServiceRequest()
    made.CopyFrom(template)
    records = made.resource_logs[0].scope_logs[0].log_records
    first = records[0]
    keys = [attribute.key for attribute in first.attributes]
    person, response = keys.index(c.USER_HASH), keys.index(c.RESPONSE_ID)
    while len(records) < len(at):
        records.add().CopyFrom(first)
    for record, time_ns, number in zip(records, at, numbers, strict=True):
        record.time_unix_nano = record.observed_time_unix_nano = time_ns
        who = int(random.Random(number).paretovariate(1.2)) % PEOPLE  # noqa: S311 - some people are blocked often
        record.attributes[person].value.string_value = traffic.identifier(who)
        record.attributes[response].value.string_value = f"resp_{number:032x}"
        record.body.string_value = f"responses.create resp_{number:032x}"
    return made.SerializeToString()


def _push(port: int, body: bytes) -> None:
    for _ in range(200):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        head = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": query.TENANT}
        connection.request("POST", "/otlp/v1/logs", body, head)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status < 300:
            return
        if answer.status not in (429, 503):
            raise RuntimeError(f"{answer.status}: {text[:300]!r}")
        time.sleep(0.2)
    raise RuntimeError("Loki took nothing for too long")


def _fill(loki: Running, service: str, size: int) -> None:
    """Calls evenly over the week, in the order of time, one in fifty blocked."""
    # Half an hour inside the window that is asked for: filling takes minutes.
    start, step = time.time_ns() - WEEK + 1800 * 10**9, (WEEK - 1800 * 10**9) // size
    completed, blocked = (
        _template(service, "completed", "completed"),
        _template(service, "notable", "blocked"),
    )
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting: list[concurrent.futures.Future[None]] = []
        for first in range(0, size, BATCH):
            numbers = range(first, min(first + BATCH, size))
            for template, chosen in (
                (completed, [one for one in numbers if one % BLOCKED_EVERY]),
                (blocked, [one for one in numbers if not one % BLOCKED_EVERY]),
            ):
                body = _request(template, [start + one * step for one in chosen], chosen)
                waiting.append(pool.submit(_push, loki.ports["http"], body))
            while len(waiting) > 8:
                waiting.pop(0).result()
        for one in waiting:
            one.result()


def _asked(loki: Running, question: str) -> tuple[float, int]:
    """Median seconds of three, and the blocks counted."""
    times, counted = [], 0
    for _ in range(3):
        started = time.monotonic()
        rows = query.logql(loki.url, question)
        times.append(time.monotonic() - started)
        counted = sum(int(row["value"][1]) for row in rows)
    return round(statistics.median(times), 3), counted


def _measure(loki: Running, size: int) -> dict[str, float]:
    service = f"bench-{size}"
    started = time.monotonic()
    _fill(loki, service, size)
    filled = time.monotonic() - started
    # A week's data has long been written out of the ingester's memory.
    connection = http.client.HTTPConnection("127.0.0.1", loki.ports["http"], timeout=300)
    connection.request("POST", "/flush")
    connection.getresponse().read()
    connection.close()
    time.sleep(5)
    blocked = '| openai_safety_outcome="blocked"'
    ranking = "topk(10, sum by (user_hash) (count_over_time({0} {1} [7d])))"
    total = "sum(count_over_time({0} {1} [7d]))"
    notable = f'{{service_name="{service}",openai_safety_stream="notable"}}'
    _, counted = _asked(loki, total.format(notable, blocked))
    if counted != size // BLOCKED_EVERY:
        raise RuntimeError(f"{counted} of {size // BLOCKED_EVERY} blocks are stored")
    result = {
        "events": size,
        "ranking_seconds": _asked(loki, ranking.format(notable, blocked))[0],
        "filled_in_seconds": round(filled),
    }
    if size <= ALL_LIMIT:
        everything = f'{{service_name="{service}"}}'
        result["ranking_without_stream_seconds"] = _asked(loki, ranking.format(everything, blocked))[0]
    print(json.dumps(result), flush=True)
    return result


def main() -> int:
    """Fill, ask, print and write the curve; 1 if the largest takes longer than the target."""
    with running("loki") as loki:
        curve = [_measure(loki, size) for size in SIZES]
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()[0]}
    result = {
        "blocked_share": 1 / BLOCKED_EVERY,
        "target_seconds": TARGET_SECONDS,
        "curve": curve,
        "machine": machine,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if curve[-1]["ranking_seconds"] < TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
