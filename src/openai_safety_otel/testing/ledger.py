"""The stub provider's own account of what it did: the truth that telemetry is compared with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from openai_safety_otel.testing.scenarios import Act


@dataclass(slots=True)
class LedgerEntry:
    """One request as the provider saw it, and what it did with it.

    ``outcome`` and the ``block_*`` fields use the contract's words but come from the scenario that was
    played, never from the rules under test. ``attempt`` is 0 for a first try; ``retried`` says that a later
    attempt of the same request followed. ``finished`` is False while an answer is being sent and stays so
    when the client left or the provider cut the connection. ``key`` is the API key's id, never the key.
    """

    number: int
    api: str
    endpoint: str
    method: str
    path: str
    transport: str = "http"
    identifier: str | None = None
    identifier_place: str = "none"
    identifiers: dict[str, str | None] = field(default_factory=dict)
    scenario: str = ""
    model: str | None = None
    status: int = 0
    outcome: str = "completed"
    block_type: str | None = None
    block_class: str | None = None
    block_source: str | None = None
    code: str | None = None
    input_flagged: tuple[str, ...] | None = None
    output_flagged: tuple[str, ...] | None = None
    finish_reasons: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    response_id: str | None = None
    request_id: str = ""
    streamed: bool = False
    background: bool = False
    attempt: int = 0
    retried: bool = False
    finished: bool = False
    digest: str = ""
    at: float = 0.0
    key: str | None = None

    def adopt(self, act: Act) -> None:
        """Take over what an act says of outcome and block."""
        self.scenario, self.outcome, self.code = act.name, act.outcome, act.code
        self.block_type, self.block_class, self.block_source = (
            act.block_type,
            act.block_class,
            act.block_source,
        )

    def forget_answer(self) -> None:
        """The answer never arrived whole: nobody can know what it said."""
        self.input_flagged = self.output_flagged = self.input_tokens = self.output_tokens = None
        self.finish_reasons = ()

    def unblock(self) -> None:
        """This request itself went through: the outcome is told by a later one."""
        self.outcome = "completed"
        self.code = self.block_type = self.block_class = self.block_source = None


class Ledger:
    """All entries in the order the requests arrived; safe to read from any thread."""

    def __init__(self) -> None:
        self._entries: list[LedgerEntry] = []
        self._count = 0
        self._lock = threading.Lock()

    def open(self, **facts: Any) -> LedgerEntry:
        """Append an entry; a second attempt marks the one it repeats as retried."""
        with self._lock:
            self._count += 1
            entry = LedgerEntry(number=self._count, **facts)
            if entry.attempt:
                self._mark_retried(entry)
            self._entries.append(entry)
            return entry

    def _mark_retried(self, entry: LedgerEntry) -> None:
        before = (entry.digest, entry.attempt - 1, False)
        for earlier in reversed(self._entries):
            if (earlier.digest, earlier.attempt, earlier.retried) == before:
                earlier.retried = True
                return

    def calls(self) -> list[LedgerEntry]:
        """Logical calls: the last attempt of each."""
        return [entry for entry in self if not entry.retried]

    def clear(self) -> None:
        """Forget all entries; numbers go on."""
        with self._lock:
            self._entries.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """Every entry as plain data."""
        return [asdict(entry) for entry in self]

    def __iter__(self) -> Iterator[LedgerEntry]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, place: int) -> LedgerEntry:
        return self._entries[place]
