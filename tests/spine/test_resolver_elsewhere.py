"""The app's resolver names the user on log lines and reports as it does on calls, and a slow one is asked once."""

from __future__ import annotations

import logging
import time
from typing import Any

import openai
import pytest
from opentelemetry.trace import NonRecordingSpan, SpanKind, set_span_in_context

from openai_safety_otel import report_issue
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.logs import SafetyFilter, add_safety_context, context_fields
from openai_safety_otel.who.current import begin_request, end_request
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}


class Resolver:
    """Counts how often it is asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.user = "u42"
        self.asked = 0
        self.seconds = seconds

    def __call__(self) -> str:
        self.asked += 1
        logging.getLogger("app").warning("looking up the user")
        context_fields()  # as a log filter would
        time.sleep(self.seconds)
        return self.user


def everywhere(client: openai.OpenAI) -> list[Any]:
    """The identity on a log line, on a structlog event, and in a report's event after a call."""
    before = context_fields().get("safety_identifier")
    client.responses.create(**ASK)
    record = logging.LogRecord("app", logging.INFO, "", 0, "", None, None)
    SafetyFilter().filter(record)
    report_issue("resp_1", "harmful")
    return [
        before,
        getattr(record, "safety_identifier", None),
        add_safety_context(None, "", {}).get("safety_identifier"),
    ]


@pytest.mark.parametrize("seconds", [0.0, 0.03], ids=["fast", "slow"])
def test_one_identity_everywhere(
    seconds: float, client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Log filter, structlog processor, report and call agree; in the next request, on the next user."""
    resolver = Resolver(seconds)
    instrument(user_resolver=resolver)
    for user in ("u42", "u43"):
        resolver.user, resolver.asked = user, 0
        holder = begin_request(None)
        found = everywhere(client)
        end_request(holder)
        assert [Hasher(KEY).end_user(user)] * 3 == found
        assert resolver.asked == 1 or not seconds  # on a busy machine a fast one may be slow for once
    events = [
        event for event in telemetry.events if event[c.EVENT_NAME] in {c.CALL_EVENT, c.USER_REPORT_EVENT}
    ]
    assert [Hasher(KEY).end_user(user) for user in ("u42", "u42", "u43", "u43")] == [
        event[c.USER_HASH] for event in events
    ]


def test_without_a_request_nothing_is_kept(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """A thread that serves one user after another, unmarked: each is asked for anew."""
    resolver = Resolver(0.03)
    instrument(user_resolver=resolver)
    for user in ("u42", "u43"):
        resolver.user = user
        assert [Hasher(KEY).end_user(user)] * 3 == everywhere(client)


def test_a_trace_that_serves_many_users_keeps_no_answer(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """A job's trace is no request: each call in it carries the identifier of the user it is made for."""
    resolver = Resolver(0.03)
    instrument(user_resolver=resolver)
    found = []
    with telemetry.tracer_provider.get_tracer("job").start_as_current_span("nightly"):
        for resolver.user in ("u42", "u43"):
            client.responses.create(**ASK)
            found.append(context_fields()["safety_identifier"])
    sent = [event[c.USER_HASH] for event in telemetry.events if event[c.EVENT_NAME] == c.CALL_EVENT]
    assert sent == found == [Hasher(KEY).end_user(user) for user in ("u42", "u43")]


def test_a_servers_span_is_a_request(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Without a middleware, a slow resolver is asked once under it, also in the spans inside; the next one anew."""
    resolver = Resolver(0.03)
    instrument(user_resolver=resolver)
    tracer = telemetry.tracer_provider.get_tracer("web")
    for user in ("u42", "u43"):
        resolver.user, resolver.asked = user, 0
        with tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER):
            before = context_fields()
            with tracer.start_as_current_span("answer"):
                assert [Hasher(KEY).end_user(user)] * 3 == everywhere(client)
        assert (before["safety_identifier"], resolver.asked) == (Hasher(KEY).end_user(user), 1)


def test_two_requests_of_one_trace_are_two(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """A caller far away asks for several users in one trace, and one thread serves them in turn: no answer is kept."""
    resolver = Resolver(0.03)
    instrument(user_resolver=resolver)
    tracer = telemetry.tracer_provider.get_tracer("web")
    far = set_span_in_context(NonRecordingSpan(tracer.start_span("a job").get_span_context()))
    found = []
    for user in ("u42", "u43"):
        resolver.user, resolver.asked = user, 0
        with tracer.start_as_current_span("POST /chat", context=far, kind=SpanKind.SERVER):
            before = context_fields()["safety_identifier"]
            with tracer.start_as_current_span("answer"):
                found.append([before, *everywhere(client), resolver.asked])
        with tracer.start_as_current_span("afterwards", context=far):
            resolver.user = "nobody"
            found.append([context_fields()["safety_identifier"]])
    ann, bob, nobody = (Hasher(KEY).end_user(user) for user in ("u42", "u43", "nobody"))
    assert [[ann] * 4 + [1], [nobody], [bob] * 4 + [1], [nobody]] == found
