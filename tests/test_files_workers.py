"""FILE_DIR under a real multi-process server."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.demo.product import program
from openai_safety_otel.testing.provider import Provider
from support.waiting import uvicorn_port

CALLS = 60


def ask(port: int, user: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"content-type": "application/json", "x-user": user, "connection": "close"}
    connection.request("POST", "/chat", json.dumps({"text": "hello"}), headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_four_uvicorn_workers_write_a_file_each(tmp_path: Path) -> None:
    """Calls served by four workers are each told once, in files that hold one process's events each."""
    events, log = tmp_path / "events", tmp_path / "log"
    with Provider() as provider:
        environment = environment_of_child(
            ("OTEL_", "OPENAI_"),
            OPENAI_API_KEY="sk-test",
            OPENAI_BASE_URL=provider.url,
            OPENAI_SAFETY_HMAC_KEY="k" * 40,
            OPENAI_SAFETY_INJECT_HOSTS="+127.0.0.1",
            OPENAI_SAFETY_USER_RESOLVER="openai_safety_otel.demo.app:current_user",
            OPENAI_SAFETY_FILE_DIR=str(events),
            OTEL_TRACES_EXPORTER="none",
            OTEL_METRICS_EXPORTER="none",
            OTEL_LOGS_EXPORTER="none",
            OTEL_SERVICE_NAME="chat",
        )
        command = [program("opentelemetry-instrument"), sys.executable, "-m", "uvicorn"]
        command += ["openai_safety_otel.demo.app:app", "--port", "0", "--workers", "4"]
        with log.open("wb") as output:
            server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            port = uvicorn_port(log, "Application startup complete", 4)
            statuses = Counter(ask(port, f"user-{number}") for number in range(CALLS))
        finally:
            os.kill(server.pid, signal.SIGTERM)
            server.wait(30)
        asked = sorted((entry.request_id, entry.identifier) for entry in provider.ledger)
    told = []
    for path in events.iterdir():
        processes = set()
        for line in path.read_text().splitlines()[1:]:
            resource = json.loads(line)["resourceLogs"][0]
            named = {pair["key"]: pair["value"] for pair in resource["resource"]["attributes"]}
            processes.add(named["process.pid"]["intValue"])
            record = resource["scopeLogs"][0]["logRecords"][0]
            facts = {pair["key"]: pair["value"].get("stringValue") for pair in record["attributes"]}
            told.append((facts["openai_safety.provider.request_id"], facts["user.hash"]))
        assert len(processes) == 1
        assert f"-{processes.pop()}-" in path.name
    assert statuses == {200: CALLS}
    assert sorted(told) == asked
    assert len(list(events.iterdir())) > 1
