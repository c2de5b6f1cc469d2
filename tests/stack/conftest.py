"""Real programs for the tests of the stack: Loki and Prometheus once a run, collectors as each test needs them."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stack.launches import COLLECTOR_CONFIG
from stack.programs import Running, prepare, running

# Short waits, so that outages are over in seconds: each is a documented variable of the shipped configuration.
FAST = {
    "RETRY_INITIAL": "200ms",
    "RETRY_MAX": "1s",
    "BULK_FLUSH": "200ms",
    "TRACE_DECISION_WAIT": "2s",
    "MEMORY_LIMIT_MIB": "1024",
}
LOKI_FAST = {"LOKI_COMPACTION_INTERVAL": "2s", "LOKI_DELETE_DELAY": "1s", "LOKI_MAX_AGE": "10000h"}

StartCollector = Callable[..., Running]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the built programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def loki() -> Iterator[Running]:
    with running("loki", env=LOKI_FAST) as program:
        yield program


@pytest.fixture(scope="session")
def prometheus() -> Iterator[Running]:
    with running("prometheus") as program:
        yield program


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """A service name of the test's own, so that tests share the stores and not the data."""
    return str(request.node.name).replace("[", "-").replace("]", "").removeprefix("test_")


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[StartCollector]:
    """Start collectors with shipped files by name; all end with the test."""
    with _starting(tmp_path) as start:
        yield start


@contextlib.contextmanager
def _starting(place: Path) -> Iterator[StartCollector]:
    started: list[Running] = []
    numbers = itertools.count(1)

    def start(
        *configs: str | Path, env: dict[str, str] | None = None, ready: bool = True, **how: Any
    ) -> Running:
        files = [
            COLLECTOR_CONFIG / one if isinstance(one, str) else one for one in configs or ("agent.yaml",)
        ]
        folder = how.pop("folder", None) or place / f"collector-{next(numbers)}"
        program = prepare("collector", folder=folder, env={**FAST, **(env or {})}, configs=files, **how)
        started.append(program)
        return program.start() if ready else program

    try:
        yield start
    finally:
        for program in started:
            program.stop()
            shutil.rmtree(program.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, loki: Running, prometheus: Running) -> Iterator[Running]:
    """The shipped agent, writing to the shared stores: it starts longer than it works, so a file's tests share it."""
    with _starting(tmp_path_factory.mktemp("agent")) as start:
        yield start("agent.yaml", env={"LOKI_URL": loki.url, "PROMETHEUS_URL": prometheus.url})
