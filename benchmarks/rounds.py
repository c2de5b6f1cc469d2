"""All contenders alive at once, asked in turn: whatever disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import contenders

from openai_safety_otel.contract.settings import environment_of_child

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests" / "peers"))


def interpreter(name: str) -> str:
    """The interpreter of a contender's environment, made where it is missing or its pins changed."""
    from run import environment

    folder = ROOT / ".cache" / f"bench-{name}"
    return str(environment(folder, (*contenders.PINS, *contenders.ENVIRONMENTS[name])))


def child(script: str, *arguments: object, of: str = "ours") -> Any:
    """What a benchmark's own child, in a contender's environment, prints last as JSON."""
    command = [interpreter(of), str(HERE / script), "--child", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


class Process:
    """A worker and the pipes to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        python = interpreter(contenders.CONTENDERS[name][0])
        self._process = subprocess.Popen(
            [python, str(HERE / "worker.py"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment_of_child(("OTEL_", "OPENAI_"), PYTHONHASHSEED=str(random.randrange(1000))),  # noqa: S311 - one layout more
        )

    def ask(self, **question: Any) -> Any:
        """One question, one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.name} ended")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()


class Workers:
    """Processes of several contenders, started together and ended together."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._alive: dict[str, Process] = {}

    def __enter__(self) -> dict[str, Process]:
        self._alive = {name: Process(name) for name in self._names}
        return self._alive

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._alive.values():
            process.close()


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    if len(values) < 2:
        return {"median": values[0], "low": values[0], "high": values[0]}
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}
