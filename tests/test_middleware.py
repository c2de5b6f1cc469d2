"""FastAPI as people first write it, and the middleware of both kinds of server."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import FileWrapper

import openai
import pytest
from fastapi import FastAPI
from websockets.sync.client import connect

from openai_safety_otel import EndUser, end_user, set_end_user
from openai_safety_otel.middleware import SafetyMiddleware, SafetyWsgiMiddleware
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.current import current_end_user
from openai_safety_otel.who.identifier import Hasher
from support.serving import serving
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until
from support.web_app import ASK, DEPENDENCIES, FORMS, Clients, every_web_app

U42 = Hasher(KEY).end_user("u42")
S9 = Hasher(KEY).session("s9")
# Who each of two requests is from: first a visitor, then the same person logged in.
VISITOR = {"cookie": "session=s9"}
MEMBER = {"cookie": "session=s9", "x-user": "u42"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture(scope="module")
def web(provider: Provider) -> Iterator[str]:
    clients = Clients(
        openai.OpenAI(api_key="k", base_url=provider.url),
        openai.AsyncOpenAI(api_key="k", base_url=provider.url),
    )
    with serving(every_web_app(clients)) as address, clients.plain:
        yield address


def visit(address: str, path: str, headers: dict[str, str]) -> None:
    if path.endswith("/socket"):
        cookie, *more = headers.items()
        with connect(f"ws://{address}{path}", additional_headers=[cookie, *more]) as socket:
            socket.send("hello")
            socket.recv(timeout=20)
        return
    host, _, port = address.partition(":")
    status, text = _get(host, int(port), path, headers)
    assert 200 == status, text


def told(telemetry: Telemetry, number: int) -> bool:
    return len(telemetry.events) == number


def who(telemetry: Telemetry) -> list[tuple[Any, Any]]:
    return [
        (event.get("user.hash"), event.get("openai_safety.identifier.linked")) for event in telemetry.events
    ]


def nameless(telemetry: Telemetry) -> float:
    points = telemetry.points("openai_safety.identifier.problems")
    return points.get(frozenset({("openai_safety.reason", "no_user")}), 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dependency", DEPENDENCIES)
@pytest.mark.parametrize("layer", ["bare", "safe"])
def test_fastapi_as_people_first_write_it(
    layer: str,
    dependency: str,
    form: str,
    web: str,
    provider: Provider,
    telemetry: Telemetry,
    instrument: Instrument,
) -> None:
    """A visitor, then the same person logged in: right on the wire and in telemetry, or counted as nobody's.

    A sync dependency runs in a worker thread, whose context is lost: there only the middleware helps.
    """
    instrument()
    provider.ledger.clear()
    for number, headers in enumerate((VISITOR, MEMBER), 1):
        visit(web, f"/{layer}/{dependency}/{form}", headers)
        assert until(partial(told, telemetry, number))
    carried = layer == "safe" or dependency.startswith("async")
    assert ([(S9, None), (U42, S9)] if carried else [(None, None)] * 2) == who(telemetry)
    assert [value for value, _ in who(telemetry)] == [entry.identifier for entry in provider.ledger]
    assert (0 if carried else 2) == nameless(telemetry)


# --- get_user -----------------------------------------------------------------------------------------------


async def from_scope(scope: Any) -> EndUser | None:
    name = dict(scope["headers"]).get(b"x-user")
    return EndUser(name.decode()) if name else None


def plain_from_scope(scope: Any) -> str | None:
    return str(dict(scope["headers"]).get(b"x-user", b""), "utf-8")


def broken(scope: Any) -> str | None:
    raise LookupError("who is jo@example.com?")


GET_USER: dict[str, tuple[Any, list[tuple[Any, Any]]]] = {
    "coroutine": (from_scope, [(None, None), (U42, None)]),
    "function": (plain_from_scope, [(None, None), (U42, None)]),
    "none given": (None, [(None, None)] * 2),
    "raises": (broken, [(None, None)] * 2),
    "nonsense": (lambda scope: b"u42", [(None, None)] * 2),
}


@pytest.mark.parametrize("case", GET_USER)
def test_get_user(
    case: str,
    provider: Provider,
    telemetry: Telemetry,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The middleware asks for the user of each request; a failing function costs only the identifier."""
    instrument()
    function, expected = GET_USER[case]
    client = openai.AsyncOpenAI(api_key="k", base_url=provider.url)
    app = FastAPI()

    @app.get("/")
    async def endpoint() -> str:
        return str((await client.responses.create(**ASK)).output_text)

    safe = SafetyMiddleware(app, function) if function else SafetyMiddleware(app)
    with caplog.at_level(logging.ERROR, "openai_safety_otel"), serving(safe) as address:
        visit(address, "/", {})
        visit(address, "/", {"x-user": "u42"})
    assert expected == who(telemetry)
    failed = case in {"raises", "nonsense"}
    assert failed == sum("get_user failed" in one.message for one in caplog.records)
    assert "jo@example.com" not in caplog.text


async def test_other_connections_pass_by() -> None:
    """A lifespan goes to the app as it is, without a place for a user."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        set_end_user("u42")
        seen.append(scope["type"])

    async def nothing(*_: Any) -> None:
        return None

    await SafetyMiddleware(app)({"type": "lifespan"}, nothing, nothing)
    found = current_end_user()
    set_end_user(None)
    assert (["lifespan"], EndUser("u42")) == (seen, found)


# --- WSGI ---------------------------------------------------------------------------------------------------


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        return None


def get(app: Any, paths: Iterable[str], **headers: str) -> list[tuple[int, str]]:
    """Answers of a real WSGI server that uses one thread for all, as a pool's thread is used again."""
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            return [_get("127.0.0.1", server.server_port, path, headers) for path in paths]
        finally:
            server.shutdown()
            thread.join()


def _get(host: str, port: int, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def name_now() -> bytes:
    person = current_end_user()
    return (person.id or "?").encode() if person else b"nobody"


def product(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    """Logs a visitor in where the path says so, and answers with whom it sees."""
    path = environ["PATH_INFO"]
    if path.startswith("/in/"):
        set_end_user(path.rpartition("/")[2])
    if path == "/boom":
        set_end_user("u13")
        raise ValueError(path)
    start("200 OK", [("Content-Type", "text/plain")])
    if path == "/file":
        set_end_user("u14")
        return FileWrapper(Path(__file__).open("rb"))
    return (name_now() for _ in range(2)) if path.endswith("stream") else [name_now()]


def test_wsgi_gives_the_thread_back(capfd: pytest.CaptureFixture[str]) -> None:
    """A thread that serves one after the other: nobody inherits the last one's user, streams keep theirs."""
    paths = ("/", "/in/ann", "/", "/in/stream", "/in/bob/stream", "/boom", "/", "/file", "/")
    answers = get(SafetyWsgiMiddleware(product), paths)
    bare = get(product, ("/in/ann", "/"))
    file = answers.pop(7)
    assert ["nobody", "ann", "nobody", "streamstream", "streamstream"] == [text for _, text in answers[:5]]
    assert [(500, "nobody"), (200, "nobody")] == [(answers[5][0], "nobody"), answers[6]]
    assert (200, True) == (file[0], "gives_the_thread_back" in file[1])
    assert (200, "nobody") == answers[7]
    # The product without the middleware, to show that this test can fail.
    assert [(200, "ann"), (200, "ann")] == bare


def test_wsgi_get_user(caplog: pytest.LogCaptureFixture) -> None:
    """The WSGI middleware asks for the user of each request; a failing function costs only the user."""
    named = SafetyWsgiMiddleware(product, lambda environ: environ.get("HTTP_X_USER"))
    assert [(200, "u42"), (200, "u42u42")] == get(named, ("/", "/stream"), **{"x-user": "u42"})
    assert [(200, "nobody")] == get(named, ("/",))
    with caplog.at_level(logging.ERROR, "openai_safety_otel"):
        assert [(200, "nobody")] * 2 == get(SafetyWsgiMiddleware(product, broken), ("/", "/"))
    assert 1 == sum("get_user failed" in one.message for one in caplog.records)
    assert "jo@example.com" not in caplog.text


def test_wsgi_bodies_stay_what_servers_look_for() -> None:
    """A file wrapper reaches the server as it is, and a list of known length keeps it."""
    environ = {"wsgi.file_wrapper": FileWrapper, "PATH_INFO": "/"}
    with Path(__file__).open("rb") as opened:
        file = FileWrapper(opened)
        sent = SafetyWsgiMiddleware(lambda *_: file)(environ, print)
    sized: Any = SafetyWsgiMiddleware(lambda *_: [b"a", b"b"])(environ, print)
    with end_user("outside"):
        unsized = SafetyWsgiMiddleware(lambda *_: iter([b"a"]))(environ, print)
        inside = current_end_user()
        unsized.close()  # type: ignore[attr-defined]
        after = current_end_user()
    sized.close()
    assert (True, 2, [b"a", b"b"]) == (sent is file, len(sized), list(sized))
    assert (False, None, EndUser("outside")) == (hasattr(unsized, "__len__"), inside, after)
