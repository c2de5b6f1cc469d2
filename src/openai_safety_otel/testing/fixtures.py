"""The pytest fixtures, and the calls that they show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from openai_safety_otel.contract.record import CallRecord, Outcome
from openai_safety_otel.contract.vocabulary import Direction


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One finished call, as the telemetry has it."""

    record: CallRecord
    outcome: Outcome

    @property
    def blocked(self) -> bool:
        """Whether anything stopped it."""
        return self.outcome.name == "blocked"

    @property
    def refused(self) -> bool:
        """Whether the model declined."""
        return self.outcome.name == "refused"

    @property
    def identifier(self) -> str | None:
        """The identifier the provider saw (or would have seen)."""
        return self.record.identity.value

    def flagged(self, direction: Direction) -> tuple[str, ...]:
        """Flagged categories of one direction."""
        leg = self.record.moderation.legs.get(direction)
        return leg.categories if leg else ()

    def score(self, direction: Direction, category: str) -> float:
        """One moderation score, 0 where the call has none."""
        leg = self.record.moderation.legs.get(direction)
        return leg.scores.get(category, 0.0) if leg else 0.0


@dataclass(slots=True)
class SafetyCalls:
    """The calls that a test made, in the order in which they ended."""

    all: list[SeenCall] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[SeenCall]:
        return iter(self.all)

    def __getitem__(self, index: int) -> SeenCall:
        return self.all[index]

    def __call__(self, record: CallRecord, outcome: Outcome) -> None:
        """A listener of finished calls."""
        self.all.append(SeenCall(record, outcome))


@pytest.fixture
def openai_provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A `testing.provider.Provider`, with ``OPENAI_BASE_URL`` and a key set to it for this test."""
    from openai_safety_otel.testing.provider import Provider  # noqa: PLC0415 - needs the extra `demo`

    with Provider() as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield provider


@pytest.fixture
def safety_calls() -> Iterator[SafetyCalls]:
    """The calls that this test makes, instrumenting for its duration if nothing else has."""
    from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor  # noqa: PLC0415 - loaded with every pytest run

    instrumentor: Any = SafetyInstrumentor()
    ours = instrumentor.observer is None
    if ours:
        instrumentor.instrument(traffic="redteam")
    seen = SafetyCalls()
    instrumentor.observer.listeners.append(seen)
    try:
        yield seen
    finally:
        instrumentor.observer.listeners.remove(seen)
        if ours:
            instrumentor.uninstrument()
