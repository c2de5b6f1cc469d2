"""Loki and Prometheus that hold the eight days: events through the shipped agent, samples by promtool."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dashboards.series import openmetrics
from dashboards.week import Week
from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.signals.event import call_event
from stack.programs import binary, prepare, running
from support.fleet import Process
from support.stores import Store, loki, prometheus
from support.waiting import until

SERVICES = ("chat", "search", "safety-webhooks")


@dataclass(frozen=True)
class Stores:
    """Where to ask, and the moment that is now."""

    loki: Store
    prometheus: Store
    now: float


def _backfill(week: Week, folder: Path) -> None:
    text = folder / "samples.txt"
    text.write_text("\n".join(openmetrics(week)) + "\n")
    command = [
        str(binary("promtool")),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--max-block-duration=162h",  # in few pieces: the text is read once for each
        str(text),
        str(folder / "data"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text.unlink()


def _send(week: Week, agent: str) -> int:
    processes = {name: Process(agent, name, f"{name}-1", environment="production") for name in SERVICES}
    sent = 0
    for sent, (_, service, what, outcome) in enumerate(week.in_order(), start=1):
        event = what
        if isinstance(what, CallRecord):
            assert outcome
            event = call_event(what, outcome, (sent + 2**100, sent + 2**40, 1))
        processes[service].event(event)  # type: ignore[arg-type]
        if sent % 200 == 0:  # oldest first, also between processes
            for process in processes.values():
                process.flush()
    for process in processes.values():
        process.close()
    return sent


@contextlib.contextmanager
def lived(folder: Path) -> Iterator[Stores]:
    """The stores, holding the week."""
    week = Week(time.time())
    metrics = prepare("prometheus", folder=folder / "prometheus")
    _backfill(week, metrics.folder)
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context(running("loki", folder=folder / "loki", env={"LOKI_MAX_AGE": "400h"}))
        stack.callback(metrics.stop)
        metrics.start()
        given = {"LOKI_URL": logs.url, "PROMETHEUS_URL": metrics.url, "BULK_FLUSH": "200ms"}
        agent = stack.enter_context(running("collector", folder=folder / "agent", env=given))
        stores = Stores(loki(logs.url), prometheus(metrics.url), week.now)
        sent = _send(week, agent.url)
        stored = 'sum(count_over_time({openai_safety_stream=~".+"} [9d]))'
        assert until(lambda: stores.loki.number(stored, time.time()) >= sent)
        agent.stop()
        yield stores
