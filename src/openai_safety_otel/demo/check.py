"""Do the files say what the provider did? Event by event, joined by the provider's request id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.schema import column_name
from openai_safety_otel.testing.ledger import LedgerEntry

_REQUEST = column_name(c.PROVIDER_REQUEST_ID)
# What is compared: a name for the reader, the event's column, and the same fact in the ledger.
_FACTS = (
    ("endpoint's API", column_name(c.API), lambda entry: entry.api),
    ("outcome", column_name(c.OUTCOME), lambda entry: entry.outcome),
    ("block type", column_name(c.BLOCK_TYPE), lambda entry: entry.block_type),
    ("block class", column_name(c.BLOCK_CLASS), lambda entry: entry.block_class),
    ("attempts after the first", column_name(c.RETRIES), lambda entry: entry.attempt or None),
    ("input flagged", column_name(c.FLAGGED["input"]), lambda entry: _flag(entry.input_flagged)),
    ("output flagged", column_name(c.FLAGGED["output"]), lambda entry: _flag(entry.output_flagged)),
)


@dataclass(frozen=True, slots=True)
class Differences:
    """How many calls were compared, and every difference in words."""

    calls: int
    differences: tuple[str, ...]


def _flag(categories: tuple[str, ...] | None) -> bool | None:
    return None if categories is None else bool(categories)


def count_calls(events: Events) -> int:
    """Call events in the files so far."""
    found = events.rows("SELECT count(*) AS n FROM events WHERE event = $event", event=c.CALL_EVENT)
    return int(found[0]["n"])


def count_refused(events: Events, identifier: str) -> int:
    """Calls of this identifier that we refused ourselves, by a decision."""
    found = events.rows(
        f"SELECT count(*) AS n FROM events WHERE {column_name(c.BLOCK_TYPE)} = $block "  # noqa: S608 - our names
        f"AND {column_name(c.USER_HASH)} = $identifier",
        block="suspended_locally",
        identifier=identifier,
    )
    return int(found[0]["n"])


def compare(entries: Iterable[LedgerEntry], events: Events) -> Differences:
    """Compare the ledger's logical calls with the events of the files, both ways."""
    rows = events.rows("SELECT * FROM events WHERE event = $event", event=c.CALL_EVENT)
    told = {row[_REQUEST]: row for row in rows if row[_REQUEST]}
    differences: list[str] = []
    calls = 0
    for entry in entries:
        calls += 1
        row = told.pop(entry.request_id, None)
        differences += _differences(entry, row)
    differences += [f"an event of request {request}, which the provider never saw" for request in told]
    nameless = len([row for row in rows if not row[_REQUEST]])
    twice = len(rows) - nameless - len({row[_REQUEST] for row in rows if row[_REQUEST]})
    if twice:
        differences.append(f"two events each of {counted(twice, 'call')}")
    if nameless:
        differences.append(f"{counted(nameless, 'event')} without a request id")
    return Differences(calls, tuple(differences))


def _differences(entry: LedgerEntry, row: Mapping[str, Any] | None) -> list[str]:
    call = f"{entry.endpoint} {entry.request_id} ({entry.scenario})"
    if row is None:
        return [f"{call}: no event"]
    found = [
        f"{call}: {name} is {row[column]} in the files, {fact(entry)} at the provider"
        for name, column, fact in _FACTS
        if row[column] != fact(entry)
    ]
    if entry.identifier and row[column_name(c.USER_HASH)] != entry.identifier:
        found.append(f"{call}: another identifier than the provider got")
    return found
