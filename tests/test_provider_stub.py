"""The provider stub: what clients see of each scenario, and that its ledger says the same."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.routes import ENDPOINTS
from openai_safety_otel.testing.scenarios import SCENARIOS
from openai_safety_otel.testing.state import Fault
from support.waiting import until

MODERATION = {"model": "omni-moderation-latest"}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    with OpenAI(base_url=provider.url, api_key="sk-test") as made:
        yield made


def seen(act: Any) -> str:
    """What a client sees: the terminal thing, in a word or two."""
    try:
        answer = act()
        if isinstance(answer, openai.Stream):
            answer = list(answer)[-1]
    except openai.APIStatusError as error:
        return f"{error.status_code} {error.code}"
    except openai.APIError as error:
        return f"{type(error).__name__} {error.code}"
    except json.JSONDecodeError:
        return "broken JSON"
    kind = getattr(answer, "type", None) or getattr(answer, "status", None)
    choices = getattr(answer, "choices", None)
    return str(kind or (choices[0].finish_reason if choices else answer))


# scenario: (plain Responses, streamed Responses, plain Chat, ledger outcome, block type)
PLAYED: dict[str, tuple[str, str, str, str, str | None]] = {
    "allow": ("completed", "response.completed", "stop", "completed", None),
    "refuse": ("completed", "response.completed", "stop", "refused", None),
    "length": ("incomplete", "response.incomplete", "length", "completed", None),
    "tool": ("completed", "response.completed", "tool_calls", "completed", None),
    "filter": ("incomplete", "response.incomplete", "content_filter", "blocked", "content_filter"),
    "cyber": ("400 cyber_policy",) * 3 + ("blocked", "cyber_policy"),
    "cyber-frame": (
        "400 cyber_policy",
        "APIError cyber_policy",
        "400 cyber_policy",
        "blocked",
        "cyber_policy",
    ),
    "cyber-flat": ("400 cyber_policy", "error", "400 cyber_policy", "blocked", "cyber_policy"),
    "cyber-failed": ("failed", "response.failed", "400 cyber_policy", "blocked", "cyber_policy"),
    "bio-failed": ("failed", "response.failed", "400 bio_policy", "blocked", "bio_policy"),
    "misalignment": ("403 misalignment_policy_violation",) * 3 + ("blocked", "misalignment"),
    "prompt": ("400 invalid_prompt",) * 3 + ("blocked", "usage_policy"),
    "prompt-plain": ("400 invalid_prompt",) * 3 + ("failed", None),
    "unknown-policy": ("400 weather_policy",) * 3 + ("blocked", "other_policy"),
    "image-item": (
        "completed",
        "response.completed",
        "400 moderation_blocked",
        "blocked",
        "image_moderation",
    ),
    "input-image": (
        "failed",
        "response.failed",
        "400 image_content_policy_violation",
        "blocked",
        "input_image_policy",
    ),
    "identifier-code": ("400 safety_identifier_blocked",) * 3 + ("blocked", "identifier_blocked"),
    "html": ("403 None",) * 3 + ("failed", None),
    "malformed": ("broken JSON",) * 3 + ("failed", None),
}


@pytest.mark.parametrize("scenario", PLAYED)
def test_a_scenario_looks_the_same_to_client_and_ledger(
    provider: Provider, client: Any, scenario: str
) -> None:
    """Each scenario ends as its row says, over Responses (plain, streamed) and Chat; the ledger agrees."""
    text = f"hello [[{scenario}]]"
    messages: Any = [
        {"role": "user", "content": "[[bio]] long ago"},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": text},
    ]
    looks = (
        seen(lambda: client.responses.create(model="gpt-5", input=text)),
        seen(lambda: client.responses.create(model="gpt-5", input=text, stream=True)),
        seen(lambda: client.chat.completions.create(model="gpt-5", messages=messages)),
    )
    told = {(entry.scenario, entry.outcome, entry.block_type) for entry in provider.ledger}
    assert (*looks, told) == (*PLAYED[scenario][:3], {(scenario, *PLAYED[scenario][3:])})


def test_inline_moderation_comes_only_where_it_was_asked_for(provider: Provider, client: Any) -> None:
    """Asked-for scores come in each API's own shape, flagged as the marker says; nothing comes unasked."""
    marked = "hello [[flag-input:violence]]"
    messages: Any = [{"role": "user", "content": marked}]
    answer = client.responses.create(model="gpt-5", input=marked, moderation=MODERATION)
    chat = client.chat.completions.create(
        model="gpt-5", messages=messages, extra_body={"moderation": MODERATION}
    )
    chunks = list(
        client.chat.completions.create(
            model="gpt-5", messages=messages, stream=True, extra_body={"moderation": MODERATION}
        )
    )
    unasked = client.responses.create(model="gpt-5", input=marked)
    parts: list[Any] = [answer.to_dict()["moderation"], chat.to_dict()["moderation"]]
    parts.append(next(chunk.to_dict()["moderation"] for chunk in chunks if not chunk.choices))
    flags = [
        (part["input"].get("results", [part["input"]])[0]["flagged"], part["output"]["type"])
        for part in parts
    ]
    assert flags == [
        (True, "moderation_result"),
        (True, "moderation_results"),
        (True, "moderation_results"),
    ]
    assert unasked.to_dict().get("moderation") is None
    told = [(entry.input_flagged, entry.output_flagged) for entry in provider.ledger]
    assert told == [(("violence",), ())] * 3 + [(None, None)]


def test_the_ledger_names_every_place_an_identifier_came_in(provider: Provider, client: Any) -> None:
    """Body, header, session and `user` are each seen where they are, a form's fields included."""
    client.responses.create(model="gpt-5", input="x", safety_identifier="in-body", user="old")
    client.realtime.client_secrets.create(extra_headers={"OpenAI-Safety-Identifier": "in-header"})
    client.live.create(
        session={"model": "gpt-live-1", "safety_identifier": "in-session"},
        transport={"type": "webrtc", "sdp": "v=0"},
    )
    client.embeddings.create(model="e", input="x", user="in-user")
    client.images.edit(
        image=("a.png", b"x"), prompt="x", model="gpt-image-1", extra_body={"safety_identifier": "in-form"}
    )
    client.responses.create(model="gpt-5", input="x")
    assert [(entry.identifier, entry.identifier_place, entry.identifiers) for entry in provider.ledger] == [
        ("in-body", "body", {"body": "in-body", "user": "old"}),
        ("in-header", "header", {"header": "in-header"}),
        ("in-session", "session", {"session": "in-session"}),
        ("in-user", "user", {"user": "in-user"}),
        ("in-form", "body", {"body": "in-form"}),
        (None, "none", {}),
    ]


def test_three_enforcement_blocks_end_an_identifier_and_only_that_one() -> None:
    """After three enforcement blocks all of that identifier is blocked, in every API; filters count not."""
    with Provider(block_after=3) as provider, OpenAI(base_url=provider.url, api_key="k") as client:
        for text in ("[[filter]]", "[[cyber]]", "[[bio]]", "[[prompt]]", "hello"):
            seen(lambda text=text: client.responses.create(model="m", input=text, safety_identifier="bad"))
        seen(lambda: client.images.generate(prompt="a boat", extra_body={"safety_identifier": "bad"}))
        seen(lambda: client.responses.create(model="m", input="hello", safety_identifier="good"))
        told = [(entry.identifier, entry.block_type) for entry in provider.ledger]
    assert told == [
        ("bad", "content_filter"),
        ("bad", "cyber_policy"),
        ("bad", "bio_policy"),
        ("bad", "usage_policy"),
        ("bad", "identifier_blocked"),
        ("bad", "identifier_blocked"),
        ("good", None),
    ]


def test_retries_are_attempts_of_one_call(provider: Provider, client: Any) -> None:
    """A failing first attempt is marked as retried, so that logical calls are the last attempts only."""
    client.responses.create(model="gpt-5", input="one [[429]]")
    client.responses.create(model="gpt-5", input="two [[500:2]]")
    looks = seen(lambda: client.responses.create(model="gpt-5", input="three [[cyber]][[429]]"))
    told = [(entry.attempt, entry.retried, entry.status, entry.outcome) for entry in provider.ledger]
    assert told == [
        (0, True, 429, "failed"),
        (1, False, 200, "completed"),
        (0, True, 500, "failed"),
        (1, True, 500, "failed"),
        (2, False, 200, "completed"),
        (0, True, 429, "failed"),
        (1, False, 400, "blocked"),
    ]
    assert looks == "400 cyber_policy"
    assert [entry.attempt for entry in provider.ledger.calls()] == [1, 2, 1]


def test_a_dropped_stream_ends_in_a_connection_error(provider: Provider, client: Any) -> None:
    """A stream that is cut ends in an error for the client, and the ledger claims no answer."""
    with pytest.raises(Exception, match=r"Connection error|peer closed|incomplete"):
        list(client.responses.create(model="gpt-5", input="[[drop:2]]", stream=True))
    entry = provider.ledger[0]
    facts = (entry.outcome, entry.finished, entry.finish_reasons, entry.output_tokens)
    assert facts == ("failed", False, (), None)


def test_a_background_response_tells_its_outcome_when_it_is_fetched(provider: Provider, client: Any) -> None:
    """Submission completes; retrieval says failed with the code; a cancelled one says cancelled."""
    made = client.responses.create(model="gpt-5", input="[[cyber-failed]]", background=True)
    fetched = client.responses.retrieve(made.id)
    streamed = list(client.responses.retrieve(made.id, stream=True))[-1].type
    client.responses.cancel(made.id)
    after = client.responses.retrieve(made.id)
    looks = (made.status, fetched.status, fetched.error and fetched.error.code, streamed, after.status)
    assert looks == ("queued", "failed", "cyber_policy", "response.failed", "cancelled")
    assert [entry.outcome for entry in provider.ledger] == [
        "completed",
        "blocked",
        "blocked",
        "cancelled",
        "cancelled",
    ]


def test_azure_paths_and_shapes(provider: Provider) -> None:
    """An Azure deployment is the model; its filter blocks a prompt by an error, an answer by a reason."""
    with AzureOpenAI(azure_endpoint=provider.origin, api_version="v", api_key="k") as client:

        def ask(text: str) -> Any:
            messages: Any = [{"role": "user", "content": text}]
            return client.chat.completions.create(model="my-deployment", messages=messages)

        looks = [seen(lambda text=text: ask(text)) for text in ("[[azure-filter]]", "[[filter]]", "x")]
    assert looks == ["400 content_filter", "content_filter", "stop"]
    assert [(entry.model, entry.block_source) for entry in provider.ledger] == [
        ("my-deployment", "input"),
        ("my-deployment", "output"),
        ("my-deployment", None),
    ]


def test_every_endpoint_answers_and_is_named(provider: Provider) -> None:
    """Each row of the endpoint table gives an answer of its own, and the ledger calls it by its name."""
    for endpoint in ENDPOINTS:
        path = endpoint.template.replace("{", "").replace("}", "")
        body = json.dumps({"model": "m", "input": "x"}).encode() if endpoint.method == "POST" else None
        request = urllib.request.Request(
            f"{provider.url}{path}", body, {"content-type": "application/json"}, method=endpoint.method
        )
        with contextlib.suppress(urllib.error.HTTPError):  # an id that does not exist
            urllib.request.urlopen(request, timeout=10).read()
    told = [(entry.endpoint, entry.api) for entry in provider.ledger]
    assert told == [(endpoint.name, endpoint.name.partition(".")[0]) for endpoint in ENDPOINTS]


def test_a_batch_is_played_line_by_line(provider: Provider, client: Any) -> None:
    """Good lines go to the output file, blocked ones to the error file, and each line is in the ledger."""
    lines = [
        {
            "custom_id": str(at),
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "m", "input": text},
        }
        for at, text in enumerate(("hello", "[[cyber]]"))
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    uploaded = client.files.create(file=("in.jsonl", content), purpose="batch")
    made = client.batches.create(input_file_id=uploaded.id, endpoint="/v1/responses", completion_window="24h")
    files = [client.files.content(name or "").text for name in (made.output_file_id, made.error_file_id)]
    results = [json.loads(text) for text in files]
    assert [(one["custom_id"], one["response"]["status_code"]) for one in results] == [("0", 200), ("1", 400)]
    told = [(entry.transport, entry.outcome) for entry in provider.ledger if entry.transport == "batch"]
    assert told == [("batch", "completed"), ("batch", "blocked")]


def test_cases_alerts_and_faults(provider: Provider, client: Any) -> None:
    """A kept case is found, an unknown one is a 404, and set faults are answered first, in their order."""
    provider.add_case("C-1", "ident", notice="deactivation")
    provider.add_alert("alert_1", error_type="other", request_id="req_9")
    provider.fail("safety.cases", Fault(401), Fault(403))
    case = client.safety.cases
    assert [
        seen(lambda: case.retrieve("C-1")),
        seen(lambda: case.retrieve("C-1")),
        case.retrieve("C-1").notice.type,
        case.retrieve("C-1").entity_identifier,
        seen(lambda: case.retrieve("C-2")),
        client.safety.alerts.retrieve("alert_1").request_id,
    ] == ["401 None", "403 None", "deactivation", "ident", "404 None", "req_9"]


def test_a_hanging_answer_does_not_hold_up_the_end() -> None:
    """Closing the provider ends a request that hangs, instead of waiting for it."""
    with Provider() as provider:
        provider.fail("responses.create", Fault(500, hang=3600))
        arrived = threading.Event()
        ended = threading.Event()

        def ask() -> None:
            with OpenAI(base_url=provider.url, api_key="k", max_retries=0) as client:
                arrived.set()
                seen(lambda: client.responses.create(model="m", input="x"))
                ended.set()

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        assert arrived.wait(10)
        assert until(lambda: len(provider.ledger))
    assert ended.wait(30)


def test_the_ledger_over_http(provider: Provider, client: Any) -> None:
    """GET shows the entries as JSON, DELETE forgets them, and neither is an entry itself."""
    client.responses.create(model="gpt-5", input="x", safety_identifier="a")

    def ledger(method: str) -> Any:
        request = urllib.request.Request(f"{provider.origin}/_ledger", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    assert [(entry["endpoint"], entry["identifier"]) for entry in ledger("GET")] == [
        ("responses.create", "a")
    ]
    assert ledger("DELETE") == []
    assert len(provider.ledger) == 0


def test_every_scenario_can_be_played_on_every_inference_endpoint(provider: Provider) -> None:
    """No scenario makes any endpoint answer with a fault of the stub itself."""
    wrong = []
    for scenario in SCENARIOS.keys() - {"slow", "hold-cyber", "drop"}:
        for endpoint in ENDPOINTS:
            if endpoint.method != "POST":
                continue
            path = endpoint.template.replace("{", "").replace("}", "")
            body = json.dumps({"model": "m", "input": f"[[{scenario}]]", "stream": True}).encode()
            request = urllib.request.Request(
                f"{provider.url}{path}", body, {"content-type": "application/json"}, method="POST"
            )
            try:
                urllib.request.urlopen(request, timeout=10).read()
            except urllib.error.HTTPError as error:
                if not error.headers.get("x-request-id"):
                    wrong.append((endpoint.name, scenario, error.code))
    assert wrong == []
