"""Our side: how many requests the stored calls made, by ledger, API key and model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import moments, vocabulary
from openai_safety_otel.contract.moments import HOUR
from openai_safety_otel.instrumentation.extract.endpoints import ENDPOINTS
from openai_safety_otel.operations.batch import ENDPOINT as BATCH_LINE
from openai_safety_otel.operations.reconcile.compare import Opened, Recorded
from openai_safety_otel.operations.store import request_questions
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.loki import EVERYTHING
from openai_safety_otel.operations.store.schema import column_name

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
# A call of these is the beginning of any number of requests, which the provider runs or somebody else makes.
_BEGINS: Final = sorted({one.name for _, _, one in ENDPOINTS if one.api in _SESSIONS and one.inference})
_NO_REQUEST: Final = sorted(
    {one.name for _, _, one in ENDPOINTS if not one.inference and one.api != "moderations"}
)


_RUN_THERE: Final = request_questions.run_at_the_provider(begins=_BEGINS)
BATCHES_MADE: Final = f'{EVERYTHING} | {column_name(c.ENDPOINT)}="{_BATCH}"'
BATCH_RUNS: Final = 24 * HOUR  # a batch is run within that time
_BY_LEDGER: Final = request_questions.requests(
    _LEDGERS, sessions=_SESSIONS, no_request=_NO_REQUEST, batch_line=BATCH_LINE
)


def recorded(events: Events, since: float, until: float, hosts: Iterable[str]) -> list[Recorded]:
    """What our record has between two moments (Unix seconds) of calls to these hosts."""
    rows = events.rows(_BY_LEDGER, **_between(since, until), hosts=sorted(hosts))
    return [Recorded(**row) for row in rows]


def batched(events: Events, since: float, until: float) -> set[str]:
    """The keyed hashes of API keys with which batches were made that may have run between two moments."""
    rows = events.rows(request_questions.KEYS_OF, **_between(since - BATCH_RUNS, until), endpoint=_BATCH)
    return {row["key"] for row in rows}


def opened(events: Events, since: float, until: float) -> set[Opened]:
    """Ledger, key and model of what the provider may have run for calls that we have: sessions, tools, checks."""
    return {
        (row["ledger"], row["key"], row["model"])
        for row in events.rows(_RUN_THERE, **_between(since - HOUR, until))
    }


def _between(since: float, until: float) -> dict[str, int | str]:
    times = {"since": since, "until": until, "late": until + HOUR}
    return {f"{name}_ns": int(at * 1e9) for name, at in times.items()} | {
        f"{name}_day": moments.day(at) for name, at in times.items()
    }
