"""The shipped stack in a time of its own: every duration of its files is divided by `PACE`, nothing else changes.

Windows, waits, intervals and staleness of rules, Prometheus and Alertmanager shrink alike, and so do the exporters'
intervals: half an hour lasts a minute and a half. What computers need to work does not shrink, so a test is stricter
than life. `PACE=1` in the environment runs everything in real time. Alertmanager's receivers post to a `Pager`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from stack.launches import COLLECTOR_CONFIG, CONFIG
from stack.programs import Running, prepare, running
from support.panels import ROOT
from support.stores import get

PACE = int(os.environ.get("PACE", "20"))
MINUTE = 60 / PACE
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?<![\w.])(\d+)(ms|[smhdw])\b")
# What stands in no shipped file because the programs' own defaults serve: they shrink too.
PROMETHEUS_DEFAULTS = {
    "query.lookback-delta": "5m",
    "rules.alert.for-grace-period": "10m",
    "rules.alert.for-outage-tolerance": "1h",
    "rules.alert.resend-delay": "1m",
}
COLLECTOR_DEFAULTS = {"RETRY_INITIAL": "1s", "RETRY_MAX": "30s", "BULK_FLUSH": "1s", "SAFETY_FLUSH": "200ms"}
LOKI_DEFAULTS = {"resend_delay": "1m", "for_grace_period": "10m", "for_outage_tolerance": "1h"}
EXPORTERS = {
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_METRIC_EXPORT_INTERVAL": str(60_000 // PACE),
    "OTEL_BLRP_SCHEDULE_DELAY": str(5_000 // PACE),
}


def hastened(text: str) -> str:
    """The same text with every duration in it divided by `PACE`."""
    return _DURATION.sub(
        lambda found: f"{max(1, round(int(found[1]) * _SECONDS[found[2]] * 1000 / PACE))}ms", text
    )


class Pager:
    """What Alertmanager's receivers were sent, by the receiver's name."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def told(self, receiver: str, status: str = "firing") -> list[dict[str, Any]]:
        """The notifications of one receiver."""
        return [one for one in self.sent if (one["receiver"], one["status"]) == (receiver, status)]

    @property
    def groups(self) -> set[tuple[str, str]]:
        """Receiver and key of every group that was told to fire."""
        return {(one["receiver"], one["groupKey"]) for one in self.sent if one["status"] == "firing"}

    def calls(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every notification that something is wrong, in order: receiver and names of the firing alerts."""
        return [
            (one["receiver"], tuple(sorted(_firing(one)))) for one in self.sent if one["status"] == "firing"
        ]

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def _firing(notification: Mapping[str, Any]) -> set[str]:
    return {alert["labels"]["alertname"] for alert in notification["alerts"] if alert["status"] == "firing"}


@dataclass
class Stack:
    """The running programs, and what Alertmanager told whom."""

    collectors: list[Running]
    loki: Running
    prometheus: Running
    alertmanager: Running
    pager: Pager = field(default_factory=Pager)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """What Alertmanager holds now, muted alerts included."""
        found: list[dict[str, Any]] = get(f"{self.alertmanager.url}/api/v2/alerts")
        return found

    @contextlib.contextmanager
    def speaking(self) -> Iterator[set[str]]:
        """Names of the alerts that were not muted at some moment of the block: each may be told by then."""
        names: set[str] = set()
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.05):
                heard = [one for one in self.alerts if one["status"]["state"] != "suppressed"]
                names.update(one["labels"]["alertname"] for one in heard)

        watching = threading.Thread(target=look, daemon=True)
        watching.start()
        try:
            yield names
        finally:
            ended.set()
            watching.join()


def _copy(source: Path, folder: Path, *more: tuple[str, str]) -> Path:
    """A hastened copy of a shipped file."""
    text = hastened(source.read_text())
    for pattern, replacement in more:
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / source.name
    copy.write_text(text)
    return copy


def _ruler(folder: Path) -> Path:
    """The shipped Loki; of its own times only the ruler's matter here, the rules bring theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "loki.yaml"
    quicker = "".join(f"\n  {name}: {hastened(value)}" for name, value in LOKI_DEFAULTS.items())
    copy.write_text((CONFIG / "loki.yaml").read_text().replace("\nruler:", "\nruler:" + quicker))
    return copy


@contextlib.contextmanager
def stack(folder: Path, *, collectors: int = 1) -> Iterator[Stack]:
    """The shipped programs with the shipped configuration and rules, hastened."""
    files, rules = folder / "files", ROOT / "grafana" / "alerts"
    pager = Pager()
    post = rf"\1\n    webhook_configs: [{{url: '{pager.url}'}}]"
    routes = _copy(CONFIG / "alertmanager.yaml", files, (r"(?m)^(  - name: \w+)$", post))
    agents = [
        prepare(
            "collector",
            folder=folder / f"collector-{number}",
            configs=[COLLECTOR_CONFIG / "agent.yaml"],
            env={name: hastened(value) for name, value in COLLECTOR_DEFAULTS.items()},
        )
        for number in range(collectors)
    ]
    with contextlib.ExitStack() as running_ones:
        running_ones.callback(pager.close)
        alertmanager = running_ones.enter_context(running("alertmanager", config=routes))
        loki = running_ones.enter_context(
            running(
                "loki",
                config=_ruler(files),
                rules=[_copy(rules / "loki.rules.yaml", files)],
                alertmanager=alertmanager.url,
            )
        )
        prometheus = prepare(
            "prometheus",
            folder=folder / "prometheus",
            config=_copy(CONFIG / "prometheus.yaml", files),
            rules=[_copy(rules / "openai-safety.rules.yaml", files)],
            alertmanagers=[alertmanager.url.removeprefix("http://")],
            targets={
                "otelcol": [f"127.0.0.1:{a.ports[port]}" for a in agents for port in ("metrics", "scores")],
                "loki": [loki.url.removeprefix("http://")],
            },
            args=[f"--{flag}={hastened(value)}" for flag, value in PROMETHEUS_DEFAULTS.items()],
        )
        for agent in agents:
            agent.env = {**agent.env, "LOKI_URL": loki.url, "PROMETHEUS_URL": prometheus.url}
        for program in (*agents, prometheus):
            running_ones.callback(program.stop)
            program.start()
        yield Stack(agents, loki, prometheus, alertmanager, pager)
