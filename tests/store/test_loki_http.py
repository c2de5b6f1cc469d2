from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from openai_safety_otel.operations.store.loki_http import LokiError, LokiHttp

ANSWER = {"data": {"result": ["ä"]}}


class Scripted(ThreadingHTTPServer):
    """Answers requests with these statuses in turn, then with 200; 0 hangs up without an answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.asked: list[tuple[str, str, str | None, str | None]] = []

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def _answer(self) -> None:
        headers = self.headers
        self.server.asked.append(
            (self.command, self.path, headers["X-Scope-OrgID"], headers.get("Authorization"))
        )
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.close_connection = status == 0
        if status == 0:
            return
        body = gzip.compress(json.dumps(ANSWER).encode()) if status == 200 else b"too\n  bad"
        self.send_response(status)
        if status == 200:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 - the names that the server looks for

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_the_address_says_where_and_as_whom(server: Scripted) -> None:
    """A path before Loki's own, a login and a tenant in the address are honoured; a packed answer is read."""
    with LokiHttp(f"http://ann:p%40ss@{server.place}/loki-1/?tenant=team%20a") as http:
        assert ANSWER == http.get("/loki/api/v1/query", query='{a="+ b"}')
        http.post("/loki/api/v1/delete", query="x")
    login = "Basic YW5uOnBAc3M="
    said = [(method, path.replace("%20", "+"), *who) for method, path, *who in server.asked]
    assert said == [
        ("GET", "/loki-1/loki/api/v1/query?query=%7Ba%3D%22%2B+b%22%7D", "team a", login),
        ("POST", "/loki-1/loki/api/v1/delete?query=x", "team a", login),
    ]


def test_without_login_or_tenant_in_the_address(server: Scripted) -> None:
    """The tenant is the shipped configuration's, and nobody logs in."""
    with LokiHttp(f"http://{server.place}") as http:
        assert ANSWER == http.get("/x")
    assert [("safety", None)] == [asked[2:] for asked in server.asked]


@pytest.mark.parametrize("status", [0, 429, 503])
def test_what_passes_is_asked_three_times(server: Scripted, status: int) -> None:
    """A closed connection, 429 and 5xx twice: the third answer counts, and a third failure is one."""
    with LokiHttp(f"http://ann:hid@{server.place}") as http:
        server.statuses = [status] * 2
        assert ANSWER == http.get("/x")
        server.statuses = [status] * 3
        with pytest.raises(LokiError) as error:
            http.get("/x")
    assert len(server.asked) == 6
    assert str(error.value).startswith(f"Loki at http://{server.place}: {status or ''}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("status", [302, 400, 404])
def test_a_refusal_is_said_at_once(server: Scripted, status: int) -> None:
    """Asked once, followed nowhere; the status stands in the error, in one line without the login."""
    server.statuses = [status]
    with LokiHttp(f"http://ann:hid@{server.place}") as http, pytest.raises(LokiError) as error:
        http.get("/x")
    expected = (f"Loki at http://{server.place} answered {status}: too bad", status, 1)
    assert expected == (str(error.value), error.value.status, len(server.asked))


def test_a_proxy_of_the_environment_is_not_used(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loki stands in the operator's own network: what they ask about a person goes there directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with LokiHttp(f"http://{server.place}") as http:
        assert ANSWER == http.get("/x")


@pytest.mark.parametrize("url", ["loki:3100", "ftp://loki", "http://", "http://loki:port", "http://[::1"])
def test_what_is_no_address_is_said(url: str) -> None:
    """Before anything is asked."""
    with pytest.raises(LokiError, match=r"Loki's URL must be http://host:port or https://host:port"):
        LokiHttp(url)
