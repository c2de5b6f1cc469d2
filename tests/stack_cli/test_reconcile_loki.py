"""`reconcile` with a real Loki as our side: the same answer as from files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.usage import ADMIN_KEY
from stack.programs import Running
from support.services import CALLS, DOUBTFUL, SECRETS, SETTINGS, run_services
from support.stores import send


@pytest.fixture(scope="module")
def served(loki: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Provider, Path]]:
    """Two services with the hook, one without: their events in files and in Loki."""
    folder = tmp_path_factory.mktemp("served")
    with Provider() as provider:
        run_services(provider, folder, {"web": CALLS + DOUBTFUL, "search": CALLS, "jobs": CALLS})
        for file in sorted(folder.glob("*.jsonl")):
            send(loki.url, file)
        yield provider, folder


@pytest.fixture
def compared(
    loki: Running, served: tuple[Provider, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """``compared("loki", …)``: the answer from there."""
    provider, folder = served
    monkeypatch.chdir(tmp_path)
    for name, value in {**SETTINGS, "OPENAI_BASE_URL": provider.url, "OPENAI_ADMIN_KEY": ADMIN_KEY}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "keys.txt").write_text("".join(f"{name} {SECRETS[name]}\n" for name in ("web", "search")))
    places = {"files": ("--files", str(folder)), "loki": ("--loki-url", loki.url)}

    def run(place: str, *words: str) -> Any:
        audited = ("--keys", "keys.txt", "--json", "--by", "ann", "--why", "is everything seen?")
        done = CliRunner().invoke(app, ["reconcile", *audited, *places[place], *words])
        assert 0 == done.exit_code, done.output
        return json.loads(done.stdout)

    return run


def test_loki_and_files_give_the_same_comparison(compared: Any) -> None:
    """Every source with its counts, verdict and why: calls, sockets, batches; one service is dark."""
    found = compared("loki")
    assert compared("files") == found
    told = {(one["verdict"], one["key"], one["model"]) for one in found["sources"]}
    assert {
        *(("dark", "jobs", model) for model in ("gpt-5", "gpt-5-mini", "text-embedding-3-small")),
        ("cannot_tell", "web", "gpt-realtime"),
        ("cannot_tell", "web", "gpt-5-later"),
        ("cannot_tell", "web", "text-embedding-3-lines"),
        ("matched", "web", "gpt-5"),
        ("matched", "web", "gpt-5-socket"),
    } <= told
