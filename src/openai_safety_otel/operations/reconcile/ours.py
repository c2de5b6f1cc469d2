"""Our side: how many requests the stored calls made, by ledger, API key and model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.moments import HOUR
from openai_safety_otel.instrumentation.extract.endpoints import ENDPOINTS
from openai_safety_otel.operations.batch import ENDPOINT as BATCH_LINE
from openai_safety_otel.operations.reconcile.compare import Recorded
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.loki import EVERYTHING
from openai_safety_otel.operations.store.schema import column_name, quoted

# Which of our APIs and endpoints are in which of the provider's ledgers.
_LEDGERS: Final[dict[vocabulary.UsageLedger, tuple[str, ...]]] = {
    "completions": ("responses", "chat", "completions", "realtime", "live", "agents", "assistants"),
    "embeddings": ("embeddings",),
    "images": ("images",),
    "moderations": ("moderations",),
    "audio_speeches": ("audio.speech.create",),
    "audio_transcriptions": ("audio.transcriptions.create", "audio.translations.create"),
    "decisions": ("decisions",),
}
_SESSIONS: Final = ("realtime", "live", "agents", "assistants")
_BATCH: Final = "batches.create"
_NO_REQUEST: Final = sorted(
    {one.name for _, _, one in ENDPOINTS if not one.inference and one.api != "moderations"}
)


def _within(names: Iterable[str]) -> str:
    return f"({', '.join(map(quoted, names))})"


_API, _ENDPOINT = column_name(c.API), column_name(c.ENDPOINT)
_LEDGER: Final = " ".join(
    f"WHEN {_API} IN {_within(names)} OR {_ENDPOINT} IN {_within(names)} THEN {quoted(ledger)}"
    for ledger, names in _LEDGERS.items()
)
_COUNTS: Final = f"""
SELECT CASE {_LEDGER} END AS ledger, coalesce({column_name(c.API_KEY_ID)}, '') AS key,
  coalesce({column_name(c.RESPONSE_MODEL)}, {column_name(c.REQUEST_MODEL)}, '') AS model,
  coalesce({_ENDPOINT} = {quoted(BATCH_LINE)}, false) AS batch,
  count(*) FILTER ({column_name(c.OUTCOME)} IN ('completed', 'refused') AND {_API} NOT IN {_within(_SESSIONS)}
    AND NOT coalesce({column_name(c.BACKGROUND)}, false)) AS sure,
  (count(*) + coalesce(sum({column_name(c.RETRIES)}), 0))::BIGINT AS possible
FROM events
WHERE event = {quoted(c.CALL_EVENT)} AND time_ns >= $since AND time_ns < $until AND ledger IS NOT NULL
  AND coalesce({_ENDPOINT}, '') NOT IN {_within(_NO_REQUEST)}
  AND coalesce({column_name(c.BLOCK_CLASS)}, '') <> 'local'
  AND coalesce({column_name(c.IDENTIFIER_DELIVERY)}, '') <> 'not_sent'
  AND ({column_name(c.SERVER_ADDRESS)} IS NULL OR list_contains($hosts, {column_name(c.SERVER_ADDRESS)}))
GROUP BY ALL
"""  # noqa: S608 - names of our own contract


_BATCHED: Final = f"""
SELECT DISTINCT coalesce({column_name(c.API_KEY_ID)}, '') AS key FROM events
WHERE event = {quoted(c.CALL_EVENT)} AND {_ENDPOINT} = {quoted(_BATCH)} AND {column_name(c.OUTCOME)} = 'completed'
  AND time_ns >= $since AND time_ns < $until
"""  # noqa: S608 - names of our own contract
BATCHES_MADE: Final = f'{EVERYTHING} | {_ENDPOINT}="{_BATCH}"'
BATCH_RUNS: Final = 24 * HOUR  # a batch is run within that time


def recorded(events: Events, since: float, until: float, hosts: Iterable[str]) -> list[Recorded]:
    """What our record has between two moments (Unix seconds) of calls to these hosts."""
    rows = events.rows(_COUNTS, since=int(since * 1e9), until=int(until * 1e9), hosts=sorted(hosts))
    return [Recorded(**row) for row in rows]


def batched(events: Events, since: float, until: float) -> set[str]:
    """The keyed hashes of API keys with which batches were made that may have run between two moments."""
    rows = events.rows(_BATCHED, since=int((since - BATCH_RUNS) * 1e9), until=int(until * 1e9))
    return {row["key"] for row in rows}
