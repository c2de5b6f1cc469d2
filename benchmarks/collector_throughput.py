"""Throughput of the shipped agent against a bare `otlp` to the same exporter.

The demo's traffic, through the same persistent queue, on one machine, in turn: into the real Loki, where events are
meant to go, and into a collector that counts and forgets, which shows the agent alone. The shipped agent also
redacts, derives score distributions and parts streams.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from demo_traffic import EVENTS_A_REQUEST, DemoTraffic  # noqa: E402 - after the path

from stack.launches import COLLECTOR_CONFIG  # noqa: E402
from stack.programs import Running, running  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "collector_throughput.json"
TARGET = 0.70
SENDERS = 4
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "160"))
WARM_UP = 16

FORGETTING = """
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


@dataclass(frozen=True)
class Destination:
    """A program that events are sent to, and the counter by which it says how many came."""

    program: str
    port: str
    counter: str
    options: dict[str, Any]

    def received(self, program: Running) -> int:
        """Events so far."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{program.ports[self.port]}/metrics", timeout=5
        ) as answer:
            lines = answer.read().decode().splitlines()
        return int(sum(float(line.split()[-1]) for line in lines if line.startswith(self.counter)))


def _send(port: int, bodies: list[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        while True:
            connection.request("POST", "/v1/logs", body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == http.client.OK:
                break
            time.sleep(0.02)


def _rate(agent: Running, sink: Running, destination: Destination, bodies: list[bytes]) -> float:
    """Events a second from the first request until the destination has counted the last."""
    expected = destination.received(sink) + len(bodies) * EVENTS_A_REQUEST
    started = time.monotonic()
    threads = [
        threading.Thread(target=_send, args=(agent.ports["http"], bodies[at::SENDERS]))
        for at in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while destination.received(sink) < expected:
        time.sleep(0.05)
    return len(bodies) * EVENTS_A_REQUEST / (time.monotonic() - started)


def _bare(folder: Path) -> Path:
    """agent.yaml with one pipeline: receiver, the exporter of completed calls."""
    text = yaml.safe_load((COLLECTOR_CONFIG / "agent.yaml").read_text())
    text["service"]["pipelines"] = {"logs": {"receivers": ["otlp"], "exporters": ["otlp_http/completed"]}}
    keep = {"exporters": ["otlp_http/completed"], "processors": [], "connectors": []}
    for kind, names in keep.items():
        text[kind] = {name: text[kind][name] for name in names}
    path = folder / "bare.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def _measured(config: Path, destination: Destination, demo: DemoTraffic) -> float:
    """One rate, with a destination and an agent that have done nothing before."""
    with running(destination.program, **destination.options) as sink:
        env = {"LOKI_URL": sink.url, "LOG_LEVEL": "error"}
        with running("collector", configs=[config], env=env) as agent:
            _rate(agent, sink, destination, demo.requests(WARM_UP))
            return _rate(agent, sink, destination, demo.requests(REQUESTS))


def _compared(destination: Destination, configs: dict[str, Path], demo: DemoTraffic) -> dict[str, Any]:
    rates: dict[str, list[float]] = {name: [] for name in configs}
    for _ in range(ROUNDS):
        for name, config in configs.items():
            rates[name].append(_measured(config, destination, demo))
    shares = [shipped / bare for shipped, bare in zip(rates["shipped"], rates["bare"], strict=True)]
    return {
        "events_per_second": {name: round(statistics.median(values)) for name, values in rates.items()},
        "share": round(statistics.median(shares), 3),
        "shares": [round(share, 3) for share in sorted(shares)],
    }


def main() -> int:
    """Run the rounds, print and write the result; 1 if the share into Loki is under the target."""
    demo = DemoTraffic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "forgetting.yaml").write_text(FORGETTING)
        configs = {"bare": _bare(folder), "shipped": COLLECTOR_CONFIG / "agent.yaml"}
        forgetting = {"configs": [folder / "forgetting.yaml"]}
        into_loki = Destination("loki", "http", "loki_distributor_lines_received_total", {})
        alone = Destination("collector", "metrics", "otelcol_receiver_accepted_log_records", forgetting)
        result = {
            "into_loki": _compared(into_loki, configs, demo),
            "agent_alone": _compared(alone, configs, demo),
            "target": TARGET,
            "event": demo.described(),
            "machine": {"cores": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()[0]},
        }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if result["into_loki"]["share"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
