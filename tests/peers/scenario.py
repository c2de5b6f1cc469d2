"""One process: a peer and ourselves loaded in a given order, some calls, and what was emitted as JSON."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from openai_safety_otel import SafetyInstrumentor, end_user
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.testing.provider import Provider
from support.telemetry import KEY, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
BAD = {**ASK, "input": "[[cyber]]"}


def official(telemetry: Telemetry) -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(
        tracer_provider=telemetry.tracer_provider,
        meter_provider=telemetry.meter_provider,
        logger_provider=telemetry.logger_provider,
        skip_dep_check=True,
    )


def openinference(telemetry: Telemetry) -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=telemetry.tracer_provider, skip_dep_check=True)


def traceloop(telemetry: Telemetry) -> None:
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(
        tracer_provider=telemetry.tracer_provider,
        meter_provider=telemetry.meter_provider,
        skip_dep_check=True,
    )


def logfire(telemetry: Telemetry, *clients: Any) -> None:
    import logfire as package
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    package.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[SimpleSpanProcessor(telemetry.span_exporter)],
    )
    package.instrument_openai(*clients)


class Lines(logging.Handler):
    """Every line of INFO or worse, as logger, level and message before its arguments."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.seen: set[tuple[str, str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName == "provider-stub":
            return  # the stand-in for the provider runs in this process, and has a word of its own
        self.seen.add((record.name, record.levelname, str(record.msg)))


def listening() -> Lines:
    lines = Lines()
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)
    warnings.simplefilter("always")
    logging.captureWarnings(True)
    return lines


PEERS: dict[str, Callable[[Telemetry], None]] = {
    "official": official,
    "openinference": openinference,
    "traceloop": traceloop,
    "logfire": logfire,
}


def closed_early(client: Any) -> None:
    with client.responses.create(**ASK, stream=True) as stream:
        next(iter(stream))


CALLS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda c: c.chat.completions.create(**CHAT),
    "chat stream": lambda c: list(c.chat.completions.create(**CHAT, stream=True)),
    "responses": lambda c: c.responses.create(**ASK),
    "responses stream": lambda c: list(c.responses.create(**ASK, stream=True)),
    "responses error": lambda c: c.responses.create(**BAD),
    "responses closed early": closed_early,
    "embeddings": lambda c: c.embeddings.create(model="e", input="x"),
}


def run(peer: str, order: str, mode: str) -> dict[str, Any]:
    """Each call's spans (scope, our outcome, our identifier) and events; every line that was logged.

    ``order`` is ``alone`` for the peer without us, and ``client first`` where it instruments one client before us.
    """
    own_errors.strict = True
    telemetry = Telemetry()
    lines = listening()

    def ours(telemetry: Telemetry) -> None:
        SafetyInstrumentor().instrument(
            **telemetry.providers, hmac_key=KEY, inject_hosts="+127.0.0.1", span=mode
        )

    loads = {
        "alone": (PEERS[peer],),
        "ours first": (ours, PEERS[peer]),
        "peer first": (PEERS[peer], ours),
        "client first": (),
    }
    for load in loads[order]:
        load(telemetry)
    import openai

    found: dict[str, Any] = {}
    with Provider() as provider, openai.OpenAI(api_key="k", base_url=provider.url) as client:
        if order == "client first":
            logfire(telemetry, client)
            ours(telemetry)
        for name, call in CALLS.items():
            telemetry.clear()
            with end_user("u42"), contextlib.suppress(openai.OpenAIError):
                call(client)
            gc.collect()
            found[name] = {
                "spans": [
                    (
                        span.instrumentation_scope.name if span.instrumentation_scope else "",
                        (span.attributes or {}).get("openai_safety.outcome"),
                        (span.attributes or {}).get("user.hash") is not None,
                    )
                    for span in telemetry.spans
                    if span.end_time
                ],
                "events": [
                    (event["openai_safety.outcome"], event.get("user.hash") is not None, bool(record.span_id))
                    for event, record in zip(telemetry.events, telemetry.log_records, strict=True)
                    if event.get("event.name") == "openai_safety.call"
                ],
            }
    points = telemetry.points("openai_safety.calls")
    found["calls"] = sum(points.values())
    found["lines"] = sorted(lines.seen)
    return found


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:4])))  # noqa: T201 - what the checks read
