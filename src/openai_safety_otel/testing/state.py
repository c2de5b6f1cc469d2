"""What the stub provider remembers between requests, and the faults a test sets."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openai_safety_otel.testing.scenarios import Act
from openai_safety_otel.testing.usage import Accounts
from openai_safety_otel.testing.wire import Answer, ProviderRequest


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer to give instead of the real one: a status, seconds to wait first, and headers."""

    status: int = 500
    hang: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A response kept for ``GET /responses/{id}``: the request that made it and what was played."""

    call: ProviderRequest
    act: Act
    created: int


@dataclass(slots=True)
class State:
    """Everything the provider keeps; ``block_after`` enforcement blocks end an identifier (0: never)."""

    block_after: int = 0
    enforced: Counter[str] = field(default_factory=Counter)
    responses: dict[str, Stored] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    sequence: Counter[str] = field(default_factory=Counter)
    accounts: Accounts = field(default_factory=Accounts)
    inner: Callable[[str, str, dict[str, Any], dict[str, str]], tuple[Answer, str]] = lambda *_: (
        Answer(501),
        "",
    )
    tag: str = field(default_factory=lambda: f"{time.time_ns() & 0xFFFFFFFF:08x}")

    def new_id(self, prefix: str) -> str:
        """A fresh id, readable and unique to this run."""
        self.sequence[prefix] += 1
        return f"{prefix}_{self.tag}{self.sequence[prefix]:08d}"

    def next_fault(self, endpoint: str) -> Fault | None:
        """The fault set for this endpoint, used up by asking."""
        waiting = self.faults.get(endpoint)
        return waiting.popleft() if waiting else None

    def is_blocked(self, identifier: str | None) -> bool:
        """Whether this identifier has had its enforcement blocks."""
        return bool(identifier and self.block_after and self.enforced[identifier] >= self.block_after)

    def count_block(self, identifier: str | None, act: Act) -> None:
        """Remember an enforcement block of this identifier."""
        if identifier and act.block_class == "enforcement":
            self.enforced[identifier] += 1
