"""Ask Loki to delete a person's events."""

from __future__ import annotations

import time
from itertools import product

import msgspec

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.ledger.journal.erasure import ERASURE
from openai_safety_otel.operations.store.loki_http import EVIDENCE_TENANT, TENANT, LokiError, LokiHttp
from openai_safety_otel.operations.store.schema import column_name

_FIELDS = ("user_hash", "openai_safety_report_answer_user_hash")
NO_ERASURE = f'{column_name(c.DECISION_ACTION)}!="{ERASURE}"'
_SINCE = "1000000000"  # Unix seconds, before anything; Loki wants ten digits


def delete_from_loki(url: str, forms: list[str]) -> int:
    """Request the deletion of every entry about these identifiers, evidence too; returns the requests taken.

    Loki deletes later, when its compactor runs and its cancel period is over; until then they can be queried.

    Raises:
        LokiError: Loki cannot be reached, or its deletion is not switched on.
    """
    taken = 0
    for tenant in (TENANT, EVIDENCE_TENANT):
        with LokiHttp(url, tenant) as http:
            for form, name in product(forms, _FIELDS):
                query = f'{{service_name=~".+"}} | {name}={msgspec.json.encode(form).decode()} | {NO_ERASURE}'
                http.post("/loki/api/v1/delete", query=query, start=_SINCE, end=str(int(time.time())))
                taken += 1
    return taken


def why_not(error: LokiError) -> str:
    """Why Loki did not take the request, in words that say what to change."""
    if error.status in (403, 404):
        return "its deletion is off: set compactor.retention_enabled and limits_config.deletion_mode"
    return str(error)
