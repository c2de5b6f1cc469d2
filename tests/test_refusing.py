"""A suspended end user is refused whatever runs a model or hands out a key to one, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import openai
import pytest

from openai_safety_otel import EndUserSuspended, end_user
from openai_safety_otel.instrumentation.extract.endpoints import PASSED_THROUGH, find
from openai_safety_otel.instrumentation.suspended import http_library
from openai_safety_otel.ledger.suspensions import ListEntry
from openai_safety_otel.who.identifier import Hasher
from support.lists import new_list
from support.telemetry import KEY, Instrument, Telemetry
from test_endpoints import ARGUMENTS, NO_REQUEST, Sent, _call, _methods, _operations, _resources, _takes_admin

http = http_library()
KINDS = [openai.OpenAI, openai.AsyncOpenAI]


def client_of(kind: type[Any], asked: list[tuple[str, str]]) -> Any:
    """A real client whose transport notes what would have left the process, and sends nothing."""

    def leave(request: Any) -> Any:
        asked.append((request.method, request.url.path.removeprefix("/v1")))
        raise Sent

    transport = http.MockTransport(leave)
    kind_of_http = http.AsyncClient if kind is openai.AsyncOpenAI else http.Client
    keys = {"api_key": "k", **({"admin_api_key": "a"} if _takes_admin(kind) else {})}
    return kind(**keys, http_client=kind_of_http(transport=transport))


def suspended(tmp_path: Path, instrument: Instrument, action: Any = "suspend", **settings: Any) -> None:
    place = str(tmp_path / "list.json")
    new_list(place, {Hasher(KEY).end_user("bad"): ListEntry(action)})
    instrument(suspensions=place, **settings)


def table(kind: type[Any]) -> dict[str, bool]:
    """Each public method that sends something, and whether the tables refuse it."""
    found = {}
    for name, sent, _ in _operations(kind):
        rows = [find(method, url, unrecorded=True) for method, url in sent]
        found[name] = any(row is not None and not row.passes for row in rows[:1])
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_public_method_does_what_the_tables_say(
    kind: type[Any], tmp_path: Path, instrument: Instrument
) -> None:
    """Each method of the installed SDK, called by a suspended person: refused before the network, or let pass."""
    suspended(tmp_path, instrument)
    asked: list[tuple[str, str]] = []
    refused: dict[str, bool] = {}
    for path, resource in _resources(client_of(kind, asked)):
        for name, method in _methods(resource):
            full = f"{path}.{name}"
            if full in NO_REQUEST or name in NO_REQUEST:
                continue
            asked.clear()
            try:
                with end_user("bad"):
                    _call(method, asked, ARGUMENTS.get(full))
                refused[full] = False
            except EndUserSuspended:
                refused[full] = True
            assert refused[full] is not bool(asked), full
    assert table(kind) == refused


NAMED = [
    ("POST", "/chatkit/sessions", True),
    ("POST", "/vector_stores/vs_1/search", True),
    ("POST", "/fine_tuning/jobs", True),
    ("POST", "/realtime/client_secrets", True),
    ("POST", "/responses", True),
    ("POST", "/batches", True),
    ("POST", "/moderations", True),
    ("POST", "/files", False),
    ("POST", "/conversations", False),
    ("POST", "/responses/input_tokens", False),
    ("POST", "/chatkit/sessions/s/cancel", False),
    ("GET", "/responses/resp_1", False),
    ("POST", "/responses/resp_1/cancel", False),
]


@pytest.mark.parametrize(("method", "url", "refused"), NAMED)
def test_the_ones_that_were_asked_about(method: str, url: str, refused: bool) -> None:
    """Sessions and keys, searches and training are refused; files, conversations, counting and stopping pass."""
    found = find(method, f"https://api.openai.com/v1{url}", unrecorded=True)
    assert refused == (found is not None and not found.passes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("action", "leaves"), [("revoke", False), ("filter", True), ("watch", True)])
async def test_a_refusal_of_what_is_not_recorded_leaves_a_record(
    kind: type[Any], action: str, leaves: bool, tmp_path: Path, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A session of a browser widget: no record where it passes, one of the refusal, with who and what."""
    suspended(tmp_path, instrument, action)
    asked: list[tuple[str, str]] = []
    client = client_of(kind, asked)
    for user in ("bad", "good"):
        with end_user(user), pytest.raises((EndUserSuspended, Sent)):
            made = client.post("/chatkit/sessions", cast_to=object, body={"user": "x"})
            await made
    names = ("user.hash", "openai_safety.api", "openai_safety.endpoint", "openai_safety.block.type")
    told = telemetry.facts(*names)
    who = Hasher(KEY).end_user("bad")
    expected = [] if leaves else [(who, "other", "beta.chatkit.sessions.create", "suspended_locally")]
    assert (expected, [("POST", "/chatkit/sessions")] * (1 + leaves)) == (told, asked)


# As the SDK sends it, and what a server behind it may read as the same path.
OTHER_SPELLINGS = [
    ("https://api.openai.com/v1", "/chat%2Fcompletions"),
    ("https://api.openai.com/v1", "/%72esponses"),
    ("https://api.openai.com/v1", "/files/../responses"),
    ("https://api.openai.com/v1", "/files/%2e%2e/responses"),
    ("https://api.openai.com/v1", "/responses/"),
    ("https://api.openai.com/v1", "/chat//completions"),
    ("https://api.openai.com/v1", "/chat\\completions"),
    ("https://api.openai.com/v1", "/Chat/Completions"),
    ("https://api.openai.com/v1", "/threads%2Ft_1%2Fruns"),
    ("https://gw.example/llm/v1/chat", "/completions"),
    ("https://gw.example/v1/chat/completions?tier=1", ""),
    ("https://x.openai.azure.com/openai/deployments/gpt/responses", "?api-version=1"),
    ("https://api.openai.com/v1", "https://gw.example/openai/v1/deployments/x/chat/completions"),
    ("https://api.openai.com/v1", "https://gateway.ai.cloudflare.com/v1/acct/gw/openai/chat/completions"),
    ("https://api.openai.com/v1", "https://gw.example/llm/vector_stores/vs_1/search"),
    ("https://x.services.ai.azure.com/openai", "https://x.services.ai.azure.com/models/chat/completions"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("base", "url"), OTHER_SPELLINGS)
async def test_another_spelling_of_a_path_lets_nobody_through(
    kind: type[Any], base: str, url: str, tmp_path: Path, instrument: Instrument
) -> None:
    """Percent signs, dots, slashes, capitals, or a gateway's path before it: a suspended end user is refused."""
    suspended(tmp_path, instrument)
    asked: list[tuple[str, str]] = []
    client = client_of(kind, asked).with_options(base_url=base)
    with end_user("bad"), pytest.raises(EndUserSuspended):
        made = client.post(url, cast_to=object, body={})
        await made
    with end_user("good"), pytest.raises(Sent):
        made = client.post(url, cast_to=object, body={})
        await made
    assert len(asked) == 1


@pytest.mark.parametrize("prefix", ["", "/v1", "https://gw.example/llm", "/openai/deployments/gpt-4o"])
def test_what_passes_is_taken_for_nothing_else_behind_a_gateway(prefix: str) -> None:
    """No row of what passes ends like one that is refused, whatever stands before it."""
    passing = {
        (method, prefix + re.sub(r"\{\w+\}", "x_1", template).replace("**", "more"))
        for only, template, _ in PASSED_THROUGH
        for method in (["GET", "POST", "PUT", "PATCH", "DELETE"] if only == "*" else [only])
    }
    taken = {(*row, found.name) for row in passing if (found := find(*row, unrecorded=True))}
    assert (taken, len(passing) > 100) == (set(), True)


def test_a_missing_list_and_closed_refuse_the_same(tmp_path: Path, instrument: Instrument) -> None:
    """With `closed`, whoever has an identifier gets no session while the list is missing; others do."""
    instrument(suspensions=str(tmp_path / "none.json"), suspensions_on_error="closed")
    asked: list[tuple[str, str]] = []
    client = client_of(openai.OpenAI, asked)
    with end_user("anybody"), pytest.raises(EndUserSuspended) as caught:
        client.post("/chatkit/sessions", cast_to=object, body={})
    with pytest.raises(Sent):
        client.post("/chatkit/sessions", cast_to=object, body={})
    assert ("suspensions_unavailable", 1) == (caught.value.code, len(asked))
    assert "openai-safety suspensions init" in str(caught.value)
