"""Requests as the stub reads them and answers as it writes them; knows no API."""

from __future__ import annotations

import email.policy
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any

_NO_TEXT = ("type", "event_id", "role")
# A stream is bytes to send and floats to wait, in seconds.
StreamPart = bytes | float


@dataclass(slots=True)
class Answer:
    """One HTTP answer: a body, or frames sent one by one; ``cut`` closes the connection without an end."""

    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    frames: Iterable[StreamPart] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False


def json_answer(content: Any, status: int = 200) -> Answer:
    """An answer holding ``content`` as JSON."""
    return Answer(status, body=json.dumps(content).encode())


def event_stream(frames: Iterable[StreamPart]) -> Answer:
    """A server-sent event stream."""
    return Answer(content_type="text/event-stream; charset=utf-8", frames=frames)


def sse(content: Any, event: str | None = None) -> bytes:
    """One server-sent event."""
    data = content if isinstance(content, str) else json.dumps(content)
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data}\n\n".encode()


DONE = sse("[DONE]")


@dataclass(slots=True)
class ProviderRequest:
    """One request, parsed: what the provider can know of it."""

    method: str
    path: str
    endpoint: str
    api: str
    params: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]
    azure: bool = False

    @property
    def model(self) -> str:
        """The model that answers: the one asked for, or a default."""
        return self.asked_model or "gpt-5"

    @property
    def asked_model(self) -> str | None:
        """The model asked for, also where it sits deeper or in an Azure deployment's path."""
        inner = self.body.get("session") or self.body.get("agent")
        deeper = inner.get("model") if isinstance(inner, dict) else None
        asked = self.body.get("model") or deeper or self.params.get("deployment")
        return None if asked is None else str(asked)

    @property
    def stream(self) -> bool:
        """Whether the answer is asked for as a stream."""
        return str(self.body.get("stream", self.query.get("stream", ""))).lower() == "true"

    @property
    def attempt(self) -> int:
        """0 for a first try, as the SDK counts its retries."""
        return int(self.headers.get("x-stainless-retry-count", "0") or 0)

    @property
    def digest(self) -> str:
        """What two attempts of one request have in common."""
        content = self.raw
        if boundary := _boundary(self.headers.get("content-type", "")):
            content = content.replace(boundary, b"")
        return hashlib.sha256(f"{self.method} {self.path} ".encode() + content).hexdigest()[:16]

    def identifiers(self) -> dict[str, str | None]:
        """Every place an identifier was seen in, by name."""
        session = self.body.get("session")
        found = {
            "body": self.body.get("safety_identifier"),
            "header": self.headers.get("openai-safety-identifier"),
            "session": session.get("safety_identifier") if isinstance(session, dict) else None,
            "user": self.body.get("user"),
        }
        return {place: value for place, value in found.items() if value}

    def text(self) -> str:
        """What the user wrote last, wherever this API keeps it."""
        for name in (
            "messages",
            "input",
            "prompt",
            "questions",
            "text",
            "instructions",
            "metadata",
            "session",
        ):
            if self.body.get(name):
                return all_text(_last_user_turn(self.body[name]))
        return ""


def _last_user_turn(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    turns = [item for item in content if isinstance(item, dict) and item.get("role") == "user"]
    return turns[-1] if turns else content


def all_text(content: Any) -> str:
    """All text in a message, wherever it is."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return " ".join(all_text(value) for name, value in content.items() if name not in _NO_TEXT)
    if isinstance(content, list):
        return " ".join(all_text(value) for value in content)
    return ""


def _boundary(content_type: str) -> bytes:
    _, _, after = content_type.partition("boundary=")
    return after.split(";")[0].strip().strip('"').encode()


def parse_body(raw: bytes, content_type: str) -> dict[str, Any]:
    """A JSON object or form fields; anything else is an empty request."""
    if "multipart/form-data" in content_type:
        return _form(raw, content_type)
    try:
        content = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _form(raw: bytes, content_type: str) -> dict[str, Any]:
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=email.policy.HTTP).parsebytes(head + raw)
    return dict(_field(part) for part in message.iter_parts())


def _field(part: Any) -> tuple[str, Any]:
    name = str(part.get_param("name", header="content-disposition"))
    payload = part.get_payload(decode=True) or b""
    if part.get_filename() is not None:
        return name, payload
    text = payload.decode("utf-8", "replace")
    if part.get_content_type() == "application/json":
        return name, json.loads(text)
    return name, text
