"""The file route on the real programs: apps write files, the agent reads them with a checkpoint."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.store.files import open_files
from stack import query
from stack.programs import Running
from support.event_files import records
from support.stored import said
from support.waiting import until

Collector = Callable[..., Running]
ROOT = Path(__file__).parents[2]

# An app with a call every few milliseconds, until it is killed.
APP = """
    import itertools, sys, time
    from openai_safety_otel.contract.record import SafetyEvent
    from openai_safety_otel.contract.settings import Settings
    from openai_safety_otel.instrumentation.signals.sink import EventSink
    from stack import traffic
    sink = EventSink.from_settings(Settings(file_dir=sys.argv[1], file_max_mb=1, file_keep=100))
    for number in itertools.count(int(sys.argv[2])):
        made = traffic.call(number, outcome=("completed", "blocked")[number % 5 == 0], person=number % 7)
        sink.emit(SafetyEvent(made.name, made.time_ns, made.attributes, made.body, made.severity))
        time.sleep(0.003)
"""


class App:
    """A process that writes events of a service to files, to be killed; it has written a hundred."""

    def __init__(self, folder: Path, service: str, first: int) -> None:
        before = len(written(folder))
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(APP), str(folder), str(first)],
            env=environment_of_child(
                ("OTEL_", "OPENAI_"),
                OTEL_SERVICE_NAME=service,
                OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
                PYTHONPATH=str(ROOT),
            ),
        )
        assert until(lambda: len(written(folder)) >= before + 100, 120)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)


def written(folder: Path) -> Counter[str]:
    """The response ids on disk: what an app wrote before it was killed."""
    return Counter(one[c.RESPONSE_ID] for one in records(folder))


def stored(loki: Running, service: str) -> Counter[str]:
    """The response ids in Loki, repetitions of one entry counted as often as they are stored."""
    names = f'sum by (gen_ai_response_id) (count_over_time({{service_name="{service}"}} [24h]))'
    rows = query.logql(loki.url, names, at=time.time() + 60)
    return Counter({row["metric"]["gen_ai_response_id"]: int(row["value"][1]) for row in rows})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "events"
    path.mkdir()
    return path


@pytest.fixture
def agent(collector: Collector, loki: Running, prometheus: Running, folder: Path) -> Running:
    env = {
        "LOKI_URL": loki.url,
        "PROMETHEUS_URL": prometheus.url,
        "EVENT_FILES": str(folder),
        "FILES_POLL": "200ms",
    }
    return collector("agent.yaml", "from-files.yaml", env=env)


def test_app_and_agent_killed(agent: Running, loki: Running, folder: Path, service: str) -> None:
    """Both killed with -9, each several times and together: every event on disk is stored, none counted twice."""
    for turn in range(3):
        app = App(folder, service, turn * 100_000)
        time.sleep(1)
        agent.kill()
        time.sleep(1)
        app.kill()
        agent.start()
    on_disk = written(folder)
    assert max(on_disk.values()) == 1
    query.until(lambda: set(stored(loki, service)) == set(on_disk), timeout=200)
    assert set(on_disk) == set(stored(loki, service)), said(agent)


def test_loki_away_while_files_are_read(agent: Running, loki: Running, folder: Path, service: str) -> None:
    """The store is killed under load and comes back: nothing lost, nothing twice."""
    app = App(folder, service, 1_000_000)
    loki.kill()
    time.sleep(4)
    loki.start()
    time.sleep(1)
    app.kill()
    on_disk = written(folder)
    query.until(lambda: stored(loki, service) == on_disk, timeout=200)
    assert on_disk == stored(loki, service), said(agent)


def test_erased_records_are_not_read_again(agent: Running, loki: Running, folder: Path, service: str) -> None:
    """A file whose records were erased after they were read is the same file: nothing of it is stored again."""
    app = App(folder, service, 2_000_000)
    app.kill()
    on_disk = written(folder)
    query.until(lambda: stored(loki, service) == on_disk, timeout=200)
    for path in folder.glob("*.jsonl"):
        first, *rest = path.read_bytes().split(b"\n")
        rest[0] = b" " * len(rest[0])
        path.write_bytes(b"\n".join([first, *rest]))
    agent.kill()
    agent.start()
    later = App(folder, service, 3_000_000)
    later.kill()
    expected = on_disk + Counter({key: count for key, count in written(folder).items() if key not in on_disk})
    query.until(lambda: stored(loki, service) == expected, timeout=200)
    assert expected == stored(loki, service), said(agent)


CALLS = 2500
# An app whose files are full after some thirty calls; it ends by itself, and says then how many it made.
ENDING = f"""
    import sys, time
    from openai_safety_otel.contract.record import SafetyEvent
    from openai_safety_otel.contract.settings import Settings
    from openai_safety_otel.instrumentation.signals.sink import EventSink
    from stack import traffic
    sink = EventSink.from_settings(Settings(file_dir=sys.argv[1], file_max_mb=0.1, file_keep=10_000))
    for number in range({CALLS}):
        made = traffic.call(number, outcome=("completed", "blocked")[number % 5 == 0], person=number % 7)
        sink.emit(SafetyEvent(made.name, made.time_ns, made.attributes, made.body, made.severity))
        time.sleep(0.01)
    sink.close()
"""
EVERY = Counter(f"resp_{number:032x}" for number in range(CALLS))


@contextmanager
def working(folder: Path, service: str) -> Iterator[Callable[[], bool]]:
    """An app in a process of its own; yields whether it is at work."""
    env = environment_of_child(("OTEL_", "OPENAI_"), OTEL_SERVICE_NAME=service, PYTHONPATH=str(ROOT))
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(ENDING), str(folder)], env=env)
    try:
        yield lambda: process.poll() is None
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(30)


def compacted(folder: Path, agent: Running) -> int:
    """Compact, and remove what the collector has passed; how many files went."""
    checkpoint = str(agent.folder / "queue/files")
    asked = ["compact", "--files", str(folder), "--remove-files", "1s", "--checkpoint", checkpoint]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    return done.output.count("removed, its events are stored")


def files(folder: Path) -> set[Path]:
    """The event files that are there."""
    return set(folder.glob("*.jsonl"))


def unread(folder: Path, at_work: Callable[[], bool]) -> set[Path]:
    """Files that an app has begun since now, of which all but the last are closed."""
    before = files(folder)
    until(lambda: len(files(folder) - before) > 5 or not at_work())
    return files(folder) - before


def in_columns(folder: Path) -> Counter[str]:
    """The response ids in the column store alone."""
    with open_files([folder], compact=False) as events:
        return Counter(row["id"] for row in events.rows("SELECT gen_ai_response_id AS id FROM stored"))


@pytest.mark.timeout(600)
def test_files_are_removed_beside_a_collector_that_is_killed(
    agent: Running, loki: Running, folder: Path, service: str
) -> None:
    """Every event is once in Loki and once in the columns, though files went while both worked and it was killed."""
    gone = 0
    with working(folder, service) as at_work:
        while at_work():
            gone += sum(compacted(folder, agent) for _ in range(3))
            agent.kill()
            left = unread(folder, at_work)
            compacted(folder, agent)
            assert left <= files(folder)
            agent.start()
    assert gone > 10
    assert until(lambda: (compacted(folder, agent), not files(folder))[1], 200), said(agent)
    assert in_columns(folder) == EVERY
    query.until(lambda: stored(loki, service) == EVERY, timeout=200)
    assert stored(loki, service) == EVERY, said(agent)
