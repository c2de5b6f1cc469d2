"""Every API that the hook records, against the provider stub's own ledger: what was seen is matched."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from openai_safety_otel.operations.reconcile.compare import Names, compare
from openai_safety_otel.operations.reconcile.ours import recorded
from openai_safety_otel.operations.reconcile.provider import LEDGERS, Administration
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.usage import ADMIN_KEY
from support.telemetry import Instrument

pytest.importorskip("openai.types.admin", reason="older SDKs lack some of these APIs")

TIMES = 8  # above the least that is compared
SOUND = ("a.wav", b"sound")
TURN: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}


def _drained(client: Any) -> None:
    list(client.responses.create(model="gpt-5-stream", input="hello", stream=True))


def _fetched(client: Any) -> None:
    made = client.responses.create(model="gpt-5-fetched", input="hello")
    client.responses.retrieve(made.id)
    client.responses.input_tokens.count(model="gpt-5-fetched", input="hello")


def _left(client: Any) -> None:
    with client.chat.completions.create(model="gpt-5-left", **TURN, stream=True) as stream:
        next(iter(stream))


def _blocked(client: Any) -> None:
    with contextlib.suppress(openai.APIError):
        client.responses.create(model="gpt-5-blocked", input="[[cyber]]")


def _retried(client: Any) -> None:
    client.responses.create(model="gpt-5-retried", input="[[500:1]] hello")


# model: what calls it, and what the comparison says of it where the provider counts rejected calls, and where not
CALLS: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "gpt-5": (lambda c: c.responses.create(model="gpt-5", input="hello"), "matched", "matched"),
    "gpt-5-stream": (_drained, "matched", "matched"),
    "gpt-5-fetched": (_fetched, "matched", "matched"),
    "gpt-5-chat": (lambda c: c.chat.completions.create(model="gpt-5-chat", **TURN), "matched", "matched"),
    "gpt-5-left": (_left, "cannot_tell", "cannot_tell"),
    "gpt-5-blocked": (_blocked, "cannot_tell", ""),
    "gpt-5-retried": (_retried, "cannot_tell", "matched"),
    "davinci": (lambda c: c.completions.create(model="davinci", prompt="hello"), "matched", "matched"),
    "embed": (lambda c: c.embeddings.create(model="embed", input="hello"), "matched", "matched"),
    "image": (lambda c: c.images.generate(model="image", prompt="a boat"), "matched", "matched"),
    "moderation": (lambda c: c.moderations.create(model="moderation", input="hello"), "matched", "matched"),
    "speech": (
        lambda c: c.audio.speech.create(model="speech", voice="alloy", input="hello"),
        "matched",
        "matched",
    ),
    "hears": (lambda c: c.audio.transcriptions.create(model="hears", file=SOUND), "matched", "matched"),
    "translates": (
        lambda c: c.audio.translations.create(model="translates", file=SOUND),
        "matched",
        "matched",
    ),
}


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
@pytest.mark.parametrize("counts_failures", [True, False], ids=["rejected calls count", "they do not"])
def test_what_the_hook_sees_is_never_dark(
    tmp_path: Path, instrument: Instrument, monkeypatch: pytest.MonkeyPatch, counts_failures: bool
) -> None:
    """Each API's calls stand in the right ledger and match; doubtful ones are told as such, whatever is counted."""
    begin = time.time() // 60 * 60
    with Provider() as provider:
        provider.state.accounts.counts_failures = counts_failures
        instrumentor = instrument(file_dir=str(tmp_path), inject_hosts="127.0.0.1")
        with OpenAI(api_key="sk-1", base_url=provider.url, max_retries=1) as client:
            for _ in range(TIMES):
                for call, _, _ in CALLS.values():
                    call(client)
        instrumentor.uninstrument()
        monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
        counted = Administration(ADMIN_KEY).counted(begin, begin + 180)
    with open_files([tmp_path]) as events:
        ours = recorded(events, begin, begin + 180, {"127.0.0.1"})
    found = compare(counted, ours, since=0, until=3600, held={}, names=Names({}, {}))
    expected = {model: row[1] if counts_failures else row[2] for model, row in CALLS.items()}
    assert {model: verdict for model, verdict in expected.items() if verdict} == {
        one.model: one.verdict for one in found.sources if one.provider
    }
    assert set(LEDGERS) - {"decisions"} == {one.ledger for one in found.sources}
