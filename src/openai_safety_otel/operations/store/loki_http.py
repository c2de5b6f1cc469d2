"""Loki's HTTP API, as far as reading events and deleting a person's needs it."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2

from openai_safety_otel.contract.one_line import OneLineError

TIMEOUT_SECONDS: Final = 120.0
# The tenants of the shipped configuration; a Loki without tenants passes the header over.
TENANT: Final = "safety"
EVIDENCE_TENANT: Final = "safety-evidence"
_TRIES: Final = 3


class LokiError(OneLineError, ConnectionError):
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
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        if not host or parts.scheme not in {"http", "https"}:
            raise LokiError("Loki's URL must be http://host:port or https://host:port")
        self.shown = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
        self._client = httpx2.Client(
            base_url=parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl(),
            auth=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
            headers={
                # Structured metadata apart from the stream's labels, so that a label never hides an attribute.
                "X-Loki-Response-Encoding-Flags": "categorize-labels",
                "X-Scope-OrgID": parse_qs(parts.query).get("tenant", [tenant])[-1],
            },
            timeout=TIMEOUT_SECONDS,
            verify=ssl.create_default_context(),
            trust_env=False,  # no proxy, no .netrc: what is asked about a person goes to Loki alone
        )

    def result(self, path: str, **values: str) -> list[Any]:
        """What a query found, whole.

        Raises:
            LokiError: what answers is no Loki (a page to sign in), or it answers with a part of what it has.
        """
        answer = self._ask("GET", path, values)
        try:
            content = answer.json()
            found, warnings = content["data"]["result"], content.get("warnings") or ()
        except (ValueError, LookupError, TypeError, AttributeError):
            found, warnings = None, ()
        if not isinstance(found, list):
            raise LokiError(f"{self.shown} does not answer as Loki does: {_one_line(answer)}")
        if partial := next((one for one in map(str, warnings) if "partial" in one), None):
            raise LokiError(f"Loki at {self.shown} answers with a part of what it has: {partial}")
        return found

    def delete(self, query: str, start: str) -> None:
        """Request a deletion until now, by Loki's own clock.

        Raises:
            LokiError: it was not taken.
        """
        values = {"query": query, "start": start}  # an end in whole seconds spares the last one
        answer = self._ask("POST", "/loki/api/v1/delete", values)
        if answer.status_code != httpx2.codes.NO_CONTENT:
            raise LokiError(f"{self.shown} does not answer as Loki does: {_one_line(answer)}")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> LokiHttp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: str, path: str, values: dict[str, str]) -> httpx2.Response:
        problem = ""
        for _ in range(_TRIES):
            try:
                answer = self._client.request(method, path, params=values)
            except httpx2.RequestError as error:
                problem = str(error) or type(error).__name__
                continue
            if answer.is_success:
                return answer
            status, text = answer.status_code, _one_line(answer)
            if status != httpx2.codes.TOO_MANY_REQUESTS and not answer.is_server_error:
                raise LokiError(f"Loki at {self.shown} answered {status}: {text}", status)
            problem = f"{status}: {text}"
        raise LokiError(f"Loki at {self.shown}: {problem}")


def _one_line(answer: httpx2.Response) -> str:
    return " ".join(answer.text.split())[:300] or "nothing"
