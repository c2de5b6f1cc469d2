"""Suspension lists for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openai_safety_otel.ledger.suspensions import ListEntry, SuspensionStore, open_suspensions
from openai_safety_otel.ledger.suspensions.refresher import Refresher

Drops = list[tuple[str, str]]
Follow = Callable[[str], tuple[Refresher, Drops]]


def new_list(place: str, entries: Mapping[str, ListEntry] | None = None) -> SuspensionStore:
    """A list that `suspensions init` would have made, with these entries."""
    source = open_suspensions(place)
    assert source.create(entries or {}) is not None, "there is a list already"
    return source
