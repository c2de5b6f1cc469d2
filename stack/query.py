"""Questions to the running stores: LogQL, PromQL, and the count per identifier that ledgers are compared with."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

TENANT = "safety"
EVIDENCE_TENANT = "safety-evidence"


class QueryFailed(Exception):
    """The store refused a question; the text is its answer."""


def get(url: str, path: str, parameters: dict[str, Any] | None = None, *, tenant: str | None = None) -> Any:
    """GET a JSON answer.

    Raises:
        QueryFailed: the store answered with an error, or not at all.
    """
    query = urllib.parse.urlencode(parameters or {})
    headers = {"X-Scope-OrgID": tenant} if tenant else {}
    request = urllib.request.Request(f"{url}{path}?{query}", headers=headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise QueryFailed(f"{error.code}: {error.read().decode(errors='replace')[:500]}") from None
    except OSError as error:
        raise QueryFailed(str(error)) from None


def logql(loki: str, query: str, *, tenant: str = TENANT, at: float | None = None) -> list[dict[str, Any]]:
    """An instant LogQL question: its result list."""
    answer = get(
        loki, "/loki/api/v1/query", {"query": query, "time": int((at or time.time()) * 1e9)}, tenant=tenant
    )
    return list(answer["data"]["result"])


def lines(
    loki: str, selector: str, *, tenant: str = TENANT, start: float | None = None, end: float | None = None
) -> list[dict[str, Any]]:
    """Stored entries, oldest first: labels and structured metadata in one dictionary, and ``line``."""
    now = time.time()
    parameters = {
        "query": selector,
        "start": int((start or now - 3600 * 24) * 1e9),
        "end": int((end or now + 600) * 1e9),
        "limit": 5000,
        "direction": "forward",
    }
    answer = get(loki, "/loki/api/v1/query_range", parameters, tenant=tenant)
    return [
        {**stream["stream"], "line": line, "time_ns": int(at)}
        for stream in answer["data"]["result"]
        for at, line in (value[:2] for value in stream["values"])
    ]


def calls_by_identifier(loki: str, service: str, *, window: str = "24h") -> Counter[tuple[str, str]]:
    """(identifier, outcome) to number of stored calls of a service: what a ledger is compared with."""
    selector = f'{{service_name="{service}"}} | event_name="openai_safety.call"'
    query = f"sum by (user_hash, openai_safety_outcome) (count_over_time({selector} [{window}]))"
    rows = logql(loki, query, at=time.time() + 60)
    return Counter(
        {
            (row["metric"].get("user_hash", ""), row["metric"]["openai_safety_outcome"]): int(row["value"][1])
            for row in rows
        }
    )


def distinct_calls(loki: str, service: str, *, window: str = "24h") -> tuple[Counter[tuple[str, str]], int]:
    """The same by response id, each counted once, and how many entries are repetitions of a stored one."""
    selector = f'{{service_name="{service}"}} | event_name="openai_safety.call"'
    names = "user_hash, openai_safety_outcome, gen_ai_response_id"
    once = f"sum by ({names}) (count_over_time({selector} [{window}]))"
    rows = logql(loki, once, at=time.time() + 60)
    keys = ((row["metric"].get("user_hash", ""), row["metric"]["openai_safety_outcome"]) for row in rows)
    return Counter(keys), sum(int(row["value"][1]) - 1 for row in rows)


def promql(prometheus: str, query: str) -> list[dict[str, Any]]:
    """An instant PromQL question: its result list."""
    return list(get(prometheus, "/api/v1/query", {"query": query})["data"]["result"])


def until(check: Callable[[], bool], *, timeout: float = 60.0, every: float = 0.25) -> bool:
    """Wait for a condition; whether it came. A store that does not answer yet counts as not yet."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if check():
                return True
        except QueryFailed:
            pass
        time.sleep(every)
    return False
