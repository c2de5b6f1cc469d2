"""Commands on real programs: Loki, and Chromium for the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.programs import Running, running
from support.browser import Browser

# An erasure is carried out in seconds instead of hours.
FAST = {
    "LOKI_COMPACTION_INTERVAL": "1s",
    "LOKI_DELETE_DELAY": "1s",
    "LOKI_ERASE_CANCEL_PERIOD": "1s",
    "LOKI_MAX_AGE": "10000h",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the built programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="module")
def loki() -> Iterator[Running]:
    with running("loki", env=FAST) as program:
        yield program


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as one:
        yield one
