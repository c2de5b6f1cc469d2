"""The app's own log lines carry who, which trace and which answer."""

from __future__ import annotations

import contextvars
import io
import logging
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.logs import SafetyFilter, add_safety_context, context_fields
from openai_safety_otel.middleware import SafetyWsgiMiddleware
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument, Telemetry

U42 = Hasher(KEY).end_user("u42")
FORMAT = "%(message)s|%(safety_identifier)s|%(trace_id)s|%(openai_response_id)s"


def logged(**extra: Any) -> str:
    """One line through a handler with our filter."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(SafetyFilter())
    handler.setFormatter(logging.Formatter(FORMAT))
    logger = logging.Logger("product")  # noqa: LOG001 - this test's own, with no other handlers
    logger.addHandler(handler)
    logger.warning("slow", extra=extra)
    return out.getvalue().rstrip("\n")


def fresh(function: Any, *arguments: Any) -> Any:
    return contextvars.Context().run(function, *arguments)


def ask(provider: Provider) -> str:
    with openai.OpenAI(api_key="k", base_url=provider.url) as client:
        return str(client.responses.create(model="gpt-5", input="hello").id)


def test_each_field_where_it_is_known(instrument: Instrument, telemetry: Telemetry) -> None:
    """Nothing known: dashes; inside a call's context: identifier, trace and answer, hashed and exact."""
    instrument()
    with Provider() as provider:

        def work() -> tuple[list[str], str, str]:
            lines = [logged()]
            with (
                telemetry.tracer_provider.get_tracer("app").start_as_current_span("r") as span,
                end_user("u42"),
            ):
                lines.append(logged())
                answer = ask(provider)
                lines.append(logged())
            return lines, f"{span.get_span_context().trace_id:032x}", answer

        lines, trace, answer = fresh(work)
    assert ["slow|-|-|-", f"slow|{U42}|{trace}|-", f"slow|{U42}|{trace}|{answer}"] == lines


def test_the_apps_own_fields_win(instrument: Instrument) -> None:
    """A field that the app sets itself is left as it is, in logging and in structlog."""
    instrument()

    def work() -> tuple[str, Any]:
        with end_user("u42"):
            return logged(trace_id="mine"), add_safety_context(
                None, "info", {"safety_identifier": "mine", "a": 1}
            )

    assert (f"slow|{U42}|mine|-", {"safety_identifier": "mine", "a": 1}) == fresh(work)


def test_structlog_gets_only_what_is_known(instrument: Instrument) -> None:
    """The processor adds no empty fields."""
    instrument()

    def work() -> list[Any]:
        found = [dict(add_safety_context(None, "info", {"event": "slow"}))]
        with end_user("u42"):
            return [*found, dict(add_safety_context(None, "info", {"event": "slow"}))]

    assert [{"event": "slow"}, {"event": "slow", "safety_identifier": U42}] == fresh(work)


def test_no_raw_id_without_a_key(instrument: Instrument) -> None:
    """Without a key, or without the instrumentation, a line says nothing rather than the raw id."""

    def work() -> str:
        with end_user("jo@example.com"):
            return logged()

    before = fresh(work)
    instrument(hmac_key=None)
    assert ("slow|-|-|-", "slow|-|-|-") == (before, fresh(work))


def test_a_failure_of_ours_drops_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """If our own look-up breaks, the line is written all the same."""

    def broken() -> dict[str, str]:
        raise RuntimeError("ours")

    monkeypatch.setattr("openai_safety_otel.logs.context_fields", broken)
    monkeypatch.setattr(own_errors, "strict", False)
    assert ("slow|-|-|-", {"event": "slow"}) == (
        fresh(logged),
        fresh(add_safety_context, None, "info", {"event": "slow"}),
    )


def test_the_next_request_of_a_thread_has_no_answer_yet(instrument: Instrument) -> None:
    """A thread's earlier request had an answer; the lines of its next request do not name it."""
    instrument()
    lines: list[str] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        lines.append(logged())
        answers.append(ask(environ["provider"]))
        lines.append(logged())
        return []

    answers: list[str] = []

    def serve(provider: Provider) -> None:
        for _ in range(2):
            body: Any = SafetyWsgiMiddleware(app)({"provider": provider}, print)
            body.close()

    with Provider() as provider:
        fresh(serve, provider)
    assert ["slow|-|-|-", f"slow|-|-|{answers[0]}", "slow|-|-|-", f"slow|-|-|{answers[1]}"] == lines
    assert {} == fresh(context_fields)
