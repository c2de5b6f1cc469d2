"""What a call would send: made for real, against a transport that answers in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.instrumentation.options import HEADER
from openai_safety_otel.instrumentation.suspended import http_library
from openai_safety_otel.operations.doctor import Finding
from openai_safety_otel.operations.doctor.resources import resolved
from openai_safety_otel.who.current import end_user
from openai_safety_otel.who.user import EndUser

_ANSWER: dict[str, Any] = {
    "id": "resp_doctor",
    "object": "response",
    "created_at": 0,
    "model": "gpt-5",
    "status": "completed",
    "output": [],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}


def hooks_and_sample(settings: Settings) -> Iterator[Finding]:
    """Install the hooks into the installed openai, make one call, and show what left the process."""
    try:
        import openai  # noqa: PLC0415 - 1.7 s, and only here
    except ImportError:
        yield Finding("hooks", "fail", "the openai package is not installed", "pip install openai")
        return
    if not settings.enabled:
        yield Finding("hooks", "fail", "OPENAI_SAFETY_ENABLED=off: nothing is recorded")
        return
    instrumentor: Any = SafetyInstrumentor()
    started = instrumentor.observer is None
    if started:
        instrumentor.instrument(span="off")
    instrumentor.observer.muted = True
    try:
        yield _hooks(instrumentor, openai.__version__)
        yield from _sockets(instrumentor)
        yield from _sample(openai, settings)
    finally:
        instrumentor.observer.muted = False
        if started:
            instrumentor.uninstrument()


def _hooks(instrumentor: Any, version: str) -> Finding:
    if instrumentor.state == "installed":
        return Finding("hooks", "ok", f"installed into openai {version}")
    text = f"state {instrumentor.state!r} with openai {version}; supported are 1.66 to 3"
    return Finding("hooks", "fail", text, "install a supported openai, or update openai-safety-otel")


def _sockets(instrumentor: Any) -> Iterator[Finding]:
    failed = [name for name, state in instrumentor.socket_states.items() if state == "failed"]
    if failed:
        yield Finding("hooks", "fail", f"sockets not hooked: {', '.join(sorted(failed))}")
    if instrumentor.absent:
        yield Finding("hooks", "note", f"this openai has no {', '.join(sorted(instrumentor.absent)[:6])}")


def _sample(openai: Any, settings: Settings) -> Iterator[Finding]:
    sent: list[Any] = []

    def answer(request: Any) -> Any:
        sent.append(request)
        return http.Response(200, json=_ANSWER)

    http = http_library()
    # The app's own resolver speaks first, inside the hook; where it names nobody here, somebody else is asked for.
    person = None if resolved(settings) else EndUser(id="doctor-sample-user")
    with openai.OpenAI(
        api_key="sk-doctor", http_client=http.Client(transport=http.MockTransport(answer)), max_retries=0
    ) as client:
        try:
            with end_user(person):
                client.responses.create(model="gpt-5", input="sample")
        except openai.PermissionDeniedError as error:  # only we refuse here: the answer is always 200
            yield Finding(
                "sample", "fail", f"the call would be refused here: {error}", "see suspensions above"
            )
            return
    (request,) = sent
    body = json.loads(request.read())
    value = body.get("safety_identifier") or request.headers.get(HEADER)
    where = f"POST {request.url.host}{request.url.path}"
    if value:
        yield Finding("sample", "ok", f"{where} would carry safety_identifier {value}")
    elif not settings.identifier:
        yield Finding("sample", "ok", f"{where} carries no identifier: OPENAI_SAFETY_IDENTIFIER=off")
    else:
        mend = _mend(settings, request.url.host)
        yield Finding("sample", "fail", f"{where} would carry no identifier", mend)
    if "moderation" in body:
        yield Finding("sample", "ok", f"and ask for inline moderation by {body['moderation']['model']}")


def _mend(settings: Settings, host: str) -> str:
    if not settings.inject:
        return "leave out OPENAI_SAFETY_INJECT=off"
    if host not in {*settings.inject_hosts, *dict(settings.host_identifiers)}:
        return f"OPENAI_SAFETY_INJECT_HOSTS=+{host}, if identifiers may go there"
    return "see key above"
