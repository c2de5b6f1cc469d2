from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from openai_safety_otel.contract.vocabulary import APIS, OTHER_API
from openai_safety_otel.instrumentation.extract.endpoints import (
    ENDPOINTS,
    PASSED_THROUGH,
    REFUSED,
    _find,
    find,
)

# Methods that send no HTTP request of their own: sockets, and what only computes.
NO_REQUEST = {
    "connect": "opens a socket",
    "unwrap": "verifies a signature",
    "verify_signature": "verifies a signature",
    "beta.agents.environments.files.prepare": "reads a local file",
    "beta.agents.environments.files.prepare_directory": "reads a local folder",
    "beta.agents.sessions.artifacts.for_result": "binds a result to the methods beside it",
}
# What the SDK itself checks before it sends, and a dummy by type would not pass.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "responses.stream": {"model": "m", "input": "x"},
    "beta.agents.environments.files.upload": {
        "environment_id": "e",
        "file": b"x",
        "path": "/workspace/x",
    },
    "uploads.upload_file_chunked": {
        "file": b"x",
        "filename": "x",
        "bytes": 1,
        "mime_type": "text/plain",
        "purpose": "batch",
    },
    "videos.edit": {"video": b"x", "prompt": "x"},
    "videos.extend": {"video": b"x", "prompt": "x", "seconds": "4"},
}


class Sent(BaseException):
    """Raised in place of the request, so that no helper of the SDK can catch it."""


def _client(kind: type[Any], sent: list[tuple[str, str]]) -> Any:
    client = kind(api_key="k", admin_api_key="a") if _takes_admin(kind) else kind(api_key="k")

    def request(_cast_to: Any, options: Any, **_: Any) -> Any:
        sent.append((options.method.upper(), options.url))
        raise Sent

    client.request = request
    return client


def _takes_admin(kind: type[Any]) -> bool:
    return "admin_api_key" in inspect.signature(kind.__init__).parameters


def _resources(owner: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    # Old SDKs set resources in the constructor, newer ones make them when they are asked for.
    for name in dir(owner):
        if name.startswith(("_", "with_")):
            continue
        resource = getattr(owner, name, None)
        if not hasattr(type(resource), "with_raw_response"):
            continue
        inner = f"{path}.{name}".lstrip(".")
        yield inner, resource
        yield from _resources(resource, inner)


def _methods(resource: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, _ in inspect.getmembers(type(resource), inspect.isfunction):
        if not name.startswith(("_", "with_")):
            yield name, getattr(resource, name)


def _dummy(name: str, annotation: str) -> Any:
    # Annotations are text in the SDK's files; only what the SDK checks before sending has to be right.
    if name == "tools" or annotation.startswith(("Iterable", "List", "Union[List", "SequenceNotStr", "list")):
        return []
    if annotation.startswith("int"):
        return 1
    if "FileTypes" in annotation:
        return b"x"
    if (
        annotation.startswith(("str", "Union[str", "Literal"))
        or "Model" in annotation
        or name.endswith("_id")
    ):
        return "x"
    return {}


def _call(method: Callable[..., Any], sent: list[tuple[str, str]], known: dict[str, Any] | None) -> None:
    """Call with a dummy for every parameter that has no default; then for every one the SDK asks for."""
    parameters = inspect.signature(method).parameters
    arguments = known or {
        name: _dummy(name, str(parameter.annotation))
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    while missing := _attempt(method, arguments, sent):
        arguments |= {name: _dummy(name, str(parameters[name].annotation)) for name in missing}


def _attempt(method: Callable[..., Any], arguments: dict[str, Any], sent: list[tuple[str, str]]) -> set[str]:
    """The parameters that the SDK says are missing; none where a request was made."""
    try:
        _run(method(**arguments))
    except Sent:
        return set()
    except (TypeError, ValueError) as error:
        named = set(re.findall(r"'(\w+)'", str(error))) & set(inspect.signature(method).parameters)
        if sent or not named - set(arguments):
            raise
        return named - set(arguments)
    return set()


def _run(result: Any) -> None:
    if inspect.isawaitable(result):
        asyncio.run(_wait(result))
    elif hasattr(result, "__aenter__"):
        asyncio.run(result.__aenter__())
    elif hasattr(result, "__enter__"):
        result.__enter__()


async def _wait(result: Any) -> None:
    await result


def _operations(kind: type[Any]) -> Iterator[tuple[str, list[tuple[str, str]], str]]:
    sent: list[tuple[str, str]] = []
    for path, resource in _resources(_client(kind, sent)):
        for name, method in _methods(resource):
            full = f"{path}.{name}"
            if full in NO_REQUEST or name in NO_REQUEST:
                continue
            sent.clear()
            problem = ""
            try:
                _call(method, sent, ARGUMENTS.get(full))
            except Exception as error:  # noqa: BLE001 - reported by name, all of them at once
                problem = repr(error)[:200]
            yield full, list(sent), problem


def _passed(method: str, url: str) -> bool:
    """Whether a row says so; whatever is sent needs a row of its own, which says what a suspension means there."""
    sends = method in ("POST", "PUT", "PATCH")
    return any(
        only in ("*", method) and re.fullmatch(_pattern(template), url.partition("?")[0])
        for only, template, _ in PASSED_THROUGH
        if not (sends and template.endswith("/**") and template not in ADMINISTRATION)
    )


ADMINISTRATION = ("/organization/**", "/projects/**", "/safety/**")


def _pattern(template: str) -> str:
    whole = template.removesuffix("/**")
    return re.sub(r"\{\w+\}", "[^/]+", whole) + ("(?:/.*)?" if whole != template else "")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
def test_every_public_method_is_recorded_or_deliberately_passed_through(kind: type[Any]) -> None:
    """Whatever the installed SDK can send is in the table or in the list of what we let pass."""
    operations = list(_operations(kind))
    silent = sorted(f"{name} {problem}" for name, sent, problem in operations if not sent)
    undecided = sorted(
        f"{name}: {method} {url}"
        for name, sent, _ in operations
        for method, url in sent
        if find(method, url, unrecorded=True) is None and not _passed(method, url)
    )
    assert len(operations) > 80, "the walk no longer finds the SDK's methods"
    assert (silent, undecided) == ([], [])


FORMS = [
    "/chat/completions",
    "chat/completions",
    "/chat/completions?api-version=2024-10-21",
    "/deployments/gpt-4o/chat/completions",
    "/deployments/my%2Fmodel/chat/completions",
    "/openai/deployments/gpt-4o/chat/completions?api-version=1",
    "/openai/v1/chat/completions",
    "https://api.openai.com/v1/chat/completions",
    "https://eu.api.openai.com/v1/chat/completions?x=1#y",
    "https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
    "https://x.openai.azure.com/openai/v1/chat/completions",
    "https://openrouter.ai/api/v1/chat/completions",
    "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    "http://127.0.0.1:8080/chat/completions",
    "/chat%2Fcompletions",
    "/chat/completions/",
    "//chat//completions",
    "/x/../Chat/./Completions",
    "https://gateway.ai.cloudflare.com/v1/account/gateway/openai/chat/completions",
    "https://x.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview",
    "https://p.aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi/chat/completions",
]


@pytest.mark.parametrize("url", FORMS)
def test_every_form_of_an_address_is_the_same_operation(url: str) -> None:
    """Relative or full, OpenAI, Azure or gateway, with a query or not: one endpoint."""
    found = find("post", url)
    assert found is not None
    assert found.name == "chat.completions.create"


NOT_RECORDED = [
    ("GET", "/chat/completions"),
    ("POST", "/chat/completionsx"),
    ("POST", "/chat/completions/x"),
    ("POST", "/chat%252Fcompletions"),
    ("POST", "/xresponses"),
    ("POST", "https://responses"),
    ("POST", "/x?to=/responses"),
    ("POST", "/x#/responses"),
    ("POST", "/threads//runs/x"),
    ("POST", "/responses/input_tokens?beta=true"),
    ("POST", "/responses/resp_1"),
    ("DELETE", "/responses/resp_1"),
    ("GET", "/responses/resp_1/input_items"),
    ("POST", "/responses//cancel"),
    ("POST", "/v1"),
    ("POST", ""),
    ("POST", "https://api.openai.com"),
]


@pytest.mark.parametrize(("method", "url"), NOT_RECORDED)
def test_a_path_is_matched_to_its_end_and_never_by_its_beginning(method: str, url: str) -> None:
    """What only resembles a recorded path passes straight through."""
    assert find(method, url) is None


@pytest.mark.parametrize(
    ("method", "url", "name"),
    [
        ("POST", "/responses?beta=true", "responses.create"),
        ("GET", "/responses/resp_1?beta=true&stream=true", "responses.retrieve"),
        ("POST", "/responses/compact", "responses.compact"),
        ("POST", "/responses/compact/cancel", "responses.cancel"),
        ("POST", "/videos/edits", "videos.edit"),
        ("POST", "/videos/video_1/remix", "videos.remix"),
        ("GET", "/agents/sessions/s1/turns/t1", "beta.agents.sessions.turns.retrieve"),
        ("POST", "/threads/runs", "beta.threads.create_and_run"),
        ("POST", "/deployments/chat/completions", "completions.create"),
        ("POST", "/openai/deployments/responses/chat/completions", "chat.completions.create"),
    ],
)
def test_a_literal_segment_wins_over_a_variable_one(method: str, url: str, name: str) -> None:
    """Paths that differ in one segment are told apart."""
    found = find(method, url)
    assert found is not None
    assert found.name == name


def test_the_identifier_is_added_only_where_the_provider_names_a_place() -> None:
    """The injection column, whole: a new row must be added here on purpose."""
    places = {endpoint.name: endpoint.place for _, _, endpoint in ENDPOINTS if endpoint.place}
    assert places == {
        "responses.create": "body:safety_identifier",
        "chat.completions.create": "body:safety_identifier",
        "images.generate": "body:safety_identifier",
        "images.edit": "body:safety_identifier",
        "decisions.create": "body:safety_identifier",
        "realtime.client_secrets.create": "header:OpenAI-Safety-Identifier",
        "realtime.translations.client_secrets.create": "header:OpenAI-Safety-Identifier",
        "realtime.calls.create": "header:OpenAI-Safety-Identifier",
        "beta.realtime.sessions.create": "header:OpenAI-Safety-Identifier",
        "beta.realtime.transcription_sessions.create": "header:OpenAI-Safety-Identifier",
        "live.create": "body:session.safety_identifier",
        "live.sessions.accept": "body:session.safety_identifier",
    }
    assert {endpoint.name for _, _, endpoint in ENDPOINTS if endpoint.moderatable} == {
        "responses.create",
        "chat.completions.create",
    }


def test_the_two_tables_agree_with_the_contract_and_with_each_other() -> None:
    """Every API is one of the contract's, every name used once, nothing recorded is passed through."""
    assert {endpoint.api for _, _, endpoint in ENDPOINTS} == set(APIS) - {OTHER_API}
    names = [endpoint.name for _, _, endpoint in ENDPOINTS] + [name for _, _, name, _ in REFUSED]
    assert len(set(names)) == len(names)
    both = [
        template
        for method, template, _ in PASSED_THROUGH
        if method != "*" and find(method, re.sub(r"\{\w+\}", "x1", template).removesuffix("/**"))
    ]
    assert both == []
    assert all(reason for *_, reason in (*PASSED_THROUGH, *REFUSED))


def test_looking_up_an_address_keeps_a_bounded_number_of_them() -> None:
    """A process that polls a million responses does not remember a million addresses."""
    for at in range(2000):
        find("GET", f"/responses/resp_{at}")
    assert _find.cache_info().currsize <= 512
