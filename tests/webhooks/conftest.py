"""Fixtures: the scripted case API and receivers that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from webhooks.bench import Bench, CaseApi


@pytest.fixture
def api() -> Iterator[CaseApi]:
    started = CaseApi()
    yield started
    started.close()


@pytest.fixture
def make(api: CaseApi, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes receivers on one SQLite store (or the ``store`` given) and closes them."""
    benches: list[Bench] = []

    def build(store: str | None = None, **means: Any) -> Bench:
        benches.append(Bench(store or str(tmp_path / "journal.db"), api, **means))
        return benches[-1]

    yield build
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()
