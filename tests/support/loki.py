"""A stand-in for Loki's query API over events in memory: selectors, label filters, time and limit, nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.operations.store.schema import column_name

_PART = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")')
_COUNTED = re.compile(r"sum by \((.*?)\) \(count_over_time\((.*) \[(\d+)([ds])\]\)\)")
_OPS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda have, want: have == want,
    "!=": lambda have, want: have != want,
    "=~": lambda have, want: re.fullmatch(want, have) is not None,
    "!~": lambda have, want: re.fullmatch(want, have) is None,
}


class StandIn:
    """What it holds, as the shipped collector labels it, and what it was asked."""

    def __init__(self, events: Iterable[SafetyEvent]) -> None:
        self.entries = sorted((_entry(event) for event in events), key=lambda entry: entry[0])
        self.queries: list[str] = []
        self.given = 0
        self.url = ""
        self.page: bytes | None = None  # what a proxy before it answers instead

    def answer(self, asked: dict[str, str]) -> dict[str, Any]:
        self.queries.append(asked["query"])
        if counted := _COUNTED.fullmatch(asked["query"]):
            seconds = int(counted[3]) * (86_400 if counted[4] == "d" else 1)
            until = int(asked["time"]) / (1e9 if len(asked["time"]) > len("1790683200") else 1)
            return self._counts(counted[1].split(", "), counted[2], seconds, until)
        fits = _condition(asked["query"])
        start, end, limit = int(asked["start"]), int(asked["end"]), int(asked["limit"])
        found = [entry for entry in self.entries if start <= entry[0] < end and fits(entry[1] | entry[2])]
        self.given += len(found[:limit])
        return {
            "data": {
                "resultType": "streams",
                "result": [
                    {"stream": labels, "values": [[str(at), "line", {"structuredMetadata": more}]]}
                    for at, labels, more in found[:limit]
                ],
            }
        }

    def _counts(self, names: list[str], query: str, seconds: int, until: float) -> dict[str, Any]:
        fits = _condition(query)
        found: Counter[tuple[tuple[str, str], ...]] = Counter()
        for at, labels, more in self.entries:
            if until - seconds < at / 1e9 <= until and fits(labels | more):
                found[tuple((name, value) for name in names if (value := more.get(name)))] += 1
        result = [{"metric": dict(key), "value": [until, str(count)]} for key, count in found.items()]
        return {"data": {"resultType": "vector", "result": result}}


def _entry(event: SafetyEvent) -> tuple[int, dict[str, str], dict[str, str]]:
    quiet = (
        event.name == c.CALL_EVENT
        and event.attributes.get(c.OUTCOME) == "completed"
        and not any(event.attributes.get(name) for name in c.FLAGGED.values())
    )
    stream = "decision" if event.name == c.DECISION_EVENT else "completed" if quiet else "notable"
    more = {column_name(name): _text(value) for name, value in event.attributes.items()}
    ids = {"event_name": event.name, "trace_id": f"{event.trace_id:032x}"}
    return event.time_ns, {"service_name": "chat", "openai_safety_stream": stream}, more | ids


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _condition(query: str) -> Callable[[dict[str, str]], bool]:
    """A selector's parts and every pipeline stage hold; a stage holds if one of its alternatives does."""
    selector, _, rest = query.partition("}")
    stages = [[part] for part in _PART.findall(selector)]
    stages += [_PART.findall(stage) for stage in re.split(r"\s\|\s", rest) if stage.strip()]

    def holds(labels: dict[str, str]) -> bool:
        return all(
            any(_OPS[op](labels.get(name, ""), json.loads(want)) for name, op, want in stage)
            for stage in stages
        )

    return holds


@contextmanager
def serving(events: Iterable[SafetyEvent]) -> Iterator[StandIn]:
    """The stand-in behind a port of this machine."""
    here = StandIn(events)

    class SocketApi(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            body = here.page or json.dumps(here.answer(asked)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), SocketApi) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        here.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()
