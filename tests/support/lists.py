"""Suspension lists for tests."""

from __future__ import annotations

from collections.abc import Mapping

from openai_safety_otel.ledger.suspensions import ListEntry, SuspensionStore, open_suspensions


def new_list(place: str, entries: Mapping[str, ListEntry] | None = None) -> SuspensionStore:
    """A list that `suspensions init` would have made, with these entries."""
    source = open_suspensions(place)
    assert source.create(entries or {}) is not None, "there is a list already"
    return source
