"""How calls end from outside: cancelled by whatever runs them, or with their process."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import openai
import pytest
import trio

from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.testing.provider import Provider
from support.event_files import records
from support.http import http_library
from support.telemetry import Instrument, Telemetry
from support.waiting import uvicorn_port

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
OPEN = 6


def ended(telemetry: Telemetry) -> list[tuple[str, str | None]]:
    return [(event["openai_safety.outcome"], event.get("error.type")) for event in telemetry.events]


class Greenlet(BaseException):
    """What gevent raises in a greenlet that is killed, or whose time is up, is no `Exception`."""


class OfTheApp(Exception):
    """An app's own, which happens to carry a code and a body."""

    code = "bob_smith"
    body: ClassVar[Any] = {"error": {"code": "bob_smith", "type": "bob_smith"}}
    status_code = 400


RAISED: dict[str, tuple[Callable[[], BaseException], tuple[str, str | None]]] = {
    "exit with a text": (lambda: SystemExit("bob_smith"), ("cancelled", None)),
    "killed": (Greenlet, ("cancelled", None)),
    "of the app": (OfTheApp, ("failed", "OfTheApp")),
}


@pytest.mark.parametrize("how", RAISED)
def test_what_is_raised_under_a_call(how: str, instrument: Instrument, telemetry: Telemetry) -> None:
    """What is no Exception cancels; of an exception of the app's own only its class's name is told."""
    make, expected = RAISED[how]

    def answer(_: Any) -> Any:
        raise make()

    http = http_library.Client(transport=http_library.MockTransport(answer))
    instrument()
    client = openai.OpenAI(
        api_key="sk-test", base_url="http://127.0.0.1:9/v1", http_client=http, max_retries=0
    )
    if how == "of the app":  # the SDK would make a connection error of it: a hook of the client's own raises
        client._prepare_options = answer  # type: ignore[assignment,method-assign]
    with pytest.raises(type(make())):
        client.responses.create(**ASK)
    assert [expected] == ended(telemetry)
    assert "bob_smith" not in str(telemetry.events) + str(
        [dict(span.attributes or {}) for span in telemetry.spans]
    )


@pytest.mark.parametrize("stream", [False, True])
def test_trio_cancels(stream: bool, provider: Provider, instrument: Instrument, telemetry: Telemetry) -> None:
    """A call, or the reading of its stream, that trio cancels is cancelled."""
    instrument()

    async def call() -> None:
        async with openai.AsyncOpenAI(api_key="sk-test", base_url=provider.url, max_retries=0) as client:
            with trio.CancelScope() as scope:
                answer: Any = await client.responses.create(**ASK, stream=True)
                async for _ in answer:
                    scope.cancel()

    if not stream:

        async def never(_: Any) -> Any:
            await trio.sleep(30)

        transport = http_library.MockTransport(never)

        async def call() -> None:
            with trio.move_on_after(0.1):
                http = http_library.AsyncClient(transport=transport)
                async with openai.AsyncOpenAI(api_key="k", base_url=provider.url, http_client=http) as client:
                    await client.responses.create(**ASK)

    trio.run(call)
    assert [("cancelled", None)] == ended(telemetry)


def environment(tmp_path: Path, provider: Provider) -> dict[str, str]:
    return environment_of_child(
        ("OTEL_", "OPENAI_"),
        OPENAI_API_KEY="sk-test",
        OPENAI_BASE_URL=provider.url,
        OPENAI_SAFETY_IDENTIFIER="off",
        OPENAI_SAFETY_FILE_DIR=str(tmp_path / "events"),
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        PYTHONPATH=str(tmp_path),
    )


def told(tmp_path: Path) -> Counter[str]:
    return Counter(str(one["openai_safety.outcome"]) for one in records(tmp_path / "events"))


WORKERS = f"""
    import multiprocessing, sys
    from openai_safety_otel import SafetyInstrumentor
    SafetyInstrumentor().instrument()
    import openai
    kept = []
    def work(name):
        client = openai.OpenAI()
        for _ in range({OPEN} // 2):
            kept.append((client, stream := client.responses.create(model="gpt-5", input=name, stream=True)))
            next(stream)
    if __name__ == "__main__":
        if sys.argv[2] == "after":
            work("parent")
        context = multiprocessing.get_context(sys.argv[1])
        children = [context.Process(target=work, args=(name,)) for name in "ab"]
        [child.start() for child in children]
        [child.join() for child in children]
"""


@pytest.mark.parametrize(("method", "when"), [("fork", "before"), ("fork", "after"), ("spawn", "before")])
def test_streams_open_at_the_end_of_worker_processes(
    method: str, when: str, tmp_path: Path, provider: Provider
) -> None:
    """Each stream that a child of multiprocessing leaves open is abandoned, also of one forked in mid-stream."""
    (tmp_path / "main.py").write_text(textwrap.dedent(WORKERS))
    subprocess.run(
        [sys.executable, str(tmp_path / "main.py"), method, when],
        env=environment(tmp_path, provider),
        timeout=60,
        check=True,
    )
    assert Counter({"abandoned": OPEN + (OPEN // 2 if when == "after" else 0)}) == told(tmp_path)


SERVED = """
    import openai
    client = openai.AsyncOpenAI()
    kept = []
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        kept.append(stream := await client.responses.create(model="gpt-5", input="x", stream=True))
        await anext(stream._iterator)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_streams_open_when_uvicorn_is_told_to_end(workers: int, tmp_path: Path, provider: Provider) -> None:
    """Uvicorn raises SIGTERM again at its end, so that no exit handler runs: the open streams are told before."""
    (tmp_path / "served.py").write_text(textwrap.dedent(SERVED))
    log = tmp_path / "log"
    command = [str(Path(sys.executable).parent / "opentelemetry-instrument"), sys.executable, "-m", "uvicorn"]
    command += ["served:app", "--port", "0", "--lifespan", "off", "--workers", str(workers)]
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment(tmp_path, provider), stdout=output, stderr=output)
    try:
        port = uvicorn_port(log, "Started server process", workers)
        for _ in range(OPEN):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/", headers={"connection": "close"})
            assert 200 == connection.getresponse().status, log.read_text()
            connection.close()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert Counter({"abandoned": OPEN}) == told(tmp_path), log.read_text()
