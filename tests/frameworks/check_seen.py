"""What the hook sees of each package: measured on the real one, and what `docs/seen.md` says."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel import end_user
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until

from .seen import WAYS, Way, run

TABLE = Path(__file__).parents[2] / "docs" / "seen.json"
ANN = Hasher(KEY).end_user("ann")
TAKE_ONE = {"responses", "chat", "images"}
LATE = 5.0  # seconds in which a record of a call that has returned is there
OF_THIS_GROUP = [one for one in WAYS if one.group == os.environ.get("GROUP", "frameworks")]


def verdict(telemetry: Telemetry, provider: Provider) -> dict[str, Any]:
    """What the record has of the requests that the provider got, and whether they were counted as unseen."""
    asked = [entry for entry in provider.ledger.calls() if not entry.endpoint.endswith(".connect")]
    until(lambda: len(telemetry.events) >= len(asked) or telemetry.points("openai_safety.unseen"), LATE)
    if len(telemetry.events) < len(asked):
        seen = "not seen"
    elif {ANN} == {entry.identifier for entry in asked}:
        seen = "with identifier"
    elif any(entry.api in TAKE_ONE for entry in asked):
        seen = "without identifier"
    else:
        seen = "without identifier: the API takes none"
    return {"seen": seen, "counted": bool(telemetry.points("openai_safety.unseen"))}


@pytest.mark.parametrize("one", OF_THIS_GROUP, ids=lambda one: f"{one.package} {one.name}")
def test_the_table_is_what_happens(
    one: Way,
    instrument: Instrument,
    telemetry: Telemetry,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each way, called for an end user; `SEEN_WRITE=1` writes what is found instead of comparing."""
    for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, provider.url)
    instrument(unseen=True)
    with end_user("ann"), contextlib.suppress(Exception):  # the stub's answer need not suit a library
        run(one.call, provider.url)
    assert len(provider.ledger) >= 1, "nothing was asked"
    found = {
        "package": f"{one.package} {importlib.metadata.version(one.package)}",
        "openai": importlib.metadata.version("openai"),
        **verdict(telemetry, provider),
    }
    key = f"{one.package} {one.name}"
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    if os.environ.get("SEEN_WRITE"):
        table[key] = found
        table = {f"{each.package} {each.name}": table.get(f"{each.package} {each.name}") for each in WAYS}
        TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    assert found == table.get(key)


def test_the_table_has_no_row_of_nothing() -> None:
    """Each row of the page is a way that is tried, in this order."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    assert list(table) == [f"{one.package} {one.name}" for one in WAYS]
