from __future__ import annotations

import contextlib
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openai_safety_otel.contract import conventions as c
from stack import query, traffic
from stack.programs import NotReady, Running
from support.stored import EQUAL, difference, said

HOUR = 3600 * 10**9
Collector = Callable[..., Running]


@pytest.fixture
def agent(collector: Collector, loki: Running, prometheus: Running) -> Running:
    """An agent of the test's own, to be killed."""
    return collector("agent.yaml", env={"LOKI_URL": loki.url, "PROMETHEUS_URL": prometheus.url})


def _repetitions(loki: Running, service: str) -> int:
    """How many entries repeat a stored one: Loki counts a repetition once unless much was stored in between."""
    return query.distinct_calls(loki.url, service)[1]


# At most what the six consumers of the two event queues had in flight when something died, two batches of the
# load's 20 calls each under this load.
IN_FLIGHT = 6 * 2 * 20


def test_collector_killed_under_load(agent: Running, loki: Running, service: str) -> None:
    """Killed with -9 three times under load: nothing is lost, repetitions stay under what was in flight."""
    with traffic.Load(agent.url, service) as load:
        for _ in range(3):
            time.sleep(1)
            agent.kill()
            agent.start()
        time.sleep(1)
    assert load.ledger.repeated > 0
    assert EQUAL == difference(loki, service, load.ledger), said(agent)
    assert _repetitions(loki, service) <= 3 * IN_FLIGHT


def test_loki_down(agent: Running, loki: Running, service: str) -> None:
    """Loki is killed under load and comes back: the queue held everything, and the senders never noticed."""
    with traffic.Load(agent.url, service) as load:
        time.sleep(1)
        loki.kill()
        time.sleep(5)
        loki.start()
        time.sleep(1)
    assert load.ledger.repeated == 0
    assert EQUAL == difference(loki, service, load.ledger), said(agent)
    assert _repetitions(loki, service) <= IN_FLIGHT


def test_collector_killed_while_loki_is_down(agent: Running, loki: Running, service: str) -> None:
    """Both fail at once: what waits on disk outlives the collector."""
    with traffic.Load(agent.url, service) as load:
        loki.kill()
        time.sleep(2)
        agent.kill()
        agent.start()
        time.sleep(1)
    loki.start()
    assert EQUAL == difference(loki, service, load.ledger), said(agent)
    assert _repetitions(loki, service) <= IN_FLIGHT


def test_prometheus_down(agent: Running, prometheus: Running, service: str) -> None:
    """Counters exported while Prometheus is away are all there afterwards, the samples of the gap included."""

    def export(value: int) -> int:
        at = time.time_ns()
        point = {"asInt": str(value), "timeUnixNano": str(at), "startTimeUnixNano": str(at - HOUR)}
        sums = {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": True}
        metric = {"name": "openai_safety.calls", "unit": "{call}", "sum": sums}
        scopes = [{"scope": {"name": "t"}, "metrics": [metric]}]
        body = {"resourceMetrics": [{"resource": traffic.resource(service), "scopeMetrics": scopes}]}
        return traffic.deliver(agent.url, "metrics", body)

    repeated = export(1)
    prometheus.kill()
    for value in range(2, 12):
        repeated += export(value)
        time.sleep(0.2)
    prometheus.start()

    def samples() -> list[int]:
        found = query.promql(prometheus.url, f'openai_safety_calls_total{{service_name="{service}"}}[5m]')
        return [int(value) for _, value in found[0]["values"]] if found else []

    assert query.until(lambda: samples() == list(range(1, 12)), timeout=120), (samples(), said(agent))
    assert repeated == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB for the queue."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.fail("the disk-full test needs the right to mount a tmpfs (root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_queue_full_and_drained(collector: Collector, small_disk: Path, loki: Running, service: str) -> None:
    """The queues reach their size while Loki is away: senders are told to wait, and all of it is stored in the end."""
    sizes = {"QUEUE_COMPLETED_BYTES": "4000000", "QUEUE_SAFETY_BYTES": "1000000"}
    agent = collector(env={"LOKI_URL": loki.url, "QUEUE_DIR": str(small_disk / "queue"), **sizes})
    with traffic.Load(agent.url, service, batch=100, pause=0) as load:
        loki.kill()
        assert query.until(lambda: load.ledger.waiting, timeout=120), said(agent)
        accepted = load.ledger.total
        loki.start()
        assert query.until(lambda: load.ledger.total > accepted + 500), said(agent)
    assert "no space left" not in agent.log
    assert EQUAL == difference(loki, service, load.ledger), said(agent)
    assert _repetitions(loki, service) <= load.ledger.repeated * 100


def test_disk_full_and_freed(collector: Collector, small_disk: Path, loki: Running, service: str) -> None:
    """Somebody else fills the disk to the last block and frees it again: senders wait meanwhile, nothing is lost."""
    agent = collector(env={"LOKI_URL": loki.url, "QUEUE_DIR": str(small_disk / "queue")})
    with traffic.Load(agent.url, service, batch=100, pause=0) as load:
        loki.kill()
        time.sleep(
            3
        )  # every consumer has its hands full: what is read from a queue on a full disk would be lost
        _fill(small_disk / "ballast")
        assert query.until(lambda: "no space left" in agent.log and load.ledger.waiting, timeout=120), said(
            agent
        )
        accepted = load.ledger.total
        (small_disk / "ballast").unlink()
        loki.start()
        assert query.until(lambda: load.ledger.total > accepted + 500), said(agent)
    assert EQUAL == difference(loki, service, load.ledger), said(agent)
    assert _repetitions(loki, service) <= load.ledger.repeated * 100


def _fill(path: Path) -> None:
    """Write until the file system takes no more."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 65536):
            pass


def test_late_events_are_accepted(agent: Running, loki: Running, service: str) -> None:
    """Events two hours old, and three days old as a repeated webhook's, arrive behind newer ones of their stream."""
    ledger, now = traffic.Ledger(), time.time_ns()
    for at, age in enumerate((0, 2 * HOUR, 72 * HOUR, 0, 2 * HOUR)):
        events = traffic.mixed(at * 100, 100, start_ns=now - age)
        traffic.send(agent.url, service, events, ledger)
        stored = sum(ledger.calls.values())

        def arrived(expected: int = stored) -> bool:
            return sum(query.calls_by_identifier(loki.url, service, window="96h").values()) == expected

        assert query.until(arrived, timeout=120), said(agent)
    assert query.calls_by_identifier(loki.url, service, window="96h") == ledger.calls
    assert "too far behind" not in agent.log


@pytest.mark.parametrize("damage", ["header", "middle", "cut"])
def test_corrupt_queue_file(collector: Collector, loki: Running, service: str, damage: str) -> None:
    """An unreadable queue file is moved away as documented: only its own events are gone."""
    agent = collector(env={"LOKI_URL": "http://127.0.0.1:1"})
    waiting, events = traffic.Ledger(), traffic.mixed(0, 500)
    traffic.send(agent.url, service, events, waiting)
    agent.kill()
    file = agent.folder / "queue/bulk/exporter_otlp_http_completed_logs"
    _damage(file, damage)
    again = collector(env={"LOKI_URL": loki.url}, folder=agent.folder, ports=agent.ports, ready=False)
    with pytest.raises(NotReady):
        again.start(timeout=10)
    # The documented move: this file away, the others stay.
    file.rename(file.with_suffix(".broken"))
    again.start()
    later = traffic.Ledger()
    traffic.send(again.url, service, traffic.mixed(1000, 200), later)
    notable = Counter({key: number for key, number in waiting.calls.items() if key[1] != "completed"})
    flagged = [
        event
        for event in events
        if event.attributes[c.FLAGGED["input"]] and event.attributes[c.OUTCOME] == "completed"
    ]
    kept = traffic.Ledger()
    kept.note(flagged)
    expected = later.calls + notable + kept.calls
    assert query.until(lambda: query.calls_by_identifier(loki.url, service) == expected), again.log[-3000:]


def _damage(file: Path, how: str) -> None:
    data = bytearray(file.read_bytes())
    if how == "header":
        data[:8192] = b"\xff" * 8192
    elif how == "middle":
        data[8192:] = b"\xff" * (len(data) - 8192)
    else:  # behind the two pages that say where the rest is: with more of it left, a collector may start
        data = data[: 8192 + 100]
    file.write_bytes(bytes(data))
