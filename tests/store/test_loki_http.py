from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from openai_safety_otel.operations.investigation.erase_events import delete_from_loki
from openai_safety_otel.operations.store.loki_http import LokiError, LokiHttp

FOUND = ["ä"]
ANSWER = json.dumps({"data": {"result": FOUND}}).encode()
NO_LOKI = {
    "a page to sign in": (b"<!DOCTYPE html>\n<html>Sign in", "<!DOCTYPE html> <html>Sign in"),
    "nothing": (b"", "nothing"),
    "another JSON": (b"{}", "{}"),
    "a list": (b"[]", "[]"),
    "no data": (b'{"status":"success","data":null}', '{"status":"success","data":null}'),
    "no result": (b'{"data":{"result":null}}', '{"data":{"result":null}}'),
    "an error": (b'{"status":"error","error":"timed out"}', '{"status":"error","error":"timed out"}'),
    "half an answer": (b'{"data":{"result":[{"str', '{"data":{"result":[{"str'),
}


class Scripted(ThreadingHTTPServer):
    """Answers requests with these statuses in turn, then with 200; 0 hangs up without an answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.answer = ANSWER
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
        body = gzip.compress(self.server.answer) if status == 200 else b"too\n  bad"
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


def test_a_deletion_reaches_what_was_stored_a_moment_ago(server: Scripted) -> None:
    """It names no end, which is now by Loki's own clock: whole seconds would spare the last, and an early clock all."""
    server.statuses = [204] * 6
    delete_from_loki(f"http://{server.place}", ["a" * 64])
    values = [parse_qs(urlsplit(path).query) for _, path, _, _ in server.asked]
    assert {tuple(sorted(one)) for one in values} == {("query", "start")}


def test_the_address_says_where_and_as_whom(server: Scripted) -> None:
    """A path before Loki's own, a login and a tenant in the address are honoured; a packed answer is read."""
    with LokiHttp(f"http://ann:p%40ss@{server.place}/loki-1/?tenant=team%20a") as http:
        assert FOUND == http.result("/loki/api/v1/query", query='{a="+ b"}')
        server.statuses = [204]
        http.delete("x", "1")
    login = "Basic YW5uOnBAc3M="
    said = [(method, path.replace("%20", "+"), *who) for method, path, *who in server.asked]
    assert said == [
        ("GET", "/loki-1/loki/api/v1/query?query=%7Ba%3D%22%2B+b%22%7D", "team a", login),
        ("POST", "/loki-1/loki/api/v1/delete?query=x&start=1", "team a", login),
    ]


def test_without_login_or_tenant_in_the_address(server: Scripted) -> None:
    """The tenant is the shipped configuration's, and nobody logs in."""
    with LokiHttp(f"http://{server.place}") as http:
        assert FOUND == http.result("/x")
    assert [("safety", None)] == [asked[2:] for asked in server.asked]


@pytest.mark.parametrize("status", [0, 429, 503])
def test_what_passes_is_asked_three_times(server: Scripted, status: int) -> None:
    """A closed connection, 429 and 5xx twice: the third answer counts, and a third failure is one."""
    with LokiHttp(f"http://ann:hid@{server.place}") as http:
        server.statuses = [status] * 2
        assert FOUND == http.result("/x")
        server.statuses = [status] * 3
        with pytest.raises(LokiError) as error:
            http.result("/x")
    assert len(server.asked) == 6
    assert str(error.value).startswith(f"Loki at http://{server.place}: {status or ''}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("status", [302, 400, 404])
def test_a_refusal_is_said_at_once(server: Scripted, status: int) -> None:
    """Asked once, followed nowhere; the status stands in the error, in one line without the login."""
    server.statuses = [status]
    with LokiHttp(f"http://ann:hid@{server.place}") as http, pytest.raises(LokiError) as error:
        http.result("/x")
    expected = (f"Loki at http://{server.place} answered {status}: too bad", status, 1)
    assert expected == (str(error.value), error.value.status, len(server.asked))


@pytest.mark.parametrize(("answer", "shown"), NO_LOKI.values(), ids=NO_LOKI)
def test_what_is_no_answer_of_lokis_is_an_error(server: Scripted, answer: bytes, shown: str) -> None:
    """A proxy's page, an empty or a cut answer with 200: neither "found nothing" nor a failure without words."""
    server.answer = answer
    with LokiHttp(f"http://ann:hid@{server.place}") as http, pytest.raises(LokiError) as error:
        http.result("/x")
    assert str(error.value) == f"http://{server.place} does not answer as Loki does: {shown}"


def test_a_part_of_what_there_is_counts_as_an_error(server: Scripted) -> None:
    """Loki says with 200 that it left out what was too much: nobody may conclude that something never happened."""
    partial = "maximum of series (500) reached for a single query; returning partial results"
    server.answer = json.dumps({"warnings": [partial], "data": {"result": []}}).encode()
    with LokiHttp(f"http://{server.place}") as http, pytest.raises(LokiError) as error:
        http.result("/x")
    assert str(error.value) == f"Loki at http://{server.place} answers with a part of what it has: {partial}"
    server.answer = json.dumps({"warnings": ["deprecated"], "data": {"result": FOUND}}).encode()
    with LokiHttp(f"http://{server.place}") as http:
        assert http.result("/x") == FOUND


def test_a_deletion_that_a_proxy_answered_is_not_requested(server: Scripted) -> None:
    """Loki takes one with 204; a page with 200 erases nothing."""
    server.answer = b"<html>Sign in"
    with LokiHttp(f"http://{server.place}") as http, pytest.raises(LokiError) as error:
        http.delete("x", "1")
    assert str(error.value) == f"http://{server.place} does not answer as Loki does: <html>Sign in"


def test_a_proxy_of_the_environment_is_not_used(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loki stands in the operator's own network: what they ask about a person goes there directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with LokiHttp(f"http://{server.place}") as http:
        assert FOUND == http.result("/x")


@pytest.mark.parametrize("url", ["loki:3100", "ftp://loki", "http://", "http://loki:port", "http://[::1"])
def test_what_is_no_address_is_said(url: str) -> None:
    """Before anything is asked."""
    with pytest.raises(LokiError, match=r"Loki's URL must be http://host:port or https://host:port"):
        LokiHttp(url)
