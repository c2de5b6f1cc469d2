"""Every name of the contract is emitted in one of these scenarios, or by the test that the table names."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner

from openai_safety_otel import end_user, report_issue
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.ledger.journal import open_journal
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.webhooks.app import ListSuspender
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.state import Fault
from support.event_files import records
from support.http import http_library
from support.lists import new_list
from support.telemetry import KEY, Telemetry
from webhooks.bench import CASE, Bench, CaseApi, Collected, warning, webhook

# Name, and the test that sees it emitted where its cause is: real hosts, sockets, the collector, another command.
_CRON = "test_reconcile.py::test_a_comparison_from_cron_leaves_measurements_and_events"
ELSEWHERE: dict[str, str] = {
    instruments.MODERATION_SCORE.name: "stack/test_metrics.py::test_score_distributions_come_from_events",
    instruments.SESSIONS.name: "sockets/test_outcomes.py::test_session_without_a_response",
    instruments.UNSEEN.name: "spine/test_unseen.py::test_a_request_past_the_sdk_is_counted",
    **dict.fromkeys(
        (
            name
            for name in (*c.ATTRIBUTES, *instruments.METRICS)
            if name.startswith("openai_safety.reconcile.")
        ),
        _CRON,
    ),
    c.RECONCILIATION_EVENT: _CRON,
    c.DARK_EVENT: _CRON,
    c.UNMATCHED_EVENT: "test_reconcile_doubtful.py::test_the_report_has_every_source_that_does_not_match",
}
EVERYTHING: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "service_tier": "default"}
# What the provider answers of itself, and the stand-in does not.
SAID = {
    "input_transformations": [{"id": "rs_1", "action": "removed", "reason": "end_user_mismatch"}],
    "access_programs": {"cyber": "daybreak_blue"},
    "moderation": {"input": {"type": "error", "code": "server_error", "message": "try again"}},
    "usage": {"input_tokens": 1, "output_tokens": 1, "input_tokens_details": {"cache_write_tokens": 1}},
}


def of(telemetry: Telemetry) -> Iterator[str]:
    """Names of attributes, events, metrics and labels that an app's own SDK received."""
    for about in (*telemetry.events, *(dict(span.attributes or {}) for span in telemetry.spans)):
        yield from about
        yield str(about.get(c.EVENT_NAME, ""))
    data = telemetry.reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            yield metric.name
            for point in metric.data.data_points:
                yield from point.attributes or ()


@contextlib.contextmanager
def instrumented(provider: Provider, **settings: Any) -> Iterator[tuple[openai.OpenAI, Telemetry]]:
    """A client under the instrumentation, and what an SDK receives of it."""
    telemetry, instrumentor = Telemetry(), SafetyInstrumentor()
    chosen = {"hmac_key": KEY, "inject_hosts": "+127.0.0.1", **settings}
    instrumentor.instrument(**telemetry.providers, **chosen)
    try:
        with openai.OpenAI(api_key="sk-test", base_url=provider.url) as client:
            yield client, telemetry
    finally:
        instrumentor.uninstrument()


def responses(client: openai.OpenAI, words: str, /, **more: Any) -> Any:
    """One call, whatever becomes of it."""
    with contextlib.suppress(openai.OpenAIError):
        answer = client.responses.create(model="gpt-5", input=words, **more)
        return list(answer) if more.get("stream") else answer
    return None


def told(url: str, body: dict[str, Any]) -> openai.OpenAI:
    """A client whose provider gives this answer."""
    transport = http_library.MockTransport(lambda _: http_library.Response(200, json=body))
    return openai.OpenAI(
        api_key="sk-test", base_url=url, http_client=http_library.Client(transport=transport)
    )


def lost(folder: Path) -> Iterator[str]:
    """A suspension list that is not there."""
    missing = str(folder / "nowhere" / "list.json")
    with Provider() as provider, instrumented(provider, suspensions=missing) as (client, telemetry):
        with end_user("u42"):
            responses(client, "hello")
        yield from of(telemetry)


def calls(folder: Path) -> Iterator[str]:
    """Ordinary calls with every parameter, blocks, flags, retries, sessions, reports, a suspended user."""
    suspensions = str(folder / "suspensions.json")
    new_list(suspensions)
    settings = {"moderation": "score", "evidence": "flagged", "suspensions": suspensions}
    with Provider() as provider, instrumented(provider, **settings) as (client, telemetry):
        with end_user("u42", session="s9"):
            first = responses(
                client, "hello", **EVERYTHING, max_output_tokens=50, reasoning={"effort": "low"}
            )
            responses(client, "hello", previous_response_id=first.id, background=True)
            responses(client, "hello", extra_body={"conversation": "conv_1"})
            responses(client, "hello", text={"format": {"type": "json_object"}})
            client.responses.retrieve(first.id)
            with contextlib.suppress(openai.OpenAIError):
                client.images.generate(model="gpt-image-1", prompt="[[image]]")
            responses(client, "[[moderation-error]]")
            responses(told(provider.url, {**first.model_dump(mode="json"), **SAID}), "hello")
            provider.fail("responses.create", Fault(403))
            responses(client, "hello")
            for text in ("[[cyber]]", "[[flag:violence]]", "[[flag-input:hate]]", "[[429]]", "[[500]]"):
                responses(client, text)
            for text in ("hello", "[[cyber-frame]]", "[[filter]]"):
                responses(client, text, stream=True)
            client.chat.completions.create(
                model="gpt-5",
                messages=[{"role": "user", "content": "[[flag:violence]]"}],
                n=2,
                seed=1,
                max_completion_tokens=50,
                frequency_penalty=0.1,
                presence_penalty=0.1,
                **EVERYTHING,
            )
            client.embeddings.create(model="e", input="x", dimensions=4, encoding_format="float")
            client.realtime.client_secrets.create()
            report_issue(first.id, "harmful", text="rude")
            responses(client, "hello", extra_body={"safety_identifier": "anna@example.com"})
        yield from of(telemetry)


def notices(folder: Path) -> Iterator[str]:
    """A warning with a date, an alert with its response, a block that suspends; each by webhook."""
    api, telemetry = CaseApi(), Telemetry()
    try:
        journal, sink = open_journal(str(folder / "journal.db")), Collected()
        new_list(str(folder / "noticed.json"))
        suspender = ListSuspender(str(folder / "noticed.json"), journal, sink)
        bench = Bench(
            str(folder / "journal.db"), api, suspender=suspender, suspend_on=frozenset({"identifier_blocked"})
        )
        api.case((200, {**CASE, "respond_by": int(time.time()) + 86_400}))
        bench.post(warning())
        bench.settled()
        data = {
            "safety_category": "bio",
            "safety_identifier": "ab" * 32,
            "model": "gpt-6",
            "request_id": "req_9",
        }
        bench.post(webhook("safety_identifier.blocked", data, id="evt_2"), delivery="wh_2")
        bench.settled("identifier_blocked:evt_2")
        for event in (*bench.sink.events, *sink.events):
            yield from event.attributes
            yield event.name
        telemetry.reader = bench.reader
        yield from of(telemetry)
        bench.close()
        journal.close()
    finally:
        api.close()


def commands(folder: Path) -> Iterator[str]:
    """A person decides, until a date."""
    environment = {
        "OPENAI_SAFETY_FILE_DIR": str(folder / "events"),
        "OPENAI_SAFETY_STORE": str(folder / "decisions.db"),
        "OPENAI_SAFETY_SUSPENSIONS": str(folder / "decided.json"),
    }
    new_list(environment["OPENAI_SAFETY_SUSPENSIONS"])
    words = [
        "decide",
        "ab" * 32,
        "--action",
        "suspend",
        "--by",
        "ann",
        "--why",
        "x",
        "--until",
        "72h",
        "--force",
    ]
    assert CliRunner().invoke(app, words, env=environment).exit_code == 0
    for one in records(folder / "events"):
        yield from one
        yield str(one.get(c.EVENT_NAME, ""))


SCENARIOS: tuple[Callable[[Path], Iterator[str]], ...] = (calls, lost, notices, commands)
EVENTS = {value for name, value in vars(c).items() if name.endswith("_EVENT")}
NAMES = {*c.ATTRIBUTES, *instruments.METRICS, *EVENTS}


def test_every_name_is_emitted(tmp_path: Path) -> None:
    """What is documented, allow-listed and drawn is also sent."""
    seen = {name for scenario in SCENARIOS for name in scenario(tmp_path)}
    assert sorted(NAMES - seen - set(ELSEWHERE)) == []
    assert sorted(seen & set(ELSEWHERE)) == []


@pytest.mark.parametrize("where", sorted(set(ELSEWHERE.values())))
def test_the_tests_named_for_the_rest_are_there(where: str) -> None:
    """Each of them exists, under that name."""
    path, _, name = where.partition("::")
    assert f"def {name}" in (Path(__file__).parent / path).read_text(encoding="utf-8")
