"""The comparison with the provider's count: ten million stored calls beside a month of its buckets.

Run: python benchmarks/reconcile_speed.py [EVENTS]; prints one JSON object. The calls are a column store, written by
DuckDB; the provider is another process: 720 buckets of an hour, 40 keys, 3 models. The real command compares them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from openai_safety_otel.who.identifier import unkeyed_short

BEGIN = 1_788_220_800  # 2026-09-01 00:00 UTC
HOURS = 720
KEYS = 40
MODELS = ("gpt-5", "gpt-5-mini", "gpt-5-nano")
SPLIT = 10  # Parquet files


def make(folder: Path, events: int) -> None:
    """Write a column store of calls: 39 of the 40 keys are ours, one call in 50 failed."""
    import duckdb

    from openai_safety_otel.contract import conventions as c
    from openai_safety_otel.operations.store.columns import MANIFEST, STORE, Manifest
    from openai_safety_otel.operations.store.schema import COLUMNS, column_name

    model = f"{list(MODELS)}[i // 39 % 3 + 1]"
    values = {
        "time_ns": f"{BEGIN * 10**9} + i * {HOURS * 3600 * 10**9 // events}",
        "event": f"'{c.CALL_EVENT}'",
        "severity": "'INFO'",
        "service": "'chat'",
        "trace_id": "md5(i::VARCHAR)",
        column_name(c.API): "'responses'",
        column_name(c.ENDPOINT): "'responses.create'",
        column_name(c.OUTCOME): "CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'completed' END",
        column_name(c.REQUEST_MODEL): model,
        column_name(c.RESPONSE_MODEL): f"{model} || '-2025-08-07'",
        column_name(c.API_KEY_ID): f"{[unkeyed_short(secret(key)) for key in range(KEYS - 1)]}[i % 39 + 1]",
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
    store, days, names = folder / STORE, HOURS // 24, {}
    for day in range(days):
        first, last = day * events // days, (day + 1) * events // days
        name = f"stream=completed/day=2026-09-{day + 1:02d}/bench.parquet"
        names[name] = last - first
        (store / name).parent.mkdir(parents=True)
        database.execute(
            f"COPY (SELECT {columns} FROM range({first}, {last}) AS numbers(i)) "
            f"TO '{store / name}' (FORMAT parquet, COMPRESSION zstd)"
        )
    (store / MANIFEST).write_text(json.dumps(asdict(Manifest(files=names))))


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


def secret(key: int) -> str:
    """An API key as its holder has it."""
    return f"sk-bench-{key}"


def measured(folder: Path, url: str) -> dict[str, object]:
    """The real command: seconds, memory and what it found."""
    keys = folder / "keys.txt"
    keys.write_text("".join(f"key_{key} {secret(key)}\n" for key in range(KEYS - 1)))
    keys.chmod(0o600)
    program = str(Path(sys.executable).with_name("openai-safety"))
    command = [program, "reconcile", "--files", str(folder), "--keys", str(keys), "--json"]
    command += ["--since", "2026-09-01", "--until", "2026-10-01", "--by", "bench", "--why", "bench"]
    told = {"OPENAI_BASE_URL": url, "OPENAI_ADMIN_KEY": "sk-admin", "OPENAI_SAFETY_STORE": str(folder / "db")}
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **told}, text=True)
    assert process.stdout is not None
    found = json.loads(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": used.ru_maxrss // 1024,
        "provider": found["provider"],
        "ours": found["ours"],
        "dark_keys": sorted({one["key"] for one in found["sources"] if one["dark"]}),
        "exit_code": process.returncode,
    }


def main(events: int) -> None:
    """Make both sides, then measure."""
    with tempfile.TemporaryDirectory() as place:
        # In a process of its own: a child's peak memory begins with what its parent holds.
        subprocess.run([sys.executable, __file__, "make", place, str(events)], check=True)
        server = subprocess.Popen(
            [sys.executable, __file__, "serve", str(events)], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        try:
            found = measured(Path(place), f"http://127.0.0.1:{server.stdout.readline().strip()}/v1")
        finally:
            server.terminate()
            server.wait()
    print(json.dumps({"events": events, "buckets": HOURS, **found}, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        main(int((sys.argv[1:] or ["10000000"])[0]))
