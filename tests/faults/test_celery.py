"""A real Celery worker that is told to end: what `docs/frameworks.md` says of its SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.test_servers import KEY, surroundings
from openai_safety_otel.demo.product import program
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.collector import Collector
from support.event_files import records
from support.waiting import until

pytestmark = pytest.mark.faults

# The messages go through a folder: Celery's own broker for one machine.
WORKER = """
    import os
    from celery import Celery
    from openai_safety_otel import SafetyInstrumentor, end_user
    if os.environ["IN_APP"] == "1":
        SafetyInstrumentor().instrument()
    import openai

    box = os.environ["BOX"]
    app = Celery("worker", broker="filesystem://")
    app.conf.broker_transport_options = {
        "data_folder_in": box, "data_folder_out": box, "control_folder": box + "-control",
    }
    client = openai.OpenAI(max_retries=0)

    @app.task
    def summarise(user, text):
        with end_user(user):
            return client.responses.create(model="gpt-5", input=text).output_text
"""
EARLIER, LAST = 6, "user-last"
SLOW = "Take your time [[slow:2]]"


@contextmanager
def working(tmp_path: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with two processes, and its messages' folder."""
    (tmp_path / "worker.py").write_text(textwrap.dedent(WORKER))
    (tmp_path / "box").mkdir()
    instrumented = [] if environment["IN_APP"] == "1" else [program("opentelemetry-instrument")]
    command = [*instrumented, sys.executable, "-m", "celery", "-A", "worker", "worker", "--pool", "prefork"]
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(
            [*command, "-c", "2", "--without-mingle", "--without-gossip", "-l", "INFO"],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=tmp_path,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def send(tmp_path: Path, environment: dict[str, str], *calls: tuple[str, str]) -> None:
    """Put messages into the folder."""
    code = f"import worker\nfor one in {calls!r}: worker.summarise.delay(*one)"
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)


@pytest.mark.parametrize("batch", [None, "200", "60000"], ids=["files", "soon sent", "sent once a minute"])
def test_sigterm_finishes_the_task_and_runs_no_exit_handler(batch: str | None, tmp_path: Path) -> None:
    """The task under way is finished; files have every earlier call, and a batch that waits to be sent is lost."""
    with Provider() as provider, Collector() as collector:
        environment = surroundings(tmp_path, provider, collector, BOX=str(tmp_path / "box"))
        if batch:  # the app's own pipeline, which sends at this pace
            del environment["OPENAI_SAFETY_FILE_DIR"], environment["OTEL_LOGS_EXPORTER"]
            environment |= {"IN_APP": "0", "OPENAI_SAFETY_PIPELINE": "shared"}
            environment["OTEL_BLRP_SCHEDULE_DELAY"] = batch
        with working(tmp_path, environment) as worker:
            send(tmp_path, environment, *((f"user-{n}", "hello") for n in range(EARLIER)))
            assert until(lambda: sum(e.finished for e in provider.ledger) == EARLIER), log(tmp_path)
            time.sleep(1)
            send(tmp_path, environment, (LAST, SLOW))
            assert until(lambda: len(provider.ledger.calls()) == EARLIER + 1), log(tmp_path)
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
        entries = provider.ledger.calls()
    assert [entry.finished for entry in entries] == [True] * (EARLIER + 1)
    hashed = Hasher(KEY.encode()).end_user
    earlier = {hashed(f"user-{n}") for n in range(EARLIER)}
    assert {entry.identifier for entry in entries} == earlier | {hashed(LAST)}
    events = collector.events if batch else records(tmp_path / "events")
    kept = [str(event["user.hash"]) for event in events]
    assert len(kept) == len(set(kept))
    if batch == "60000":
        assert kept == []
    else:  # the last one came within the last milliseconds
        assert earlier <= set(kept) <= earlier | {hashed(LAST)}, log(tmp_path)


def log(tmp_path: Path) -> str:
    """What the worker said."""
    return (tmp_path / "log").read_text()[-3000:]
