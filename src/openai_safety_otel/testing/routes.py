"""The endpoint table of the stub: method and path to a name, an API, the ways it can end, and its shape."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from openai_safety_otel.testing.shapes import agents, chat, files, media, responses, small
from openai_safety_otel.testing.shapes.common import Scene
from openai_safety_otel.testing.usage import Accounts
from openai_safety_otel.testing.wire import Answer

HTTP = frozenset({"http"})
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: where it is, what it is called, what can happen to it and who draws its answer."""

    method: str
    template: str
    name: str
    ways: frozenset[str]
    shape: Callable[[Scene], Answer]
    inference: bool = True

    @property
    def api(self) -> str:
        """The API this operation belongs to."""
        return self.name.partition(".")[0]


def _read(template: str, name: str, shape: Callable[[Scene], Answer]) -> Route:
    return Route("GET", template, name, NONE, shape, inference=False)


def _post(
    template: str,
    name: str,
    shape: Callable[[Scene], Answer],
    ways: frozenset[str] = HTTP,
    *,
    inference: bool = True,
) -> Route:
    return Route("POST", template, name, ways, shape, inference)


ENDPOINTS: tuple[Route, ...] = (
    _post("/responses", "responses.create", responses.create, responses.WAYS),
    _post("/responses/compact", "responses.compact", responses.compact),
    _post("/responses/input_tokens", "responses.input_tokens", responses.input_tokens, inference=False),
    _read("/responses/{response_id}", "responses.retrieve", responses.retrieve),
    _read("/responses/{response_id}/input_items", "responses.input_items", responses.input_items),
    _post("/responses/{response_id}/cancel", "responses.cancel", responses.cancel, NONE, inference=False),
    Route("DELETE", "/responses/{response_id}", "responses.delete", NONE, responses.delete, inference=False),
    _post("/chat/completions", "chat.create", chat.create, chat.CHAT_WAYS),
    _post("/completions", "completions.create", chat.completions, chat.TEXT_WAYS),
    _post("/embeddings", "embeddings.create", small.embeddings),
    _post("/images/generations", "images.generate", media.images, media.IMAGE_WAYS),
    _post("/images/edits", "images.edit", media.images, media.IMAGE_WAYS),
    _post("/images/variations", "images.variations", media.images),
    _post("/moderations", "moderations.create", small.moderations, inference=False),
    _post("/audio/speech", "audio.speech", media.speech),
    _post("/audio/transcriptions", "audio.transcriptions", media.transcription),
    _post("/audio/translations", "audio.translations", media.translation),
    _post("/videos", "videos.create", media.video_create, media.VIDEO_WAYS),
    _read("/videos/{video_id}", "videos.retrieve", media.video_retrieve),
    _read("/videos/{video_id}/content", "videos.content", media.video_content),
    _post("/decisions", "decisions.create", small.decisions, frozenset({"http", "refuse"})),
    _post("/files", "files.create", files.upload, NONE, inference=False),
    _read("/files/{file_id}", "files.retrieve", files.described),
    _read("/files/{file_id}/content", "files.content", files.content),
    _post("/batches", "batches.create", files.batch, inference=False),
    _read("/batches/{batch_id}", "batches.retrieve", files.described),
    _post("/realtime/client_secrets", "realtime.client_secrets", small.client_secret),
    _post("/realtime/translations/client_secrets", "realtime.translation_secrets", small.client_secret),
    _post("/realtime/sessions", "realtime.sessions", small.old_realtime_session),
    _post("/realtime/transcription_sessions", "realtime.transcription_sessions", small.old_realtime_session),
    _post("/realtime/calls", "realtime.calls", small.realtime_call),
    _post("/realtime/calls/{call_id}/accept", "realtime.accept", small.nothing),
    _post("/realtime/calls/{call_id}/hangup", "realtime.hangup", small.nothing, inference=False),
    _post("/realtime/calls/{call_id}/refer", "realtime.refer", small.nothing, inference=False),
    _post("/realtime/calls/{call_id}/reject", "realtime.reject", small.nothing, inference=False),
    _post("/live/sessions", "live.create", small.live_create),
    _post("/live/sessions/{session_id}/accept", "live.accept", small.nothing),
    _post("/live/sessions/{session_id}/fork", "live.fork", small.live_create),
    _post("/live/sessions/{session_id}/hangup", "live.hangup", small.nothing, inference=False),
    _post("/agents/sessions", "agents.create", agents.create, agents.WAYS),
    _post("/agents/sessions/{session_id}/events", "agents.send", agents.send, agents.WAYS),
    _read("/agents/sessions/{session_id}/events", "agents.events", agents.watch),
    _read("/agents/sessions/{session_id}", "agents.retrieve", agents.retrieve),
    _read("/agents/sessions/{session_id}/turns/{turn_id}", "agents.turn", agents.turn),
    _read("/safety/cases/{id}", "safety.cases", small.kept_object),
    _read("/safety/alerts/{id}", "safety.alerts", small.kept_object),
    _read("/models", "models.list", small.models),
    _read("/organization/usage/{ledger}", "organization.usage", small.administered(Accounts.usage)),
    _read("/organization/projects", "organization.projects", small.administered(Accounts.projects)),
    _read(
        "/organization/projects/{project_id}/api_keys",
        "organization.api_keys",
        small.administered(Accounts.project_keys),
    ),
)

_PATTERNS = tuple(
    (endpoint, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", endpoint.template) + "/?"))
    for endpoint in ENDPOINTS
)
_ROOT = re.compile(r"^(?:/openai/deployments/(?P<deployment>[^/]+)|/openai/v1|/openai|/v1)?(?P<rest>/.*)$")


def find(method: str, path: str) -> tuple[Route | None, dict[str, str]]:
    """The endpoint for a request and what its path says, an Azure deployment included."""
    root = _ROOT.match(path)
    if root is None:
        return None, {}
    said = {"deployment": root["deployment"]} if root["deployment"] else {}
    for endpoint, pattern in _PATTERNS:
        if endpoint.method == method and (match := pattern.fullmatch(root["rest"])):
            return endpoint, {**said, **match.groupdict()}
    return None, said
