"""Real servers: forked workers, threads, greenlets and event loops lose nothing that the provider saw."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.demo.product import program
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.collector import Collector
from support.event_files import records
from support.waiting import until

pytestmark = pytest.mark.faults
KEY = "k" * 40
CALLS = 24
NOWHERE = "no OpenTelemetry SDK|no exporter for"  # true here: only events have somewhere to go
PATHS = ("/plain", "/stream", "/break")

APP = """
    import os
    if os.environ.get("GEVENT") == "1":
        from gevent import monkey
        monkey.patch_all()
    from openai_safety_otel import SafetyInstrumentor, end_user
    if os.environ.get("IN_APP") == "1":
        SafetyInstrumentor().instrument()
    import openai
    client = openai.OpenAI(max_retries=0)
    ASK = {"model": "gpt-5", "input": "hello"}
    # In a preloading server this runs before the fork: threads, locks and connections exist by then.
    if os.environ.get("AT_IMPORT") != "0":
        client.responses.create(**ASK, extra_body={"metadata": {"at": "import"}})

    def wsgi(environ, start_response):
        with end_user(environ["QUERY_STRING"]):
            if environ["PATH_INFO"] == "/plain":
                client.responses.create(**ASK)
            else:
                for _ in client.responses.create(**ASK, stream=True):
                    if environ["PATH_INFO"] == "/break":
                        break
        start_response("200 OK", [("content-length", "2")])
        return [b"ok"]

    async def asgi(scope, receive, send):
        if scope["type"] != "http":
            return
        async with openai.AsyncOpenAI(max_retries=0) as one:
            with end_user(scope["query_string"].decode()):
                if scope["path"] == "/plain":
                    await one.responses.create(**ASK)
                else:
                    async for _ in await one.responses.create(**ASK, stream=True):
                        if scope["path"] == "/break":
                            break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
"""
GUNICORN = ["-m", "gunicorn", "--workers", "2", "--graceful-timeout", "20", "--bind"]
UWSGI = ["--master", "--processes", "2", "--enable-threads", "--die-on-term", "--need-app", "--http-socket"]

# name: (program beside this Python with its options, application, extra environment)
SERVERS: dict[str, tuple[list[str], list[str], dict[str, str]]] = {
    **{
        f"gunicorn {kind}{' preload' if preload else ''}": (
            [sys.executable, *GUNICORN],
            ["-k", worker, *(["--preload"] if preload else []), f"app:{'asgi' if 'uvi' in kind else 'wsgi'}"],
            {"GEVENT": "1"} if kind == "gevent" else {},
        )
        for kind, worker in {
            "sync": "sync",
            "gthread": "gthread",
            "gevent": "gevent",
            "uvicorn": "uvicorn.workers.UvicornWorker",
        }.items()
        for preload in (False, True)
    },
    "opentelemetry-instrument gunicorn": (
        ["opentelemetry-instrument", sys.executable, *GUNICORN],
        ["-k", "gthread", "app:wsgi"],
        {"IN_APP": "0"},
    ),
    # uWSGI forks without regard to Python's threads: a worker hangs if any of them runs at that moment. So no
    # call before the fork; with --lazy-apps there is none anyway.
    "uwsgi": (["uwsgi", *UWSGI], ["--module", "app:wsgi"], {"AT_IMPORT": "0"}),
    "uwsgi lazy": (["uwsgi", *UWSGI], ["--module", "app:wsgi", "--lazy-apps"], {}),
}


def start(command: list[str]) -> list[str]:
    """Looked up when a test runs: `make test` collects this file where no server is installed."""
    return [program(command[0]) if command[0] != sys.executable else command[0], *command[1:]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str, user: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", f"{path}?{user}", headers={"connection": "close"})
    status = connection.getresponse().status
    connection.close()
    return status


def await_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    assert until(lambda: server.poll() is not None or listens(), 60), log.read_text()
    assert server.poll() is None, log.read_text()


def surroundings(tmp_path: Path, provider: Provider, collector: Collector, **more: str) -> dict[str, str]:
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    settings = {
        "IN_APP": "1",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.url,
        "OPENAI_SAFETY_HMAC_KEY": KEY,
        "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1",
        "OPENAI_SAFETY_FILE_DIR": str(tmp_path / "events"),
        "OPENAI_SAFETY_PIPELINE": "dedicated",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "PYTHONPATH": str(tmp_path),
    }
    return environment_of_child(("OTEL_", "OPENAI_", "GUNICORN_", "UWSGI_"), **{**settings, **more})


# Over OTLP where a server ends its workers in a way of its own, and where exit handlers run in them.
OVER_OTLP = ("gunicorn sync", "gunicorn gthread preload", "uwsgi lazy")


@pytest.mark.parametrize(
    ("name", "way"), [*((name, "files") for name in SERVERS), *((name, "otlp") for name in OVER_OTLP)]
)
def test_workers_lose_nothing(name: str, way: str, tmp_path: Path) -> None:
    """Nothing lost, nothing twice: files, or the collector, and the provider agree on every call of every worker."""
    command, options, extra = SERVERS[name]
    log, port = tmp_path / "log", free_port()
    # A uWSGI worker leaves its interpreter standing: no library's exit handler runs. What waits to be sent is lost
    # (a second), and so is a stream that the app left behind unread, while nobody has collected it.
    killed = "uwsgi" in name
    with Provider() as provider, Collector() as collector:
        environment = surroundings(tmp_path, provider, collector, **extra)
        if way == "otlp":
            del environment["OPENAI_SAFETY_FILE_DIR"], environment["OTEL_LOGS_EXPORTER"]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [*start(command), f"127.0.0.1:{port}", *options],
                env=environment,
                stdout=output,
                stderr=output,
                cwd=tmp_path,
            )
        try:
            await_port(port, server, log)
            statuses = Counter(ask(port, PATHS[n % 3], f"user-{n}") for n in range(CALLS))
            time.sleep(2 if killed and way == "otlp" else 0)  # the batch processor sends once a second
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        left_behind = {(e.request_id, e.identifier) for e in provider.ledger if e.streamed}
        saw = Counter((entry.request_id, entry.identifier) for entry in provider.ledger)
    said = log.read_text()
    assert {200: CALLS} == statuses, said
    events = records(tmp_path / "events") if way == "files" else collector.events
    kept = Counter((e["openai_safety.provider.request_id"], e.get("user.hash")) for e in events)
    assert 1 == max(kept.values()), said
    lost = saw - kept
    assert set(lost) <= (left_behind if killed else set()), said
    # Under gevent the bare SDK complains of its own left-behind streams at the end; of ours nothing may.
    ours = [line for line in said.splitlines() if "openai-safety" in line and not re.search(NOWHERE, line)]
    assert [] == ours
    assert "gevent" in name or "Traceback" not in said
    assert {Hasher(KEY.encode()).end_user(f"user-{n}") for n in range(CALLS)} <= {who for _, who in saw}
    left = Counter(e["openai_safety.outcome"] for e in events)
    assert (CALLS // 3 - sum(lost.values()), 0) == (
        left["abandoned"],
        sum(saw.values()) - sum((lost + kept).values()),
    )


MID_STREAM = """
    import signal, sys, time
    if sys.argv[1] == "handled":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    import app
    stream = app.client.responses.create(**app.ASK, stream=True)
    next(stream)
    print("reading", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("how", "outcomes"), [("handled", ["abandoned", "completed"]), ("bare", ["completed"])]
)
def test_sigterm_in_mid_stream(how: str, outcomes: list[str], tmp_path: Path) -> None:
    """Nothing lost where the app exits by itself; lost where the signal kills it: the call under way, only."""
    with Provider() as provider, Collector() as collector:
        environment = surroundings(tmp_path, provider, collector)
        code = textwrap.dedent(MID_STREAM)
        process = subprocess.Popen(
            [sys.executable, "-c", code, how], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert "reading\n" == process.stdout.readline()
        assert until(lambda: records(tmp_path / "events"))  # the earlier call
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
    assert outcomes == sorted(str(e["openai_safety.outcome"]) for e in records(tmp_path / "events"))


AT_EXIT = """
    import atexit, threading
    def late():
        app.client.responses.create(**app.ASK)
    atexit.register(late)  # before instrumenting: it runs after our own exit handlers
    import app
    def forever():
        while True:
            list(app.client.responses.create(**app.ASK, stream=True))
    threading.Thread(target=forever, daemon=True).start()
    app.open = app.client.responses.create(**app.ASK, stream=True)
    import time
    time.sleep(0.5)
"""


def test_interpreter_shutdown(tmp_path: Path) -> None:
    """The exit is silent and clean; lost, at most: what a daemon thread or a finalizer had under way."""
    with Provider() as provider, Collector() as collector:
        environment = surroundings(tmp_path, provider, collector)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(AT_EXIT)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        saw = [entry.request_id for entry in provider.ledger]
    told = [e.get("openai_safety.provider.request_id") for e in records(tmp_path / "events")]
    kept = Counter(filter(None, told))  # what ends before its answer has none
    said = [line for line in done.stderr.splitlines() if "no OpenTelemetry SDK" not in line]
    assert (0, []) == (done.returncode, said)
    assert set(kept) <= set(saw)
    assert 1 == max(kept.values())
    # Of the last calls: the daemon thread's, and those begun after the interpreter had torn down our thread.
    missing = [number for number, one in enumerate(saw) if one not in kept]
    assert len(missing) <= 2, (missing, len(saw))


def test_gevent_is_there() -> None:
    """The greenlet cases above really run on gevent."""
    assert importlib.util.find_spec("gevent") is not None
    assert os.name == "posix"


GREENLETS = """
    from gevent import monkey
    monkey.patch_all()
    import os, subprocess, sys
    import gevent
    from openai_safety_otel.contract.record import Identity
    from openai_safety_otel.contract.settings import Settings
    from openai_safety_otel.instrumentation.guard import Guard
    from openai_safety_otel.ledger.suspensions import ListEntry, open_suspensions
    place, ran = sys.argv[1:]
    open_suspensions(place).create({})
    guard = Guard.from_settings(Settings(suspensions=place))
    def calls():
        for _ in range(500):
            with open(ran, "a") as file:
                print(os.getpid(), file=file)
            gevent.sleep(0)
    def programs():
        for _ in range(3):
            subprocess.run(["true"], check=True)
    gevent.joinall([gevent.spawn(calls), gevent.spawn(programs)], raise_error=True)
    open_suspensions(place).write({"a": ListEntry("suspend", None, "ann", "later")})
    reading, writing = os.pipe()
    if os.fork() == 0:
        with gevent.Timeout(60, False):
            while guard.check(Identity(value="a")) is None:
                gevent.sleep(0.01)
        entry = guard.check(Identity(value="a"))
        os.write(writing, (entry.why if entry else "let in").encode())
        os._exit(0)
    print(os.getpid(), os.read(reading, 100).decode())
"""


def test_a_program_started_under_gevent_runs_nothing_of_the_app(tmp_path: Path) -> None:
    """Its child, before it is that program, follows no list and makes none of the app's calls; a worker's does."""
    ran = tmp_path / "ran"
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            textwrap.dedent(GREENLETS),
            str(tmp_path / "list.json"),
            str(ran),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    process, entry = done.stdout.split()
    assert ({process}, "later") == (set(ran.read_text().split()), entry)
