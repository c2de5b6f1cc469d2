"""Fixtures of every test: strict guard, in-memory telemetry, instrumenting for one test."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.ledger.suspensions import open_suspensions
from openai_safety_otel.ledger.suspensions.refresher import Refresher
from support.lists import Drops, Follow
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until


def pytest_collection_finish() -> None:
    """What the files of the tests load stays to the end: no search for garbage looks through it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """What ends the session looks for what refers to what, and lets all of it go."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    """Our own failures re-raise, so that no test passes by swallowing."""
    own_errors.strict = True
    yield
    own_errors.strict = False


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def instrument(telemetry: Telemetry) -> Iterator[Instrument]:
    """``instrument(**settings)`` for one test, with a key and loopback allow-listed unless said otherwise."""
    instrumentor = SafetyInstrumentor()

    def start(**settings: Any) -> SafetyInstrumentor:
        chosen = {"hmac_key": KEY, "inject_hosts": "+127.0.0.1", **settings}
        instrumentor.instrument(**telemetry.providers, **{k: v for k, v in chosen.items() if v is not None})
        return instrumentor

    yield start
    instrumentor.uninstrument()


# --- suspension lists ---


@pytest.fixture
def quick_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows a suspension list reads it often."""
    monkeypatch.setattr("openai_safety_otel.ledger.suspensions.refresher.POLL_SECONDS", 0.05)


@pytest.fixture
def follow(quick_lists: None) -> Iterator[Follow]:
    """Follow a list for one test, and what was counted meanwhile."""
    running: list[Refresher] = []

    def start(place: str) -> tuple[Refresher, Drops]:
        drops: Drops = []
        follower = Refresher(lambda: open_suspensions(place), lambda *what: drops.append(what))
        running.append(follower)
        follower.start(wait=10)
        return follower, drops

    yield start
    for follower in running:
        follower.close()


# --- a real redis-server ---


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real redis-server of our own, with an append-only file."""
    program = shutil.which("redis-server")
    if program is None:
        missing = "redis-server is not installed: apt-get install redis-server"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    options = f"--port {port} --bind 127.0.0.1 --dir {folder} --appendonly yes --appendfsync always"
    server = subprocess.Popen([program, *options.split(), "--save", ""], stdout=subprocess.DEVNULL)
    try:
        _await_port(port, server)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The server's URL, emptied for this test."""
    redis = pytest.importorskip("redis", reason="the redis client is in the extra `redis`")
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


def _await_port(port: int, server: subprocess.Popen[bytes]) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    assert until(lambda: server.poll() is not None or listens()), "redis-server does not answer"
    assert server.poll() is None, f"redis-server ended with {server.returncode}"
