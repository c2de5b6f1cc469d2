"""Every public ``connect`` of the SDK, in all supported versions: which classes it has, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from openai_safety_otel.instrumentation.extract.endpoints import Endpoint, Place

_HEADER: Final[Place] = "header:OpenAI-Safety-Identifier"
_BODY: Final[Place] = "body:safety_identifier"
_SESSION: Final[Place] = "body:session.safety_identifier"


@dataclass(frozen=True, slots=True)
class SocketApi:
    """One ``connect``.

    Args:
        name: the resource's place in a client, e.g. ``live.sideband``.
        module: where its classes are; loaded by the SDK when the resource is first used.
        resource: the class that has ``connect``; its async twin, connections and managers follow from it.
        api: the API it belongs to.
        operation: what a response of it is called.
        handshake: where the handshake takes the identifier.
        start: where ``session.start`` takes it.
        create: where each ``response.create`` takes it.
        continuous: the session itself speaks, without responses that begin and end: it always has a record.
        by_stream: events name the stream_id (``stream_id``) of their response; elsewhere they name the response.
    """

    name: str
    module: str
    resource: str
    api: str
    operation: str
    handshake: Place | None = None
    start: Place | None = None
    create: Place | None = None
    continuous: bool = False
    by_stream: bool = False

    @property
    def endpoint(self) -> str:
        """The operation's name in telemetry."""
        return f"{self.name}.connect"

    def at(self, place: Place | None) -> Endpoint:
        """The operation with the identifier's place at one of its moments."""
        return Endpoint(self.api, self.endpoint, self.operation, place=place, moderatable=place == _BODY)


_INFERENCE = "realtime_inference"
_REALTIME: Final = SocketApi(
    "realtime",
    "openai.resources.realtime.realtime",
    "Realtime",
    "realtime",
    _INFERENCE,
    handshake=_HEADER,
)
_RESPONSES: Final = SocketApi(
    "responses",
    "openai.resources.responses.responses",
    "Responses",
    "responses",
    "chat",
    create=_BODY,
    by_stream=True,
)
SOCKET_APIS: Final = (
    _REALTIME,
    replace(_REALTIME, name="beta.realtime", module="openai.resources.beta.realtime.realtime"),
    replace(
        _REALTIME,
        name="realtime.translations",
        module="openai.resources.realtime.translations.translations",
        resource="Translations",
        continuous=True,
    ),
    _RESPONSES,
    replace(_RESPONSES, name="beta.responses", module="openai.resources.beta.responses.responses"),
    SocketApi(
        "live", "openai.resources.live.live", "Live", "live", _INFERENCE, start=_SESSION, continuous=True
    ),
    # These two attach to a session that exists: its identifier was given when it was made.
    SocketApi(
        "live.sideband", "openai.resources.live.sideband", "Sideband", "live", _INFERENCE, continuous=True
    ),
    SocketApi("live.forks", "openai.resources.live.forks", "Forks", "live", _INFERENCE, continuous=True),
)


# Class name pattern, method, wrapper on `SocketHooks`. `enter` is the same function as the dunder, under a second name.
_HOOKS: Final = (
    ("{0}", "connect", "connect"),
    ("Async{0}", "connect", "connect"),
    ("{0}ConnectionManager", "__enter__", "enter"),
    ("{0}ConnectionManager", "enter", "enter"),
    ("{0}ConnectionManager", "send", "send"),
    ("Async{0}ConnectionManager", "__aenter__", "async_enter"),
    ("Async{0}ConnectionManager", "enter", "async_enter"),
    ("Async{0}ConnectionManager", "send", "send"),
    ("{0}Connection", "send", "send"),
    ("{0}Connection", "send_raw", "send"),
    ("{0}Connection", "recv_bytes", "recv_bytes"),
    ("{0}Connection", "parse_event", "parse_event"),
    ("{0}Connection", "close", "close"),
    ("Async{0}Connection", "send", "async_send"),
    ("Async{0}Connection", "send_raw", "async_send"),
    ("Async{0}Connection", "recv_bytes", "async_recv_bytes"),
    ("Async{0}Connection", "parse_event", "parse_event"),
    ("Async{0}Connection", "close", "async_close"),
)


def hooks_of(api: SocketApi) -> tuple[tuple[str, str, str], ...]:
    """The methods of an API, as in `_HOOKS`; an SDK version may lack some of them."""
    return tuple((owner.format(api.resource), attribute, name) for owner, attribute, name in _HOOKS)
