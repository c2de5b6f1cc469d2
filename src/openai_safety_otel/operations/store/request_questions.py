"""The questions of the comparison with the provider's own count, in SQL: our requests, and what makes them doubtful."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.operations.store.schema import column_name, quoted


def requests(
    ledgers: Mapping[vocabulary.UsageLedger, Iterable[str]],
    *,
    sessions: Iterable[str],
    no_request: Iterable[str],
    batch_line: str,
) -> str:
    """Requests by the provider's ledger, API key and model.

    A call that was under way when the time begins or ends is possible, not sure: the provider may count its beginning.

    Args:
        ledgers: the APIs and endpoints that are in each ledger.
        sessions: APIs of which no call is surely one request.
        no_request: endpoints that run no model.
        batch_line: the endpoint of a line of a batch.
    """
    which = " ".join(
        f"WHEN openai_safety_api IN {_within(names)} OR openai_safety_endpoint IN {_within(names)} "
        f"THEN {quoted(ledger)}"
        for ledger, names in ledgers.items()
    )
    here = "(server_address IS NULL OR list_contains($hosts, server_address))"
    lasted = f"coalesce({column_name(c.DURATION)}, 0) * 1e9"  # an event is of the end of its call
    return f"""
SELECT CASE {which} END AS ledger, coalesce(openai_safety_api_key_id, '') AS key,
  coalesce(gen_ai_response_model, gen_ai_request_model, '') AS model,
  coalesce(openai_safety_endpoint = {quoted(batch_line)}, false) AS batch,
  count(*) FILTER (WHERE {here} AND openai_safety_outcome IN ('completed', 'refused')
    AND openai_safety_api NOT IN {_within(sessions)} AND NOT coalesce({column_name(c.BACKGROUND)}, false)
    AND time_ns < $until_ns AND time_ns - $since_ns >= {lasted}) AS sure,
  coalesce(sum(1 + coalesce(openai_safety_retries, 0)) FILTER (WHERE {here}), 0) AS possible,
  count(*) FILTER (WHERE NOT {here}) AS elsewhere
FROM events
WHERE event = '{c.CALL_EVENT}' AND day >= $since_day AND day <= $late_day
  AND time_ns >= $since_ns AND (time_ns < $until_ns OR time_ns - $until_ns < {lasted}) AND ledger IS NOT NULL
  AND coalesce(openai_safety_endpoint, '') NOT IN {_within(no_request)}
  AND coalesce(openai_safety_block_class, '') <> 'local'
  AND coalesce(openai_safety_identifier_delivery, '') <> 'not_sent'
  AND ({here} OR coalesce({column_name(c.PROVIDER_NAME)}, '') <> 'azure.ai.openai')
GROUP BY ALL
"""  # noqa: S608


def run_at_the_provider(*, begins: Iterable[str]) -> str:
    """What the provider may have run for calls that we have, and count: by ledger, API key and model.

    Args:
        begins: endpoints of which a call is the beginning of any number of requests.
    """
    model = "coalesce(gen_ai_response_model, gen_ai_request_model, '')"
    kinds = (
        ("completions", model, f"openai_safety_api = 'live' OR openai_safety_endpoint IN {_within(begins)}"),
        ("images", "''", "openai_safety_api IN ('responses', 'agents', 'assistants')"),
        ("audio_transcriptions", "''", "openai_safety_api IN ('realtime', 'live')"),
        ("moderations", "''", f"{column_name(c.MODERATION_MODEL)} IS NOT NULL"),
    )
    return " UNION ".join(
        f"""
SELECT {quoted(ledger)} AS ledger, coalesce(openai_safety_api_key_id, '') AS key, {of} AS model
FROM events WHERE event = '{c.CALL_EVENT}' AND day >= $since_day AND day <= $until_day
  AND time_ns >= $since_ns AND time_ns < $until_ns AND ({which})
"""  # noqa: S608
        for ledger, of, which in kinds
    )


# The keys with which an endpoint was called.
KEYS_OF: Final = f"""
SELECT DISTINCT coalesce(openai_safety_api_key_id, '') AS key FROM events
WHERE event = '{c.CALL_EVENT}' AND openai_safety_endpoint = $endpoint AND openai_safety_outcome = 'completed'
  AND day >= $since_day AND day <= $until_day AND time_ns >= $since_ns AND time_ns < $until_ns
"""  # noqa: S608


def _within(names: Iterable[str]) -> str:
    return f"({', '.join(map(quoted, names))})"
