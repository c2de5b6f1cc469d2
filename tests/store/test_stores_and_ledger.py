"""The same questions over the same events in every store, against what the provider says it did."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.operations.report.build import Window
from openai_safety_otel.operations.store import questions
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.files import compact_files, open_files
from openai_safety_otel.operations.store.loki import Loki
from openai_safety_otel.operations.store.schema import COLUMNS
from openai_safety_otel.testing.ledger import LedgerEntry
from openai_safety_otel.testing.provider import Provider
from stack.programs import running
from support.clickhouse import ClickHouse
from support.stores import send

PRODUCT = """
from openai import APIError, OpenAI
from openai_safety_otel import SafetyInstrumentor, end_user
SafetyInstrumentor().instrument()
client = OpenAI(max_retries=0)
moderated = {"moderation": {"model": "omni-moderation-latest"}}
said = "hello", "[[flag]]", "[[refuse]]", "[[cyber]]", "[[flag-input]]", "[[filter]]", "[[identifier]]"
for number in range(60):
    text = said[number % 7]
    with end_user(f"user-{number % 5}"):
        try:
            client.responses.create(model="gpt-5", input=text, extra_body=moderated)
            client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": text}])
        except APIError:
            pass
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[LedgerEntry], Path]]:
    """The provider's ledger of a product's calls, and the folder of their events."""
    folder = tmp_path_factory.mktemp("recorded")
    with Provider() as provider:
        settings = {
            "OPENAI_BASE_URL": provider.url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_SAFETY_HMAC_KEY": "k" * 40,
            "OPENAI_SAFETY_INJECT_HOSTS": "127.0.0.1",
            "OPENAI_SAFETY_FILE_DIR": str(folder),
        }
        subprocess.run([sys.executable, "-c", PRODUCT], env={**os.environ, **settings}, check=True)
        yield list(provider.ledger.calls()), folder


def in_json(folder: Path) -> Events:
    return open_files([folder], compact=False)


def in_parquet(folder: Path) -> Events:
    compact_files([folder])
    return open_files([folder], compact=False)


@contextmanager
def in_loki(folder: Path) -> Iterator[Any]:
    with running("loki") as loki:
        for file in folder.glob("*.jsonl"):
            send(loki.url, file)
        with Loki(loki.url) as source, source.events(time.time() - 3600, time.time() + 60) as events:
            yield events


@contextmanager
def in_clickhouse(folder: Path) -> Iterator[Any]:
    if importlib.util.find_spec("chdb") is None:
        pytest.skip("make test-columns installs it")
    with open_files([folder], compact=False) as events:
        file = folder / "events.parquet"
        names = ", ".join(column.name for column in COLUMNS)
        events.database.execute(f"COPY (SELECT {names} FROM events) TO '{file}' (FORMAT parquet)")
    other = ClickHouse(folder / "clickhouse")
    other.insert(file)
    yield other
    other.close()


@pytest.mark.parametrize(
    "store", [in_json, in_parquet, in_clickhouse, pytest.param(in_loki, marks=pytest.mark.stack)]
)
def test_every_store_answers_what_the_providers_ledger_says(
    recorded: tuple[list[LedgerEntry], Path], store: Callable[[Path], AbstractContextManager[Any]]
) -> None:
    """Calls by end user and outcome, their blocks by type and their flags by category are the provider's own."""
    ledger, folder = recorded
    bound = Window(time.time() - 3600, time.time() + 60).bound
    with store(folder) as events:
        for view in questions.calls_views(None):
            getattr(events, "database", events).execute(view)
        outcomes, blocks, flags = (
            sorted(tuple(row.values()) for row in events.rows(question, **bound))
            for question in (questions.OUTCOMES, questions.BLOCKS, questions.FLAGS)
        )
    assert outcomes == counted((one.identifier, one.outcome) for one in ledger)
    assert blocks == counted((one.identifier, one.block_type) for one in ledger if one.block_type)
    assert flags == counted(
        (one.identifier, category)
        for one in ledger
        for category in {*(one.input_flagged or ()), *(one.output_flagged or ())}
    )
    assert len(blocks) > 5
    assert len(flags) > 3


def counted(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Each key with how often it is there."""
    return sorted((*key, number) for key, number in Counter(keys).items())
