"""The receiver under half-sent requests: it goes on answering, and its log stays small."""

from __future__ import annotations

import http.client
import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from openai_safety_otel.operations.webhooks.bounded_server import Damped, guarded
from webhooks.bench import Bench, CaseApi, until, warning
from webhooks.test_command import Start, environ, start

__all__ = ["environ", "start"]  # fixtures

HALF_SENT = {
    "nothing": b"",
    "half a head": b"POST / HTTP/1.1\r\nHost: a\r\nX-",
    "half a body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{",
    "refused, and its body never ends": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{",
    "half a second request": b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /hea",
}


@contextmanager
def served(app: Any, **limits: Any) -> Iterator[int]:
    """The port of a guarded server in a thread."""
    with closing(socket.socket()) as door:
        door.bind(("127.0.0.1", 0))
        server = guarded(app, **limits)
        thread = Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        until(lambda: server.started)
        try:
            yield int(door.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(20)


def half_send(port: int, what: bytes) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=20)
    one.sendall(what)
    return one


def health(port: int) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().status


def ended(one: socket.socket) -> bool:
    """Whether the server has ended the connection, whatever it answered before."""
    try:
        while one.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("what", HALF_SENT.values(), ids=HALF_SENT)
@pytest.mark.parametrize("trickle", [False, True])
def test_a_request_that_does_not_arrive_ends(bench: Bench, what: bytes, trickle: bool) -> None:
    """A connection without a whole request ends after its time, also where a byte comes now and then."""
    with served(bench.app, seconds=0.5) as port, closing(half_send(port, what)) as one:
        began = time.monotonic()
        if trickle:
            with pytest.raises(ConnectionError):
                while time.monotonic() - began < 60:
                    one.sendall(b"x")
                    time.sleep(0.1)
        assert ended(one)
        assert time.monotonic() - began < 60
        assert health(port) == 200


def test_where_the_house_is_full_the_longest_waiting_makes_room(bench: Bench, api: CaseApi) -> None:
    """More half-sent requests than there is room for: a genuine notice is taken at once all the same."""
    with served(bench.app, most=20, seconds=60.0) as port, ExitStack() as held:
        waiting = [held.enter_context(closing(half_send(port, b"POST / HTTP/1.1\r\n"))) for _ in range(60)]
        bench.port = port
        assert bench.post(warning()).body == {"status": "accepted", "notice": "C-1"}
        assert all(ended(one) for one in waiting[:30])
        waiting[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting[-1].recv(1)


def test_a_kept_connection_is_used_again(bench: Bench) -> None:
    """A proxy's connection takes request after request: only an unfinished one has a deadline."""
    with (
        served(bench.app, seconds=0.3) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection,
    ):
        for _ in range(3):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b'{"status": "ok", "last_drill": null}'
            first = connection.sock
            time.sleep(0.4)
        assert connection.sock is first


def test_1100_half_sent_requests_do_not_wedge_the_command(start: Start, tmp_path: Path) -> None:
    """The command with 1,024 files goes on answering under 1,100 half-sent requests, and logs a few lines."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        receiver = start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    port = int(receiver.url.rstrip("/").rpartition(":")[2])
    try:
        with ExitStack() as held:
            for number in range(1100):
                half = list(HALF_SENT.values())[number % 3]
                try:
                    held.enter_context(closing(half_send(port, half)))
                except ConnectionError:
                    continue
            assert health(port) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert health(port) == 200
    status, said = receiver.stop()
    assert (status, len(said) < 2000) == (0, True), said[-2000:]


def test_a_repeated_message_is_written_once_a_minute() -> None:
    """What is left out is counted in the next line of its kind; other kinds are not held back."""
    damped = Damped(seconds=0.2)

    def write(text: str) -> str | None:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, text, None, None)
        return record.getMessage() if damped.filter(record) else None

    assert [write("bad"), write("bad"), write("other"), write("bad")] == ["bad", None, "other", None]
    time.sleep(0.25)
    assert write("bad") == "bad (and 2 more like it)"
