"""What goes out over a socket: the handshake, or one client event, in the form the app gave it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from openai_safety_otel.instrumentation.extract.shape import get, text

CREATE: Final = "response.create"
START: Final = "session.start"
# Input for a response that runs; the server begins its successor by itself.
STEER: Final = "response.steer"
# What a user says where the server answers by itself, with no `response.create`; and what asks a model about it.
SPEECH: Final = frozenset(
    {
        "input_audio_buffer.append",
        "session.input_audio_buffer.append",
        "session.input_audio.append",
        "decision.create",
    }
)
_READ: Final = (CREATE, START, STEER)
_MARKS: Final = tuple(f'"{kind}"' for kind in _READ)
_BYTE_MARKS: Final = tuple(mark.encode() for mark in _MARKS)
_PEEKED: Final = 512
_TYPE: Final = re.compile(r'"type"\s*:\s*"([A-Za-z0-9_.]+)"')
_MISSING: Final = object()
# What the SDK's own methods write for a parameter that the app left out.
_NOT_GIVEN: Final = frozenset({"Omit", "NotGiven"})


@dataclass(slots=True)
class Frame:
    """A handshake or an event, in the shape in which a request's options are read and changed.

    ``sends_defaults`` says whether this SDK version puts the client's default headers into the handshake.
    """

    url: str
    headers: Any = None
    json_data: Any = None
    extra_json: Any = None
    content: Any = None
    sends_defaults: bool = True


def peek(raw: str | bytes) -> str:
    """The type of a raw frame as far as its beginning shows it; empty where it does not."""
    head = raw[:_PEEKED]
    found = _TYPE.search(head if isinstance(head, str) else bytes(head).decode("utf-8", "replace"))
    return found.group(1) if found else ""


class Message:
    """One client event: a dictionary, an SDK model, or raw JSON that the app wrote itself."""

    __slots__ = ("body", "given", "kind")

    def __init__(self, given: Any) -> None:
        self.given = given
        self.body: dict[str, Any] = {}
        if isinstance(given, (str, bytes)):
            self.kind = self._read_raw(given)
        else:
            self.kind = text(given, "type")
            if self.kind in _READ:
                self.body = _as_dict(given)

    def _read_raw(self, given: str | bytes) -> str:
        """Large audio frames are not parsed: only what names an event that matters is."""
        marked = any(mark in given for mark in _MARKS) if isinstance(given, str) else _has_mark(given)
        if not marked:
            return peek(given)
        try:
            found = json.loads(given)
        except ValueError:
            return ""
        if not isinstance(found, dict):
            return ""
        self.body = found
        return text(found, "type")

    def with_body(self, body: Mapping[str, Any]) -> Any:
        """The event with another body, in the form it was given in; the app's own object stays as it is."""
        if isinstance(self.given, str):
            return json.dumps(body)
        if isinstance(self.given, bytes):
            return json.dumps(body).encode()
        return _changed(self.given, self.body, body)


def _has_mark(given: bytes) -> bool:
    return any(mark in given for mark in _BYTE_MARKS)


def _as_dict(given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return {name: value for name, value in given.items() if type(value).__name__ not in _NOT_GIVEN}
    return dict(given.to_dict(use_api_names=True, exclude_unset=True))


def _changed(given: Any, before: Mapping[str, Any], after: Mapping[str, Any]) -> Any:
    """A copy of a model in which only what changed is set, so that it is sent as the SDK would send it."""
    if given is None or isinstance(given, Mapping):
        return after
    updates = {}
    for name, value in after.items():
        old = before.get(name, _MISSING)
        if old is value:
            continue
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        updates[name] = _changed(get(given, name), old, value) if nested else value
    return given.model_copy(update=updates)
