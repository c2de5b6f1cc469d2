"""The report over event files, time and memory: fresh (every line parsed), cold (parsed and stored in columns), warm.

``cpu_seconds`` is of all processes together: on a busy machine it says more than ``seconds``.

Run: python benchmarks/report_speed.py [EVENTS]; prints one JSON object. Every event is as wide as one gets:
30 attributes and the 26 scores of both directions, about 6 KB of OTLP JSON. Needs 6 GB for a million.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.blocks import BLOCK_CLASSES, BLOCK_TYPES, BlockType
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.instrumentation.signals import otlp_json

PER_FILE = 16_000  # about a hundred megabytes, the size at which files rotate
USERS = 10_000
_MARK = 1_111_111_111_111_111_111  # a time that is replaced in each line
_SHAPES = 500


def shapes(chance: random.Random) -> Iterator[bytes]:
    """Lines of completed, flagged, refused and blocked calls, to be filled with a user, ids and a time."""
    for number in range(_SHAPES):
        hot = number % 40 == 0
        block: BlockType | None = chance.choice(BLOCK_TYPES[1:8]) if hot and number % 3 == 0 else None
        attributes: dict[str, AttributeValue] = {
            c.OPERATION_NAME: "chat", c.PROVIDER_NAME: "openai",
            c.REQUEST_MODEL: chance.choice(("gpt-5", "gpt-5-mini")),
            c.RESPONSE_MODEL: "gpt-5-2026-08-07", c.RESPONSE_ID: "resp_" + "I" * 32, c.FINISH_REASONS: ("stop",),
            c.STREAM: True, c.MAX_TOKENS: 500, c.TEMPERATURE: 0.7, c.INPUT_TOKENS: 100, c.OUTPUT_TOKENS: 200,
            c.CACHE_READ_TOKENS: 0, c.REASONING_TOKENS: 5, c.API_TYPE: "responses", c.SERVER_ADDRESS: "api.openai.com",
            c.RESPONSE_SERVICE_TIER: "default", c.USER_HASH: "U" * 64, c.IDENTIFIER_SOURCE: "end_user",
            c.IDENTIFIER_DELIVERY: "sent", c.IDENTIFIER_KEY_ID: "k1234567", c.API: chance.choice(("responses", "chat")),
            c.ENDPOINT: "responses.create", c.OUTCOME: "blocked" if block else "completed", c.RETRIES: 0,
            c.MODERATION_MODEL: "omni-moderation-latest", c.PROVIDER_REQUEST_ID: "req_" + "I" * 32,
            c.API_KEY_ID: "ab12cd34ef56", c.TRAFFIC: "production", c.TIME_TO_FIRST_OUTPUT: chance.random(),
        }  # fmt: skip
        if block:
            attributes[c.BLOCK_TYPE], attributes[c.BLOCK_CLASS] = block, BLOCK_CLASSES[block]
        for direction in c.DIRECTIONS:
            attributes[c.FLAGGED[direction]] = hot
            attributes.update({name: chance.random() / 10 for name in c.SCORES[direction].values()})
            attributes[c.MAX_SCORE[direction]] = 0.1
        if hot:
            attributes[c.FLAGGED_CATEGORIES["input"]] = (chance.choice(vocabulary.CATEGORIES),)
        event = SafetyEvent(
            c.CALL_EVENT, _MARK, attributes, "responses.create completed", trace_id=_MARK, span_id=7
        )
        line = otlp_json.line(event, {"service.name": "chat", "service.instance.id": "a1b2"})
        yield _with_places(line)


def _with_places(line: bytes) -> bytes:
    line = line.replace(b"%", b"%%").replace(b"I" * 32, b"%(id)032x").replace(b"U" * 64, b"%(user)s")
    return line.replace(f"{_MARK:032x}".encode(), b"%(id)032x").replace(str(_MARK).encode(), b"%(time)d")


def make(folder: Path, events: int) -> int:
    """Write the files, dated back so that they count as quiet; returns their bytes."""
    chance = random.Random(1)  # noqa: S311 - figures, not secrets
    lines = list(shapes(chance))
    users = [hashlib.sha256(str(number).encode()).hexdigest().encode() for number in range(USERS)]
    start = time.time() - 6 * 86_400
    step = 5.9 * 86_400e9 / events
    total = 0
    for first in range(0, events, PER_FILE):
        path = folder / f"openai-safety-chat-{first // PER_FILE:04d}.jsonl"
        with path.open("wb", buffering=1 << 20) as out:
            for number in range(first, min(first + PER_FILE, events)):
                filled = {
                    b"time": int(start * 1e9 + number * step),
                    b"id": chance.getrandbits(128),
                    b"user": users[int(chance.random() ** 2 * USERS)],
                }
                total += out.write(lines[number % _SHAPES] % filled)
        os.utime(path, (start, start))
    return total


def measured(folder: Path, *arguments: str) -> dict[str, object]:
    """Seconds and the largest memory of the command with all its processes, in megabytes."""
    out = folder / "report.json"
    program = str(Path(sys.executable).with_name("openai-safety"))
    command = [program, "report", "--files", str(folder), "--out", str(out)]
    begun = time.perf_counter()
    process = subprocess.Popen([*command, *arguments, "--json"])
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - begun
    watcher.join()
    found = json.loads(out.read_text())
    out.unlink()
    return {
        "seconds": round(took, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": peak[0] // 1024,
        "calls": found["totals"]["calls"],
        "exit_code": process.returncode,
    }


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    while process.returncode is None:
        peak[0] = max(peak[0], _memory(process.pid))
        time.sleep(0.1)


def _memory(pid: int) -> int:
    """Proportional memory of a process and its children, in kilobytes: shared pages count once."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return own + sum(_memory(int(child)) for child in children)


def main() -> None:
    """Measure and print."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = make(folder, events)
        result = {
            "events": events,
            "gigabytes": round(size / 1e9, 2),
            "cpus": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 1),
            "fresh": measured(folder, "--no-compact"),
            "cold": measured(folder),
            "warm": measured(folder),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
