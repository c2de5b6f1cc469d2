"""Suspension lists for tests."""

from __future__ import annotations

from collections.abc import Mapping

from openai_safety_otel.ledger.suspensions import Entry, Source, open_source


def new_list(place: str, entries: Mapping[str, Entry] | None = None) -> Source:
    """A list that `suspensions init` would have made, with these entries."""
    source = open_source(place)
    assert source.create(entries or {}) is not None, "there is a list already"
    return source
