"""Which HTTP call is which operation: a table of method and path template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import unquote

from openai_safety_otel.contract.vocabulary import OTHER_API
from openai_safety_otel.instrumentation.extract.passthrough import PASSED_THROUGH, REFUSED

__all__ = ["ENDPOINTS", "PASSED_THROUGH", "REFUSED", "Endpoint", "Place", "find"]

Place = Literal["body:safety_identifier", "header:OpenAI-Safety-Identifier", "body:session.safety_identifier"]
_BODY: Final = "body:safety_identifier"
_HEADER: Final = "header:OpenAI-Safety-Identifier"
_SESSION: Final = "body:session.safety_identifier"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One recorded operation.

    ``inference`` says that the call counts for coverage: it generates, or opens a session that does.
    ``place`` is where the identifier goes, only where the provider names a field for it; ``moderatable``
    that it accepts ``moderation={"model": …}``; ``once`` that it reads an answer made elsewhere, whose
    outcome is to be counted once by response id, however often it is polled; ``passes`` why a suspended end
    user may do it, empty where they are refused; ``unrecorded`` that only such a refusal is recorded.
    """

    api: str
    name: str
    operation: str
    inference: bool = True
    place: Place | None = None
    moderatable: bool = False
    once: bool = False
    passes: str = ""
    unrecorded: bool = False


_MADE: Final = "looks at what was made before"


def _looks(api: str, name: str) -> Endpoint:
    return Endpoint(api, name, "fetch_response", inference=False, once=True, passes=_MADE)


def _other(api: str, name: str, operation: str) -> Endpoint:
    return Endpoint(api, name, operation, inference=False)


_CONTENT = "generate_content"
_AGENT = "invoke_agent"
# Method, path template, what it is. A literal segment wins over a {variable} one.
ENDPOINTS: Final[tuple[tuple[str, str, Endpoint], ...]] = (
    ("POST", "/responses", Endpoint("responses", "responses.create", "chat", place=_BODY, moderatable=True)),
    ("GET", "/responses/{response_id}", _looks("responses", "responses.retrieve")),
    (
        "POST",
        "/responses/{response_id}/cancel",
        replace(
            _looks("responses", "responses.cancel"), operation="cancel_response", passes="stops what runs"
        ),
    ),
    ("POST", "/responses/compact", Endpoint("responses", "responses.compact", "compact_response")),
    (
        "POST",
        "/chat/completions",
        Endpoint("chat", "chat.completions.create", "chat", place=_BODY, moderatable=True),
    ),
    ("POST", "/completions", Endpoint("completions", "completions.create", "text_completion")),
    ("POST", "/embeddings", Endpoint("embeddings", "embeddings.create", "embeddings")),
    ("POST", "/images/generations", Endpoint("images", "images.generate", _CONTENT, place=_BODY)),
    ("POST", "/images/edits", Endpoint("images", "images.edit", _CONTENT, place=_BODY)),
    ("POST", "/images/variations", Endpoint("images", "images.create_variation", _CONTENT)),
    ("POST", "/moderations", _other("moderations", "moderations.create", "moderate")),
    ("POST", "/audio/speech", Endpoint("audio", "audio.speech.create", _CONTENT)),
    ("POST", "/audio/transcriptions", Endpoint("audio", "audio.transcriptions.create", _CONTENT)),
    ("POST", "/audio/translations", Endpoint("audio", "audio.translations.create", _CONTENT)),
    ("POST", "/videos", Endpoint("videos", "videos.create", _CONTENT)),
    ("POST", "/videos/edits", Endpoint("videos", "videos.edit", _CONTENT)),
    ("POST", "/videos/extensions", Endpoint("videos", "videos.extend", _CONTENT)),
    ("POST", "/videos/{video_id}/remix", Endpoint("videos", "videos.remix", _CONTENT)),
    ("GET", "/videos/{video_id}", _looks("videos", "videos.retrieve")),
    ("POST", "/decisions", Endpoint("decisions", "decisions.create", _CONTENT, place=_BODY)),
    # Each line of a batch names its own identifier; the file is checked and read by the command line.
    ("POST", "/batches", _other("batches", "batches.create", "create_batch")),
    (
        "POST",
        "/realtime/client_secrets",
        Endpoint("realtime", "realtime.client_secrets.create", "create_client_secret", place=_HEADER),
    ),
    (
        "POST",
        "/realtime/translations/client_secrets",
        Endpoint(
            "realtime", "realtime.translations.client_secrets.create", "create_client_secret", place=_HEADER
        ),
    ),
    (
        "POST",
        "/realtime/calls",
        Endpoint("realtime", "realtime.calls.create", "create_call", place=_HEADER),
    ),
    # No page says where a telephone call's identifier goes: recorded, nothing added.
    (
        "POST",
        "/realtime/calls/{call_id}/accept",
        Endpoint("realtime", "realtime.calls.accept", "accept_call"),
    ),
    # What /realtime/client_secrets was in older SDKs.
    (
        "POST",
        "/realtime/sessions",
        Endpoint("realtime", "beta.realtime.sessions.create", "create_client_secret", place=_HEADER),
    ),
    (
        "POST",
        "/realtime/transcription_sessions",
        Endpoint(
            "realtime", "beta.realtime.transcription_sessions.create", "create_client_secret", place=_HEADER
        ),
    ),
    ("POST", "/live/sessions", Endpoint("live", "live.create", "create_session", place=_SESSION)),
    (
        "POST",
        "/live/sessions/{session_id}/accept",
        Endpoint("live", "live.sessions.accept", "accept_call", place=_SESSION),
    ),
    # A fork's settings name no identifier: it is a new session of the same person.
    ("POST", "/live/sessions/{session_id}/fork", Endpoint("live", "live.sessions.fork", "create_session")),
    ("POST", "/agents/sessions", Endpoint("agents", "beta.agents.sessions.create", _AGENT)),
    (
        "POST",
        "/agents/sessions/{session_id}/events",
        Endpoint("agents", "beta.agents.sessions.events.create", _AGENT),
    ),
    (
        "GET",
        "/agents/sessions/{session_id}/events",
        _looks("agents", "beta.agents.sessions.events.stream"),
    ),
    (
        "GET",
        "/agents/sessions/{session_id}/turns/{turn_id}",
        _looks("agents", "beta.agents.sessions.turns.retrieve"),
    ),
    (
        "GET",
        "/agents/sessions/{session_id}/subagents/{subagent_id}/turns/{turn_id}",
        _looks("agents", "beta.agents.sessions.subagents.turns.retrieve"),
    ),
    (
        "POST",
        "/agents/automations/{automation_id}/invocations",
        Endpoint("agents", "beta.agents.automations.invocations.create", _AGENT),
    ),
    ("POST", "/threads/runs", Endpoint("assistants", "beta.threads.create_and_run", _AGENT)),
    ("POST", "/threads/{thread_id}/runs", Endpoint("assistants", "beta.threads.runs.create", _AGENT)),
    (
        "POST",
        "/threads/{thread_id}/runs/{run_id}/submit_tool_outputs",
        Endpoint("assistants", "beta.threads.runs.submit_tool_outputs", _AGENT),
    ),
    ("GET", "/threads/{thread_id}/runs/{run_id}", _looks("assistants", "beta.threads.runs.retrieve")),
)

# The deployment that Azure's client writes into the path: its name is anything.
_DEPLOYMENT = re.compile(r"/deployments/[^/]+")
_ORIGIN = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]{0,30}://[^/?#]*")


@dataclass(frozen=True, slots=True)
class _Row:
    segments: tuple[str, ...]
    endpoint: Endpoint

    def matches(self, segments: tuple[str, ...]) -> bool:
        return all(
            expected.startswith("{") or expected == segment
            for expected, segment in zip(self.segments, segments, strict=True)
        )


def _table() -> dict[tuple[str, int], tuple[_Row, ...]]:
    rows: dict[tuple[str, int], list[_Row]] = {}
    for method, template, endpoint in (*ENDPOINTS, *_refused()):
        segments = tuple(template.split("/")[1:])
        rows.setdefault((method, len(segments)), []).append(_Row(segments, endpoint))
    return {
        key: tuple(sorted(found, key=lambda row: sum(part.startswith("{") for part in row.segments)))
        for key, found in rows.items()
    }


def _refused() -> Iterator[tuple[str, str, Endpoint]]:
    for method, template, name, _ in REFUSED:
        yield method, template, Endpoint(OTHER_API, name, "other", inference=False, unrecorded=True)


_ROWS: Final = _table()
_LONGEST: Final = max(length for _, length in _ROWS)


def find(method: str, url: str, client: Any = None, *, unrecorded: bool = False) -> Endpoint | None:
    """The recorded operation that a request is, or None: it passes straight through.

    ``url`` is a path of the API or a full URL; its query does not matter. ``client`` is who sends it: its base URL
    may hold the beginning of the path. With ``unrecorded``, also what is refused to a suspended end user and
    otherwise not recorded.
    """
    path = url.partition("?")[0]
    found = _find(method, path)
    if found is None and (base := getattr(client, "base_url", None)):
        found = _find(method, f"{str(base).partition('?')[0]}/{path}")
    return None if found is None or (found.unrecorded and not unrecorded) else found


@lru_cache(maxsize=512)
def _find(method: str, url: str) -> Endpoint | None:
    """Whatever stands before a path of the API is a gateway's own; the longest end that is in the table wins."""
    path = unquote(_ORIGIN.sub("", url.partition("#")[0], count=1)).lower().replace("\\", "/")
    segments = _segments(_DEPLOYMENT.sub("", path))
    for start in range(max(0, len(segments) - _LONGEST), len(segments)):
        rest = segments[start:]
        for row in _ROWS.get((method.upper(), len(rest)), ()):
            if row.matches(rest):
                return row.endpoint
    return None


def _segments(path: str) -> tuple[str, ...]:
    """The parts of a path, as a server reads it that is lenient about slashes and dots."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return tuple(kept)
