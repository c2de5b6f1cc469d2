"""Asking Prometheus, Loki and Alertmanager over their HTTP APIs."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai_safety_otel.contract import conventions as c


class RefusedError(Exception):
    """The store did not answer the query; the text is its own."""


def get(url: str, parameters: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> Any:
    """The JSON answer of a GET.

    Raises:
        RefusedError: any status but 2xx.
    """
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    request = urllib.request.Request(url + query, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RefusedError(f"{error.code}: {error.read().decode(errors='replace')[:500]}") from None


@dataclass(frozen=True)
class Store:
    """A Prometheus-like query API; ``prefix`` is ``/api/v1`` or ``/loki/api/v1``."""

    url: str
    prefix: str
    headers: dict[str, str] = field(default_factory=dict)

    def instant(self, expr: str, at: float) -> list[dict[str, Any]]:
        """The result of an instant query at a Unix time."""
        return self._result("query", {"query": expr, "time": f"{at:.3f}", "limit": "5000"})

    def over(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The result of a range query."""
        about = {"query": expr, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.0f}s"}
        return self._result("query_range", {**about, "limit": "1000"})

    def number(self, expr: str, at: float) -> float:
        """The single value of an instant query; nothing is 0."""
        found = self.instant(expr, at)
        return float(found[0]["value"][1]) if found else 0.0

    def _result(self, what: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        answer = get(f"{self.url}{self.prefix}/{what}", parameters, self.headers)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result


def prometheus(url: str) -> Store:
    """Prometheus at a base URL."""
    return Store(url, "/api/v1")


def loki(url: str, tenant: str = "safety") -> Store:
    """Loki at a base URL, as one tenant."""
    return Store(url, "/loki/api/v1", {"X-Scope-OrgID": tenant})


def send(url: str, path: Path) -> None:
    """Send the events of a file to Loki's own OTLP door, as the collector would."""
    for line in path.read_bytes().splitlines():
        if b'"logRecords"' not in line:
            continue
        tenant = "safety-evidence" if c.EVIDENCE_EVENT.encode() in line else "safety"
        headers = {"Content-Type": "application/json", "X-Scope-OrgID": tenant}
        request = urllib.request.Request(f"{url}/otlp/v1/logs", data=line, headers=headers)
        with urllib.request.urlopen(request) as answer:
            assert answer.status < 300
