"""The outgoing notification: one POST of JSON made from a template, e.g. to a Slack-compatible hook.

The URL often holds a secret: it is never logged, and redirects are not followed.
"""

from __future__ import annotations

import json
import string
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from openai_safety_otel.ledger.journal import Notice
from openai_safety_otel.operations.webhooks.cases import StepFailedError
from openai_safety_otel.operations.webhooks.events import notice_event, summary

DEFAULT_TEMPLATE = '{"text": "$summary"}'
PLACEHOLDERS = (
    "summary",
    "severity",
    "type",
    "id",
    "identifier",
    "reason",
    "category",
    "model",
    "request_id",
    "traffic",
    "received_at",
    "deadline_at",
)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the notice to somebody else: it is a failure."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing."""


class Notifier:
    """Posts one notice to ``url``.

    Args:
        url: http or https.
        template: JSON text with ``$placeholders`` (see `PLACEHOLDERS`); values are put in JSON-escaped.
        seconds: limit of each network step.

    Raises:
        ValueError: the URL or the template cannot be used; the message does not show the URL.
    """

    def __init__(self, url: str, template: str = DEFAULT_TEMPLATE, *, seconds: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("notify_url: expected an http or https URL")
        self._url = url
        self._template = string.Template(template)
        self._seconds = seconds
        self._opener = urllib.request.build_opener(_NoRedirect)
        try:
            json.loads(self._template.substitute(dict.fromkeys(PLACEHOLDERS, "x")))
        except KeyError as error:
            raise ValueError(f"notify template: unknown placeholder ${error.args[0]}") from None
        except ValueError as error:
            raise ValueError(f"notify template: not JSON once filled in: {error}") from None

    @classmethod
    def from_files(cls, url: str, template_path: str | None) -> Notifier:
        """With a template file, or the default.

        Raises:
            ValueError: as above, or the file cannot be read.
        """
        if template_path is None:
            return cls(url)
        try:
            return cls(url, Path(template_path).read_text("utf-8"))
        except OSError as error:
            raise ValueError(f"notify template {template_path}: {error.strerror}") from None

    def body(self, notice: Notice) -> bytes:
        """What is posted."""
        return self._template.substitute(_values(notice)).encode()

    def send(self, notice: Notice) -> None:
        """Post the notice; blocks, so call it in a thread.

        Raises:
            StepFailedError: no 2xx answer.
        """
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self._url, self.body(notice), {"content-type": "application/json"}, method="POST"
        )
        try:
            answer: HTTPResponse
            with self._opener.open(request, timeout=self._seconds) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            error.close()
            raise StepFailedError(f"http_{error.code // 100}xx") from error
        except TimeoutError as error:
            raise StepFailedError("timeout") from error
        except (OSError, HTTPException) as error:
            raise StepFailedError("connection") from error


def _values(notice: Notice) -> Mapping[str, str]:
    known = {"summary": summary(notice), "severity": notice_event(notice).severity}
    values = {name: known.get(name, getattr(notice, name, None)) for name in PLACEHOLDERS}
    return {name: json.dumps("" if value is None else str(value))[1:-1] for name, value in values.items()}
