"""Loki's HTTP API, as far as reading events and deleting a person's needs it."""

from __future__ import annotations

import base64
import gzip
import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import TracebackType
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

TIMEOUT_SECONDS: Final = 120.0
# The tenants of the shipped configuration; a Loki without tenants passes the header over.
TENANT: Final = "safety"
EVIDENCE_TENANT: Final = "safety-evidence"
_TRIES: Final = 3


class LokiError(ConnectionError):
    """Loki cannot be reached, or answered with an error; the message is one line without credentials."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class LokiHttp:
    """One connection to Loki at a base URL; ``user:password@`` and ``?tenant=NAME`` in it are honoured.

    Args:
        url: the base URL.
        tenant: the tenant where the URL names none.

    Raises:
        LokiError: the URL is none.
    """

    def __init__(self, url: str, tenant: str = TENANT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise LokiError("Loki's URL must be http://host:port or https://host:port")
        self.shown = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._parts = parts
        self._base = parts.path.rstrip("/")
        self._headers = _headers(parts, tenant)
        self._connection: HTTPConnection | None = None

    def get(self, path: str, **values: str) -> Any:
        """The JSON answer of a GET."""
        return json.loads(self._ask("GET", f"{path}?{urlencode(values)}") or b"null")

    def post(self, path: str, **values: str) -> int:
        """The status of a POST with its values in the query string."""
        self._ask("POST", f"{path}?{urlencode(values)}")
        return 204

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> LokiHttp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: str, target: str) -> bytes:
        problem = ""
        for _ in range(_TRIES):
            try:
                status, body = self._once(method, target)
            except (OSError, HTTPException) as error:
                # A kept connection may have been closed meanwhile: try on a fresh one.
                self.close()
                problem = str(error) or type(error).__name__
                continue
            if status < 300:  # noqa: PLR2004
                return body
            text = " ".join(body.decode("utf-8", "replace").split())[:300]
            if status != 429 and status < 500:  # noqa: PLR2004
                raise LokiError(f"Loki at {self.shown} answered {status}: {text}", status)
            problem = f"{status}: {text}"
        raise LokiError(f"Loki at {self.shown}: {problem}")

    def _once(self, method: str, target: str) -> tuple[int, bytes]:
        if self._connection is None:
            kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
            self._connection = kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_SECONDS)
        self._connection.request(method, self._base + target, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return answer.status, body


def _headers(parts: SplitResult, tenant: str) -> dict[str, str]:
    headers = {
        "Accept-Encoding": "gzip",
        # Structured metadata apart from the stream's labels, so that a label never hides an attribute.
        "X-Loki-Response-Encoding-Flags": "categorize-labels",
        "X-Scope-OrgID": tenant,
    }
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if name == "tenant" and value:
            headers["X-Scope-OrgID"] = unquote(value)
    return headers
