"""Is it from the provider? The SDK's own verifier on the raw body, every failure one small exception."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import openai

from openai_safety_otel.contract.vocabulary import WebhookResult

TOLERANCE_SECONDS = 300
SECRET_BYTES = 24  # what the Standard Webhooks specification asks for at the least
_REQUIRED = ("webhook-id", "webhook-timestamp", "webhook-signature")
_DELIVERY = re.compile(r"[\x21-\x7e]{1,256}")
_SPLIT = re.compile(r"[\s,]+")


class RejectedError(Exception):
    """A delivery that is not taken; ``result`` is its label in the metric, the message names no value."""

    def __init__(self, result: WebhookResult, why: str) -> None:
        super().__init__(why)
        self.result: WebhookResult = result


def signing_secrets(value: bytes | str | None) -> tuple[str, ...]:
    """The secrets in a setting: one for each endpoint (organisation, project) or for a rotation.

    Raises:
        ValueError: there is none, one is too short to be a secret, or a ``whsec_`` secret is not base64. The message
            shows no secret.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
    secrets = tuple(part for part in _SPLIT.split(text) if part)
    if not secrets:
        raise ValueError("no webhook secret: set OPENAI_WEBHOOK_SECRET or OPENAI_SAFETY_WEBHOOK_SECRET")
    for secret in secrets:
        if len(_key_of(secret)) < SECRET_BYTES:
            raise ValueError(f"the webhook secret is too short: at least {SECRET_BYTES} bytes are needed")
    return secrets


def _key_of(secret: str) -> bytes:
    """The bytes that sign, as the SDK takes them from a secret."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret[6:], validate=True)
    except binascii.Error:
        raise ValueError("the webhook secret starts with whsec_ but is not base64") from None


class Verifier:
    """Verifies deliveries with the SDK; accepts any of the secrets.

    Raises:
        ValueError: the secrets cannot be used, or the openai package is too old to verify webhooks.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)
        # The client only leads to the SDK's verifier: it never sends anything.
        client = openai.OpenAI(api_key="unused", base_url="http://127.0.0.1:9")
        webhooks = getattr(client, "webhooks", None)
        if webhooks is None:
            raise ValueError("this openai package cannot verify webhooks: pip install 'openai>=1.92'")
        self._verify: Any = webhooks.verify_signature

    def check(self, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The delivery id (``webhook-id``) of a genuine delivery.

        Raises:
            RejectedError: it is not genuine, too old, or its headers are malformed.
        """
        signed = _signed_headers(headers)
        for secret in self._secrets:
            # Hostile bytes surface as many types (bad base64, not ASCII, not UTF-8): all of them mean "no".
            try:
                self._verify(body, signed, secret=secret, tolerance=TOLERANCE_SECONDS)
            except (openai.OpenAIError, ValueError, TypeError):
                continue
            return signed["webhook-id"]
        raise RejectedError("bad_signature", "signature or timestamp not accepted")


def _signed_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        if name in _REQUIRED:
            if name in found:
                raise RejectedError("bad_signature", f"{name} is there twice")
            found[name] = raw_value.decode("latin-1")
    for name in _REQUIRED:
        if name not in found:
            raise RejectedError("bad_signature", f"{name} is missing")
    if not _DELIVERY.fullmatch(found["webhook-id"]):
        raise RejectedError("bad_signature", "webhook-id is malformed")
    return found


def envelope(body: bytes) -> dict[str, Any]:
    """The JSON object of a verified body, with a ``type``.

    Raises:
        RejectedError: it is not one.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise RejectedError("bad_request", "the body is not JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str) or not value["type"]:
        raise RejectedError("bad_request", "the body is no webhook envelope")
    return cast("dict[str, Any]", value)
