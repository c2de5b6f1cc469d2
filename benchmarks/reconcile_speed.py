"""The comparison with the provider's count: ten million stored calls beside a month of its buckets.

Run: python benchmarks/reconcile_speed.py [EVENTS]; prints one JSON object. The calls are Parquet as the store
keeps them, written by DuckDB; the provider is another process: 720 buckets of an hour, 40 keys, 3 models.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

BEGIN = 1_788_220_800  # 2026-09-01 00:00 UTC
HOURS = 720
KEYS = 40
MODELS = ("gpt-5", "gpt-5-mini", "gpt-5-nano")
SPLIT = 10  # Parquet files


def make(folder: Path, events: int) -> None:
    """Write the calls: 39 of the 40 keys are ours, one in 50 calls failed."""
    import duckdb

    from openai_safety_otel.contract import conventions as c
    from openai_safety_otel.operations.store.schema import COLUMNS, column_name

    values = {
        "time_ns": f"{BEGIN * 10**9} + i * {HOURS * 3600 * 10**9 // events}",
        "event": f"'{c.CALL_EVENT}'",
        "severity": "'INFO'",
        "service": "'chat'",
        "trace_id": "md5(i::VARCHAR)",
        column_name(c.API): "'responses'",
        column_name(c.ENDPOINT): "'responses.create'",
        column_name(c.OUTCOME): "CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'completed' END",
        column_name(c.REQUEST_MODEL): f"{list(MODELS)}[i // 39 % 3 + 1]",
        column_name(c.RESPONSE_MODEL): f"{list(MODELS)}[i // 39 % 3 + 1] || '-2025-08-07'",
        column_name(c.API_KEY_ID): "'hash' || (i % 39)",
        column_name(c.USER_HASH): "sha256((i % 10000)::VARCHAR)",
        column_name(c.PROVIDER_REQUEST_ID): "'req_' || md5((i + 1)::VARCHAR)",
        column_name(c.RESPONSE_ID): "'resp_' || md5((i + 2)::VARCHAR)",
        column_name(c.SERVER_ADDRESS): "'api.openai.com'",
        column_name(c.IDENTIFIER_DELIVERY): "'sent'",
        column_name(c.MAX_SCORE["input"]): "random()",
    }
    columns = ", ".join(f"({values.get(one.name, 'NULL')})::{one.sql} AS {one.name}" for one in COLUMNS)
    database = duckdb.connect()
    database.execute("SET threads = 2; SET memory_limit = '800MB'")
    for part in range(SPLIT):
        rows = f"range({part * events // SPLIT}, {(part + 1) * events // SPLIT}) AS numbers(i)"
        database.execute(
            f"COPY (SELECT {columns}, hash(i) AS row_key FROM {rows}) "
            f"TO '{folder}/{part:02d}.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )


class Books(BaseHTTPRequestHandler):
    """A month of buckets, page by page."""

    each = 0

    def do_GET(self) -> None:
        """Answer with one page."""
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        kind = parts.path.rpartition("/")[2]
        if kind == "projects":
            self._answer({"data": [{"id": "proj_1", "name": "Shop"}], "has_more": False})
        elif kind == "api_keys":
            keys = [{"id": f"key_{number}", "name": f"service-{number}"} for number in range(KEYS)]
            self._answer({"data": keys, "has_more": False})
        else:
            self._usage(kind, int(asked.get("page", 0)), int(asked["limit"]))

    def _usage(self, ledger: str, first: int, limit: int) -> None:
        last = min(first + limit, HOURS)
        results = [
            {
                "object": f"organization.usage.{ledger}.result",
                "num_model_requests": self.each,
                "project_id": "proj_1",
                "user_id": None,
                "api_key_id": f"key_{key}",
                "model": f"{model}-2025-08-07",
                "batch": False,
                "input_tokens": 1,
                "output_tokens": 1,
            }
            for key in range(KEYS)
            for model in MODELS
            if ledger == "completions"
        ]
        data = [
            {"object": "bucket", "start_time": BEGIN + at, "results": results} for at in range(first, last)
        ]
        more = last < HOURS
        self._answer({"data": data, "has_more": more, "next_page": str(last) if more else None})

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(events: int) -> None:
    """Serve the books until killed; the port is printed first."""
    Books.each = events // 39 // len(MODELS) // HOURS
    server = ThreadingHTTPServer(("127.0.0.1", 0), Books)
    print(server.server_port, flush=True)
    server.serve_forever()


def compare_all(folder: Path, url: str) -> None:
    """What the command does, from its own modules, on Parquet that is there already."""
    import openai
    from openai_safety_otel.operations.store.rows import Skipped

    from openai_safety_otel.operations.reconcile.compare import compare
    from openai_safety_otel.operations.reconcile.ours import recorded
    from openai_safety_otel.operations.reconcile.provider import Administration
    from openai_safety_otel.operations.store.events import open_events

    since, until = BEGIN, BEGIN + HOURS * 3600
    books = Administration("sk-admin", client=openai.OpenAI(api_key="sk-admin", base_url=url))
    counted = books.counted(since, until)
    names = books.names({one.project for one in counted})
    scratch = Path(tempfile.mkdtemp())
    with open_events(sorted(folder.glob("*.parquet")), "bench", Skipped(), scratch) as events:
        ours = recorded(events, since, until, {"api.openai.com"})
    held = {f"key_{number}": {f"hash{number}"} for number in range(KEYS)}
    found = compare(counted, ours, since=since, until=until, held=held, names=names)
    dark = sorted({one.key for one in found.sources if one.dark})
    print(json.dumps({"provider": found.provider, "ours": found.ours, "dark_keys": dark}))


def main(events: int) -> None:
    """Measure the child that compares."""
    me = [sys.executable, __file__]
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), events)
        server = subprocess.Popen([*me, "serve", str(events)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        begun = time.perf_counter()
        child = subprocess.Popen([*me, "compare", place, url], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        found = json.loads(child.stdout.read())
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begun
        server.terminate()
        server.wait()
    measured = {
        "events": events,
        "buckets": HOURS,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": used.ru_maxrss // 1024,
        **found,
    }
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    elif sys.argv[1:2] == ["compare"]:
        compare_all(Path(sys.argv[2]), sys.argv[3])
    else:
        main(int((sys.argv[1:] or ["10000000"])[0]))
