"""LiteLLM's proxy, run as operators run it: our callback named in its configuration, and nothing else of ours."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
import yaml

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.ledger.suspensions import ListEntry
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.event_files import records
from support.http import http_library as http
from support.lists import new_list
from support.telemetry import KEY
from support.waiting import until

ANN, BOB, EVE = (Hasher(KEY).end_user(name) for name in ("ann", "bob", "eve"))
START_SECONDS = 240
pytestmark = pytest.mark.timeout(START_SECONDS + 60)
SHIPPED = Path(__file__).parents[2] / "stack" / "config" / "litellm.yaml"
# Who a key belongs to is what it says; a service's key belongs to nobody.
AUTHENTICATE = """
from litellm.proxy._types import UserAPIKeyAuth

async def authenticate(request, api_key):
    user = api_key.removeprefix("sk-")
    return UserAPIKeyAuth(api_key=api_key, user_id=None if user == "service" else user)
"""
MODELS = {
    "gpt-5": "openai/gpt-5",
    "broken": "openai/stub-500",
    "draw": "openai/gpt-image-1",
    "embed": "openai/text-embedding-3-small",
    "talk": "openai/gpt-realtime",
}


def configuration(provider: Provider) -> dict[str, Any]:
    """The shipped one, with the stub's models and some guardrails; YAML is a superset of JSON."""
    reach = {"api_base": provider.url, "api_key": "k", "max_retries": 0}
    rails = [("no-words", "pre_call", "never this"), ("no-answers", "post_call", "friendly answer")]
    return {
        **yaml.safe_load(SHIPPED.read_text(encoding="utf-8")),
        "model_list": [
            {"model_name": name, "litellm_params": {"model": model, **reach}}
            for name, model in MODELS.items()
        ],
        "guardrails": [
            {
                "guardrail_name": name,
                "litellm_params": {
                    "guardrail": "litellm_content_filter",
                    "mode": mode,
                    "default_on": mode == "pre_call",
                    "blocked_words": [{"keyword": words, "action": "BLOCK"}],
                },
            }
            for name, mode, words in rails
        ],
        "router_settings": {"num_retries": 0, "fallbacks": [{"broken": ["gpt-5"]}]},
        "general_settings": {"custom_auth": "own_auth.authenticate"},
    }


class Proxy(NamedTuple):
    """A running proxy, the stub behind it, and where its events are."""

    url: str
    provider: Provider
    events: Path

    def client(self, who: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=f"sk-{who}", max_retries=0)

    def told(self, ask: Callable[[], Any], number: int) -> list[dict[str, Any]]:
        """The records that a request through the proxy leaves."""
        self.provider.ledger.clear()
        before = len(records(self.events))
        with contextlib.suppress(openai.APIError):
            answer = ask()
            if hasattr(answer, "__next__"):
                list(answer)
        until(lambda: len(records(self.events)) >= before + number)
        return records(self.events)[before:]


@pytest.fixture(scope="module")
def proxy(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "own_auth.py").write_text(AUTHENTICATE)
    (folder / "config.yaml").write_text(json.dumps(configuration(provider)))
    suspended = str(folder / "list.json")
    new_list(suspended, {EVE: ListEntry("suspend", None, "operator", "test")})
    with socket.socket() as probe:  # a port that was free a moment ago
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "HMAC_KEY": KEY.decode(),
        "INJECT_HOSTS": "+127.0.0.1",
        "FILE_DIR": str(folder / "events"),
        "SUSPENSIONS": suspended,
        "STORE": str(folder / "store.db"),
    }
    env = {
        **os.environ,
        **{f"OPENAI_SAFETY_{name}": value for name, value in settings.items()},
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": "sk-0123456789abcdef0123456789abcdef",
        "DISABLE_ADMIN_UI": "True",
        "PYTHONPATH": str(folder),
    }
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(folder / "config.yaml")]
    with (folder / "log").open("w") as log:
        program = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env=env,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        origin = f"http://127.0.0.1:{port}"

        def up() -> bool:
            with contextlib.suppress(http.TransportError):
                return bool(http.get(f"{origin}/health/liveliness").status_code == http.codes.OK)
            return program.poll() is not None

        for _ in range(START_SECONDS // 20):
            if until(up):
                break
        assert program.poll() is None, (folder / "log").read_text()[-2000:]
        yield Proxy(f"{origin}/v1", provider, folder / "events")
    finally:
        program.terminate()
        program.wait(30)


HELLO: Any = [{"role": "user", "content": "hello"}]
Ask = Callable[[openai.OpenAI], Any]
# What is asked, the API that the record names, and whether it takes an identifier.
ROUTES: dict[str, tuple[Ask, str, bool]] = {
    "chat": (lambda a: a.chat.completions.create(model="gpt-5", messages=HELLO), "chat", True),
    "chat, streamed": (
        lambda a: iter(a.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)),
        "chat",
        True,
    ),
    "responses": (lambda a: a.responses.create(model="gpt-5", input="hello"), "responses", True),
    "responses, streamed": (
        lambda a: iter(a.responses.create(model="gpt-5", input="hello", stream=True)),
        "responses",
        True,
    ),
    "images": (lambda a: a.images.generate(model="draw", prompt="hello"), "images", True),
    "edits": (
        lambda a: a.images.edit(model="draw", prompt="hello", image=("a.png", b"\x89PNG", "image/png")),
        "images",
        True,
    ),
    "embeddings": (lambda a: a.embeddings.create(model="embed", input="hello"), "embeddings", False),
    "Anthropic's messages": (
        lambda a: a.post(
            "/messages", body={"model": "gpt-5", "max_tokens": 20, "messages": HELLO}, cast_to=object
        ),
        "responses",
        True,
    ),
}


@pytest.mark.parametrize("route", ROUTES)
def test_the_user_of_the_key_is_the_end_user(route: str, proxy: Proxy) -> None:
    """Every route, for a key that belongs to a person: their identifier on the wire, one record."""
    ask, api, takes = ROUTES[route]
    (event,) = proxy.told(lambda: ask(proxy.client("ann")), 1)
    (entry,) = proxy.provider.ledger
    assert (api, ANN, "end_user", "completed") == tuple(
        event[name] for name in (c.API, c.USER_HASH, c.IDENTIFIER_SOURCE, c.OUTCOME)
    )
    assert (ANN if takes else None, entry.request_id) == (entry.identifier, event[c.PROVIDER_REQUEST_ID])


@pytest.mark.parametrize("field", [{"user": "bob"}, {"extra_headers": {"x-litellm-customer-id": "bob"}}])
def test_the_customer_that_a_service_names_is_the_end_user(field: dict[str, Any], proxy: Proxy) -> None:
    """A service's key and the `user` of its request, or LiteLLM's header for it."""
    service = proxy.client("service")
    for ask in (
        lambda: service.responses.create(model="gpt-5", input="hello", **field),
        lambda: service.chat.completions.create(model="gpt-5", messages=HELLO, **field),
    ):
        (event,) = proxy.told(ask, 1)
        assert (BOB, "end_user", "sent") == (
            event[c.USER_HASH],
            event[c.IDENTIFIER_SOURCE],
            event[c.IDENTIFIER_DELIVERY],
        )


def test_a_service_that_names_nobody_is_nobody(proxy: Proxy) -> None:
    """The key of a service is no end user: counted as without one."""
    (event,) = proxy.told(lambda: proxy.client("service").responses.create(model="gpt-5", input="hello"), 1)
    assert ("absent", "none", None) == (
        event[c.IDENTIFIER_SOURCE],
        event[c.IDENTIFIER_DELIVERY],
        proxy.provider.ledger[0].identifier,
    )


def test_an_identifier_of_the_callers_own_stays(proxy: Proxy) -> None:
    """What a service has put in its place is passed on as it is, with LiteLLM's customer taken from it."""
    mine = "c" * 64
    service = proxy.client("service")
    (event,) = proxy.told(
        lambda: service.responses.create(model="gpt-5", input="hello", safety_identifier=mine), 1
    )
    assert (mine, "caller", mine) == (
        event[c.USER_HASH],
        event[c.IDENTIFIER_SOURCE],
        proxy.provider.ledger[0].identifier,
    )


@pytest.mark.parametrize("route", ["chat", "responses"])
def test_a_fallback_leaves_a_record_of_each_deployment(route: str, proxy: Proxy) -> None:
    """One that failed and one that answered, as the provider counts them."""
    text: dict[str, Any] = {"messages": HELLO} if route == "chat" else {"input": "hello"}
    client = proxy.client("ann")
    create: Any = client.chat.completions.create if route == "chat" else client.responses.create
    found = proxy.told(lambda: create(model="broken", **text), 2)
    assert [("failed", ANN), ("completed", ANN)] == [(one[c.OUTCOME], one[c.USER_HASH]) for one in found]
    assert ["failed", "completed"] == [entry.outcome for entry in proxy.provider.ledger]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "shape", ["cyber", "cyber-frame", "identifier", "bio-failed", "image-item", "refuse", "429:9", "500:9"]
)
def test_an_outcome_is_the_providers(shape: str, stream: bool, proxy: Proxy) -> None:
    """Blocks, refusals and failures through the proxy, plain and streamed."""
    client = proxy.client("ann")
    asked = f"[[{shape}]] hello"
    (event,) = proxy.told(lambda: client.responses.create(model="gpt-5", input=asked, stream=stream), 1)
    (entry,) = proxy.provider.ledger
    assert (entry.outcome, entry.block_type) == (event[c.OUTCOME], event.get(c.BLOCK_TYPE))


@pytest.mark.parametrize("route", [route for route, (_, _, takes) in ROUTES.items() if takes])
def test_whoever_is_suspended_is_refused_once(route: str, proxy: Proxy) -> None:
    """No deployment is tried, and one record says why."""
    ask, _, _ = ROUTES[route]
    (event,) = proxy.told(lambda: ask(proxy.client("eve")), 1)
    assert ("blocked", "suspended_locally", "not_sent", EVE) == tuple(
        event[name] for name in (c.OUTCOME, c.BLOCK_TYPE, c.IDENTIFIER_DELIVERY, c.USER_HASH)
    )
    assert 0 == len(proxy.provider.ledger)
    with pytest.raises(openai.PermissionDeniedError, match="suspended"):
        proxy.client("eve").responses.create(model="gpt-5", input="hello")


@pytest.mark.parametrize("route", ["chat", "responses"])
def test_what_a_guardrail_stops_is_a_local_block_with_its_name(route: str, proxy: Proxy) -> None:
    """Nothing left the proxy; the record names the guardrail as the code."""
    client = proxy.client("ann")
    ask = {
        "chat": lambda: client.chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": "say never this"}]
        ),
        "responses": lambda: client.responses.create(model="gpt-5", input="say never this"),
    }
    (event,) = proxy.told(ask[route], 1)
    assert ("blocked", "filtered_locally", "local", "input", "no-words", "not_sent", ANN) == tuple(
        event[name]
        for name in (
            c.OUTCOME,
            c.BLOCK_TYPE,
            c.BLOCK_CLASS,
            c.BLOCK_SOURCE,
            c.BLOCK_CODE,
            c.IDENTIFIER_DELIVERY,
            c.USER_HASH,
        )
    )
    assert 0 == len(proxy.provider.ledger)


STOPPED = ("blocked", "no-answers", "not_sent")


@pytest.mark.parametrize(
    ("route", "stream", "expected"),
    [
        ("chat", False, {("completed", None, "sent"), STOPPED}),
        ("responses", False, {("completed", None, "sent"), STOPPED}),
        # LiteLLM lets go of the provider's stream at the words that it stops.
        ("chat", True, {("abandoned", None, "sent"), STOPPED}),
        # LiteLLM's content filter reads the choices of a stream, and a streamed response has none: it passes.
        ("responses", True, {("completed", None, "sent")}),
    ],
)
def test_an_answer_that_a_guardrail_stops_has_a_record_of_its_own(
    route: str, stream: bool, expected: set[tuple[str, str | None, str]], proxy: Proxy
) -> None:
    """Beside the provider's call the guardrail's, which is no second call in the coverage; of streams, too."""
    client = proxy.client("ann")
    more: dict[str, Any] = {"extra_body": {"guardrails": ["no-answers"]}, "stream": stream}
    ask = {
        "chat": lambda: client.chat.completions.create(model="gpt-5", messages=HELLO, **more),
        "responses": lambda: client.responses.create(model="gpt-5", input="hello", **more),
    }
    found = proxy.told(ask[route], len(expected))
    assert expected == {(one[c.OUTCOME], one.get(c.BLOCK_CODE), one[c.IDENTIFIER_DELIVERY]) for one in found}
    assert 1 == len(proxy.provider.ledger)


def talk(client: openai.OpenAI, *said: str) -> None:
    """A Realtime session with a response for each of these."""
    with client.realtime.connect(model="talk") as socket:
        for text in said:
            socket.response.create(response={"instructions": text})
            while socket.recv().type not in {"response.done", "error"}:
                pass


def test_each_response_of_a_realtime_session_is_recorded(proxy: Proxy) -> None:
    """When the session has ended: who, whether the identifier was sent, how each ended, and under which id."""
    found = proxy.told(lambda: talk(proxy.client("ann"), "hello", "[[cyber-failed]] hello"), 2)
    entries = [entry for entry in proxy.provider.ledger if entry.endpoint == "realtime.response"]
    assert [
        ("realtime", ANN, "end_user", "sent", entry.outcome, entry.block_type, entry.response_id)
        for entry in entries
    ] == [
        (
            one[c.API],
            one[c.USER_HASH],
            one[c.IDENTIFIER_SOURCE],
            one[c.IDENTIFIER_DELIVERY],
            one[c.OUTCOME],
            one.get(c.BLOCK_TYPE),
            one[c.RESPONSE_ID],
        )
        for one in found
    ]
    assert [ANN, ANN] == [entry.identifier for entry in entries]


def test_an_error_of_a_realtime_session_is_recorded(proxy: Proxy) -> None:
    """A block that comes as an error event, without a response."""
    (event,) = proxy.told(lambda: talk(proxy.client("ann"), "[[cyber]] hello"), 1)
    assert ("blocked", "cyber_policy", ANN) == (event[c.OUTCOME], event[c.BLOCK_TYPE], event[c.USER_HASH])


def test_whoever_is_suspended_gets_no_realtime_session(proxy: Proxy) -> None:
    """Refused before the proxy connects to anybody."""

    def ask() -> None:
        with contextlib.suppress(Exception):  # the socket closes under its reader
            talk(proxy.client("eve"), "hello")

    (event,) = proxy.told(ask, 1)
    assert ("realtime", "blocked", "suspended_locally", "not_sent", EVE) == tuple(
        event[name] for name in (c.API, c.OUTCOME, c.BLOCK_TYPE, c.IDENTIFIER_DELIVERY, c.USER_HASH)
    )
    assert 0 == len(proxy.provider.ledger)
