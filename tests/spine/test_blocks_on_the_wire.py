"""The twins of the table of blocks as bytes: a real server on loopback, the installed SDK, the hook."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.instrumentation.blocks import RULES
from openai_safety_otel.ledger.suspensions import open_suspensions
from openai_safety_otel.who.identifier import Hasher
from support.lists import new_list
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until
from test_block_rules import TWINS, Twin

# Whom a rule of one host concerns cannot be seen on loopback.
ANYWHERE = [twin for twin in TWINS if twin.host == "api.openai.com" and twin.api == "responses"]
STREAMED: dict[str, dict[str, Any]] = {"frame": {"stream": True}, "failed": {"stream": True}}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


class Answers(ThreadingHTTPServer):
    """Answers each request with what it was told to."""

    status, kind, body = 400, "application/json", b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def frames(self, *events: dict[str, Any]) -> None:
        """A stream of server-sent events."""
        named = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        self.status, self.kind, self.body = 200, "text/event-stream", "".join(named).encode()

    def error(self, status: int, body: dict[str, Any]) -> None:
        """An HTTP error."""
        self.status, self.kind, self.body = status, "application/json", json.dumps(body).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        self.send_header("content-type", self.server.kind)
        self.send_header("content-length", str(len(self.server.body)))
        self.send_header("x-should-retry", "false")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


Ask = Callable[..., None]


@contextlib.contextmanager
def asking(way: str, url: str) -> Iterator[Ask]:
    """One client for many calls; errors of the SDK are expected."""
    if way == "async":
        loop = asyncio.new_event_loop()
        other = openai.AsyncOpenAI(api_key="k", base_url=url)

        async def chat() -> None:
            with contextlib.suppress(openai.OpenAIError):
                await other.chat.completions.create(**CHAT)

        yield lambda: loop.run_until_complete(chat())
        loop.run_until_complete(other.close())
        loop.close()
        return

    def call() -> None:
        with contextlib.suppress(openai.OpenAIError):
            made = client.responses.create(model="m", input="x", **STREAMED.get(way, {}))
            list(made if way in STREAMED else [])

    with openai.OpenAI(api_key="k", base_url=url) as client:
        yield call


def told(telemetry: Telemetry) -> tuple[Any, Any]:
    """The block and its certainty, the same on the event and on the span."""
    [event], [span] = telemetry.events, telemetry.spans
    names = (c.BLOCK_TYPE, c.BLOCK_CERTAINTY)
    assert [event.get(name) for name in names] == [(span.attributes or {}).get(name) for name in names]
    return event.get(c.BLOCK_TYPE), event.get(c.BLOCK_CERTAINTY)


@pytest.mark.parametrize("way", ["http", "async", "frame", "failed"])
def test_true_errors_block_and_forged_ones_do_not(
    way: str, answers: Answers, instrument: Instrument, telemetry: Telemetry
) -> None:
    """An HTTP error, an error frame in a stream, a failed response: the same word about the same error."""
    instrument()
    wrong = []
    with asking(way, answers.url) as ask:
        for twin in ANYWHERE:
            for error, expected in ((twin.true, known(twin)), (twin.forged, (None, None))):
                telemetry.clear()
                tell(way, answers, twin, error)
                ask()
                if told(telemetry) != expected:
                    wrong.append((twin.name, error, told(telemetry)))
    assert wrong == []


def known(twin: Twin) -> tuple[str, str]:
    rule = next(rule for rule in RULES if rule.name == twin.rule)
    return rule.block, rule.certainty


def tell(way: str, answers: Answers, twin: Twin, error: dict[str, Any]) -> None:
    """Have the server answer with this error."""
    response = {"id": "resp_1", "object": "response", "model": "m", "output": [], "status": "failed"}
    if way == "frame":
        answers.frames({"type": "error", "error": error, "sequence_number": 1})
    elif way == "failed":
        failed = {"type": "response.failed", "response": {**response, "error": error}}
        answers.frames({**failed, "sequence_number": 1})
    else:
        answers.error(twin.status, {"error": error})


@pytest.mark.usefixtures("quick_lists")
@pytest.mark.parametrize(
    ("error", "suspended"),
    [
        ({"code": "identifier-blocked", "message": "no"}, True),
        ({"code": None, "message": "safety_identifier blocked", "param": "safety_identifier"}, True),
        ({"code": None, "message": "The safety identifier has been permanently blocked."}, False),
        ({"code": "weapons_policy", "message": "no"}, False),
        (
            {
                "code": "invalid_image_url",
                "message": "Error while downloading https://evil.example/identifier_blocked/x.png",
            },
            False,
        ),
        ({"code": "account_deactivated", "message": "no"}, False),
    ],
)
def test_only_what_is_surely_about_the_person_suspends(
    error: dict[str, Any],
    suspended: bool,
    answers: Answers,
    instrument: Instrument,
    tmp_path: Any,
) -> None:
    """With both automatic rules on, a forged block, a wording and a lost account leave the list as it was."""
    place = str(tmp_path / "list.json")
    new_list(place)
    who, last = (Hasher(KEY).end_user(name) for name in ("u1", "last"))
    instrument(suspensions=place, store=str(tmp_path / "store.db"), auto_suspend="provider,1/60")
    with asking("http", answers.url) as ask:
        answers.error(400, {"error": error})
        with end_user("u1"):
            ask()
        # What is asked later is done later: this one is always suspended.
        answers.error(400, {"error": {"code": "cyber_policy", "message": "no"}})
        with end_user("last"):
            ask()
    source = open_suspensions(place)
    until(lambda: last in source.look_up([last]))
    assert (who in source.look_up([who])) is suspended
