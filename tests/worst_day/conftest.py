"""The whole shipped stack, hastened, for what must be true on the worst day."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hastened import EXPORTERS, MINUTE, Stack, stack
from webhooks.bench import SECRET, CaseApi

Command = Callable[..., str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the built programs, and minutes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(400 + 70 * MINUTE))


def environ(folder: Path, collector: str, provider: str) -> dict[str, str]:
    """What the operator sets for receivers and commands."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        **EXPORTERS,
        "OPENAI_WEBHOOK_SECRET": SECRET,
        "OPENAI_SAFETY_CASE_API_KEY": "sk-case",
        "OPENAI_BASE_URL": f"{provider}/v1",
        "OPENAI_SAFETY_STORE": str(folder / "journal.db"),
        "OPENAI_SAFETY_HMAC_KEY": "k" * 32,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }


def run(environment: dict[str, str], *arguments: str) -> str:
    """What `openai-safety` prints, in a process of its own."""
    command = [str(Path(sys.executable).with_name("openai-safety")), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a module."""
    with stack(tmp_path_factory.mktemp("whole")) as programs:
        yield programs


@pytest.fixture(scope="module")
def provider() -> Iterator[CaseApi]:
    """OpenAI's case API, scripted."""
    started = CaseApi()
    yield started
    started.close()
