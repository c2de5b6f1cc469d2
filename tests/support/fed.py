"""The shipped programs with the shipped configuration, fed once with the scenario."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stack.launches import COLLECTOR_CONFIG
from stack.programs import Running, prepare, running
from support.panels import ROOT
from support.scenario import Ledger, Scenario, hashed
from support.stores import Store, get, loki, prometheus
from support.waiting import until

ALERTS = ROOT / "grafana" / "alerts"
VARIABLES = {
    "job": ".+",
    "instance": ".+",
    "service": ".+",
    "environment": ".*",
    "traffic": "production",
    "category": ".+",
    "identifier": hashed("gone"),
}


# Score distributions are scraped from the agent, which gathers them for five seconds.
_SCORED = "count_over_time(max(openai_safety_moderation_score_count)[5m:1s])"
SETTLED = 8


def _scrapes(stores: Fed) -> float:
    return stores.prometheus.number(_SCORED, time.time())


@dataclass(frozen=True)
class Fed:
    """Stores that hold the scenario, and what it did."""

    loki: Store
    prometheus: Store
    agent: str
    ledger: Ledger
    at: float

    watch: Watch

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Every alert the Alertmanager has had: some conditions hold for moments only."""
        return list(self.watch.seen.values())


class Watch(threading.Thread):
    """Looks at the Alertmanager twice a second and remembers."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._end = threading.Event()
        self.seen: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Until `end` is called."""
        while not self._end.wait(0.5):
            for one in get(f"{self._url}/api/v2/alerts"):
                self.seen[one["fingerprint"]] = one

    def end(self) -> None:
        """Stop looking, before the Alertmanager ends."""
        self._end.set()
        self.join()


def quicker(path: Path, folder: Path) -> Path:
    """The shipped rules, evaluated every 2 s and told at once: only the pace differs, so that a test need not wait."""
    copy = folder / path.name
    text = re.sub(r"(?m)^( *interval): \w+$", r"\1: 2s", path.read_text())
    copy.write_text(re.sub(r"(?m)^( *for): \w+$", r"\1: 0s", text))
    return copy


def _brisk(folder: Path) -> Path:
    """The shipped Prometheus configuration, scraping every second: only the pace differs."""
    copy = folder / "prometheus.yaml"
    shipped = (ROOT / "stack" / "config" / "prometheus.yaml").read_text()
    copy.write_text(re.sub(r"scrape_interval: \w+", "scrape_interval: 1s", shipped))
    return copy


@contextlib.contextmanager
def _programs(folder: Path) -> Iterator[tuple[Running, Running, Running, Running]]:
    configs = [COLLECTOR_CONFIG / name for name in ("agent.yaml", "traces-to-file.yaml")]
    agent = prepare("collector", folder=folder / "agent", configs=configs)
    own = [f"127.0.0.1:{agent.ports[port]}" for port in ("metrics", "scores")]
    with contextlib.ExitStack() as stack:
        alerts = stack.enter_context(running("alertmanager"))
        log_rules = [quicker(ALERTS / "loki.rules.yaml", folder)]
        logs = stack.enter_context(running("loki", rules=log_rules, alertmanager=alerts.url))
        metrics = stack.enter_context(
            running(
                "prometheus",
                config=_brisk(folder),
                rules=[quicker(ALERTS / "openai-safety.rules.yaml", folder)],
                alertmanagers=[alerts.url.removeprefix("http://")],
                targets={"otelcol": own},
            )
        )
        agent.env = {"LOKI_URL": logs.url, "PROMETHEUS_URL": metrics.url, "BULK_FLUSH": "200ms"}
        stack.callback(agent.stop)
        yield agent.start(), logs, metrics, alerts


@contextlib.contextmanager
def feed(folder: Path) -> Iterator[Fed]:
    """Agent, Loki, Prometheus and Alertmanager with the shipped configuration, fed with the scenario."""
    with _programs(folder) as (agent, logs, metrics, alerts):
        scenario = Scenario(agent.url)
        watch = Watch(alerts.url)
        watch.start()
        stores = Fed(loki(logs.url), prometheus(metrics.url), agent.url, scenario.ledger, 0, watch)
        scenario.play(between=lambda: until(lambda: _scrapes(stores) >= 2))
        scenario.close()
        ledger = scenario.ledger
        everything = (
            'sum(count_over_time({openai_safety_stream=~".+"} | openai_safety_traffic="production" [2h]))'
        )
        events = ledger.totals["calls"] + ledger.totals["other events"]
        assert until(lambda: stores.loki.number(everything, time.time()) >= events)
        before = _scrapes(stores)
        assert until(lambda: _scrapes(stores) >= before + SETTLED)
        try:
            yield replace(stores, at=time.time())
        finally:
            watch.end()
