"""Throughput of the shipped agent against a bare `otlp` to the same exporter.

Both send what they take to one sink (a collector that counts and forgets) through the same persistent queues;
the shipped agent also redacts, derives score distributions and parts streams. Same events, same machine, in turn.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from google.protobuf import json_format  # noqa: E402 - after the path
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402

from stack import traffic  # noqa: E402
from stack.launches import COLLECTOR_CONFIG  # noqa: E402
from stack.programs import Running, running  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "collector_throughput.json"
TARGET = 0.70
EVENTS_A_REQUEST = 512  # what an SDK's batch processor sends at once
SENDERS = 4
ROUNDS = 5

SINK = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: "127.0.0.1:${env:OTLP_HTTP_PORT}"
        logs_url_path: /otlp/v1/logs
        max_request_body_size: 67108864
exporters:
  debug: { verbosity: basic, sampling_initial: 1, sampling_thereafter: 100000 }
extensions:
  healthcheckv2: { use_v2: true, http: { endpoint: "127.0.0.1:${env:HEALTH_PORT}" } }
service:
  extensions: [healthcheckv2]
  telemetry:
    logs: { level: error }
    metrics:
      level: normal
      readers:
        - pull: { exporter: { prometheus: { host: 127.0.0.1, port: "${env:METRICS_PORT}" } } }
  pipelines:
    logs: { receivers: [otlp], exporters: [debug] }
"""


def _payloads() -> list[bytes]:
    """Eight different requests of wide events, outcomes in their usual shares."""
    made = []
    for number in range(8):
        events = traffic.mixed(number * EVENTS_A_REQUEST, EVENTS_A_REQUEST)
        request = json_format.ParseDict(traffic.logs_request("bench", events), ExportLogsServiceRequest())
        made.append(request.SerializeToString())
    return made


def _received(sink: Running) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{sink.ports['metrics']}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return int(
        sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("otelcol_receiver_accepted_log_records")
        )
    )


def _send(port: int, payloads: list[bytes], count: int, at: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(count):
        while True:
            body = payloads[(number + at) % len(payloads)]
            connection.request("POST", "/v1/logs", body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == http.client.OK:
                break
            time.sleep(0.02)


def _rate(agent: Running, sink: Running, payloads: list[bytes], requests: int) -> float:
    """Events a second from the first request until the sink has counted the last."""
    before, started = _received(sink), time.monotonic()
    threads = [
        threading.Thread(target=_send, args=(agent.ports["http"], payloads, requests // SENDERS, at))
        for at in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = before + requests // SENDERS * SENDERS * EVENTS_A_REQUEST
    while _received(sink) < expected:
        time.sleep(0.05)
    return (expected - before) / (time.monotonic() - started)


def _bare(folder: Path) -> Path:
    """agent.yaml with one pipeline: receiver, the exporter of completed calls."""
    import yaml

    text = yaml.safe_load((COLLECTOR_CONFIG / "agent.yaml").read_text())
    text["service"]["pipelines"] = {"logs": {"receivers": ["otlp"], "exporters": ["otlp_http/completed"]}}
    keep = {"exporters": ["otlp_http/completed"], "processors": [], "connectors": []}
    for kind, names in keep.items():
        text[kind] = {name: text[kind][name] for name in names}
    path = folder / "bare.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def main() -> int:
    """Run the rounds, print and write the result; 1 if the share is under the target."""
    payloads = _payloads()
    requests = int(os.environ.get("BENCH_REQUESTS", "240"))
    rates: dict[str, list[float]] = {"bare": [], "shipped": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "sink.yaml").write_text(SINK)
        configs = {"bare": _bare(folder), "shipped": COLLECTOR_CONFIG / "agent.yaml"}
        with running("collector", configs=[folder / "sink.yaml"]) as sink:
            for _ in range(ROUNDS):
                for name, config in configs.items():
                    env = {"LOKI_URL": sink.url, "LOG_LEVEL": "error"}
                    with running("collector", configs=[config], env=env) as agent:
                        _rate(agent, sink, payloads, 16)  # warm up
                        rates[name].append(_rate(agent, sink, payloads, requests))
    medians = {name: round(statistics.median(values)) for name, values in rates.items()}
    share = statistics.median(s / b for s, b in zip(rates["shipped"], rates["bare"], strict=True))
    result = {
        "events_per_second": medians,
        "rounds": {name: [round(value) for value in values] for name, values in rates.items()},
        "share": round(share, 3),
        "target": TARGET,
        "event_bytes": len(payloads[0]) // EVENTS_A_REQUEST,
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()[0]},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if share >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
