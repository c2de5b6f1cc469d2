"""The fire drill: a genuine, signed notice of ours through a running receiver, marked ``traffic=drill``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets as random
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import urlsplit

from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.operations.webhooks.notice import TYPES

DRILL_TYPES: dict[NoticeType, str] = {name: event_type for event_type, name in TYPES.items()}


class DrillError(OneLineError):
    """The drill did not reach its end; the message is one line."""


def drill_envelope(kind: NoticeType, name: str | None = None) -> dict[str, Any]:
    """The webhook of a drill: its case exists nowhere, its identifier is nobody's."""
    name = name or f"drill-{random.token_hex(6)}"
    identifier = hashlib.sha256(name.encode()).hexdigest()
    data: dict[str, Any] = {"id": f"C-{name}"}
    if kind == "identifier_blocked":
        data = {"safety_category": "drill", "safety_identifier": identifier}
    return {
        "id": f"evt_{name}",
        "object": "event",
        "created_at": int(time.time()),
        "type": DRILL_TYPES[kind],
        "data": data,
        "traffic": "drill",
    }


def signed_headers(body: bytes, secret: str, delivery: str, at: int | None = None) -> dict[str, str]:
    """The headers that the provider would send with this body (Standard Webhooks)."""
    at = int(time.time()) if at is None else at
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signature = hmac.digest(key, f"{delivery}.{at}.".encode() + body, "sha256")
    return {
        "content-type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": str(at),
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    }


def send_drill(url: str, secret: str, kind: NoticeType, *, seconds: float = 10.0) -> dict[str, Any]:
    """Send a drill; returns the receiver's answer, with the notice's id.

    Raises:
        DrillError: the receiver was not reached or did not accept it.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise DrillError("expected an http or https URL of the receiver")
    content = drill_envelope(kind)
    body = json.dumps(content).encode()
    headers = signed_headers(body, secret, f"wh_{content['id']}")
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - scheme checked above
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - scheme checked above
            found = cast("dict[str, Any]", json.loads(answer.read(65_536)))
    except urllib.error.HTTPError as error:
        said = error.read(200).decode("utf-8", "replace")
        error.close()
        raise DrillError(f"the receiver answered {error.code}: {said}") from error
    except (OSError, HTTPException) as error:
        raise DrillError(f"the receiver did not answer: {error}") from error
    except ValueError as error:
        raise DrillError("the answer is no receiver's of ours") from error
    if found.get("status") != "accepted":
        raise DrillError(f"the receiver answered {found.get('status')}")
    return found
