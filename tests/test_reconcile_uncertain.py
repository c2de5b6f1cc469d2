"""`reconcile` blames no key for what may have been seen under another name, and says when it cannot read the books."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.cli.reconcile import summary
from openai_safety_otel.operations.reconcile.compare import Comparison, Counted, Names, Recorded, compare
from openai_safety_otel.operations.reconcile.tell import comparison_events
from openai_safety_otel.testing.provider import Provider
from support.services import SECRETS, compares, run_services

HELD = {"key_web": {"hash-web"}, "key_jobs": {"hash-jobs"}}
NAMES = Names({"proj_1": "Shop"}, {"key_web": "web", "key_jobs": "jobs"})
NAMELESS = """
for number in range(10):
    client.images.generate(prompt="a boat")
    client.moderations.create(input="hello")
    client.responses.create(model="gpt-5", input="hello")
"""


def theirs(requests: int, key: str = "key_web", model: str = "gpt-5", ledger: Any = "completions") -> Counted:
    return Counted(ledger, "proj_1", key, model, requests)


def mine(
    sure: int, key: str = "hash-web", model: str = "gpt-5", ledger: Any = "completions", elsewhere: int = 0
) -> Recorded:
    return Recorded(ledger, key, model, sure, sure, elsewhere=elsewhere)


def compared(counted: list[Counted], recorded: list[Recorded], **more: Any) -> Comparison:
    return compare(counted, recorded, since=0, until=86_400, held=HELD, names=NAMES, **more)


def rows(found: Comparison) -> list[tuple[str, str, str, int, int, int]]:
    return [
        (one.verdict, one.key, one.model, one.provider, one.ours, one.dark)
        for one in found.sources
        if one.provider
    ]


def test_calls_of_an_unknown_key_may_be_those_that_are_missing() -> None:
    """A service with another HMAC key records its API key under a hash that the held key does not give."""
    found = compared([theirs(100), theirs(90, "key_jobs")], [mine(100), mine(90, key="hash-x")])
    assert [("cannot_tell", "jobs", "gpt-5", 90, 0, 0), ("matched", "web", "gpt-5", 100, 100, 0)] == rows(
        found
    )
    assert "under another API key, model or host" in found.sources[0].why
    assert [("dark", "jobs", "gpt-5", 90, 0, 70)] == rows(
        compared([theirs(90, "key_jobs")], [mine(20, key="hash-x")])
    )


def test_calls_under_another_name_of_the_model_may_be_those_that_are_missing() -> None:
    """The provider's name of a model is not always the one that the app or the answer gave."""
    renamed = [mine(50, model="text-embedding-ada-002", ledger="embeddings")]
    counted = [theirs(50, model="text-embedding-ada-002-v2", ledger="embeddings")]
    assert ["cannot_tell"] == [one[0] for one in rows(compared(counted, renamed))]
    others = [mine(50, "hash-jobs", "text-embedding-ada-002", "embeddings")]
    assert ["dark"] == [one[0] for one in rows(compared(counted, others))]


@pytest.mark.parametrize(
    ("provider", "ours"),
    [
        ("gpt-4-0613", "gpt-4"),
        ("omni-moderation-2024-09-26", "omni-moderation-latest"),
        ("dall-e-2", ""),
    ],
)
def test_an_alias_or_no_model_at_all_is_compared_with_what_it_stood_for(provider: str, ours: str) -> None:
    """Where the key has one model in that ledger, calls that name none went to it."""
    found = compared([theirs(50, model=provider)], [mine(50, model=ours)])
    assert [("matched", 50, 50)] == [(one.verdict, one.provider, one.ours) for one in found.sources]


def test_calls_that_went_by_a_gateway_may_be_those_that_are_missing() -> None:
    """We saw them go to a host that is not the provider's, with a key of the gateway's."""
    found = compared([theirs(50)], [Recorded("completions", "hash-x", "gpt-5", 0, 0, elsewhere=50)])
    assert [("cannot_tell", "web", "gpt-5", 50, 0, 0)] == rows(found)
    assert 1 == len(found.sources)


def test_what_sessions_and_tools_ran_at_the_provider_is_not_dark() -> None:
    """One call opens a session of many requests; whether its tools are counted apart is not documented."""
    counted = [theirs(50, model="gpt-realtime"), theirs(40, model="gpt-image-1", ledger="images")]
    opened = {("completions", "hash-web", "gpt-realtime"), ("images", "hash-web", "")}
    assert ["cannot_tell", "cannot_tell"] == [one[0] for one in rows(compared(counted, [], opened=opened))]
    others = {("completions", "hash-jobs", "gpt-realtime"), ("completions", "hash-web", "gpt-5")}
    assert ["dark", "dark"] == [one[0] for one in rows(compared(counted, [], opened=others))]


def test_a_source_that_was_seen_in_part_says_what_else_it_may_be() -> None:
    """Dark is what is missing; that a tool's turns may be requests of their own stands beside it."""
    found = compared([theirs(100)], [mine(50)])
    assert [("dark", "web", "gpt-5", 100, 50, 50)] == rows(found)
    assert "seen in part: a process without the hook, or hosted tools' turns" in found.sources[0].why


# -- the command ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Provider, Path]]:
    """Two services with the hook, which name no model where they need not."""
    folder = tmp_path_factory.mktemp("served")
    with Provider() as provider:
        run_services(provider, folder, {"web": NAMELESS, "search": NAMELESS})
        yield provider, folder


@pytest.fixture(autouse=True)
def place(served: tuple[Provider, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of whoever compares."""
    compares(served, tmp_path, monkeypatch, "web", "search")
    (tmp_path / "keys.txt").chmod(0o600)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["reconcile", "--keys", "keys.txt", *words, "--by", "ann", "--why", "x"])


def test_calls_that_name_no_model_are_no_darkness() -> None:
    """An image's answer names none either, and the provider counts it under the one that was meant."""
    found = json.loads(run("--json").stdout)
    assert {("matched", 10, 10)} == {
        (one["verdict"], one["provider"], one["ours"]) for one in found["sources"]
    }


def test_a_key_that_goes_by_another_name_at_the_provider_is_said_and_blames_nobody(place: Path) -> None:
    """A typing error in the file of keys does not make a service dark whose every call was recorded."""
    (place / "keys.txt").write_text(f"Web {SECRETS['web']}\n")
    done = run("--json")
    assert "Web: no API key of a project with traffic has this name or id\n" in done.stderr
    assert 0 == json.loads(done.stdout)["dark"]


def test_less_than_an_hour_says_that_it_cannot_be_told() -> None:
    """That nothing is dark is not what is said."""
    found = compare([theirs(60)], [mine(20)], since=0, until=3000, held=HELD, names=NAMES)
    said = "The provider counts 60 requests, our record has 20; 33.3% of the provider's have one of ours beside them."
    assert [said, "Dark: 0. Cannot tell: 60 of the provider's."] == list(summary(found))[:2]
    event = next(comparison_events(found, 3600))
    assert "the provider counts 60 requests, 0 not seen here, of 60 it cannot be told" == event.body


WRONG = "it is no answer of the administration API"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "<html>Sign in</html>", WRONG),
        (200, '{"hello": 1}', WRONG),
        (200, '{"data": [{"results": [{}]}], "has_more": false}', WRONG),
        (200, '{"data": [], "has_more": true, "next_page": null}', WRONG),
        (404, "{}", "it answered 404"),
    ],
    ids=["a page", "another answer", "another result", "no cursor", "no ledger at all"],
)
def test_what_is_not_the_providers_count_is_an_error(
    monkeypatch: pytest.MonkeyPatch, status: int, body: str, said: str
) -> None:
    """Never a count of 0: it would say that nothing is dark, and end the alert."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", "text/html" if body.startswith("<") else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        done = run()
        server.shutdown()
    expected = f"Error: the provider's count cannot be read: {said}; is OPENAI_BASE_URL right?\n"
    assert (1, expected) == (done.exit_code, done.stderr)


def test_an_empty_record_is_said(place: Path) -> None:
    """All is dark then, or the events are somewhere else."""
    (place / "empty").mkdir()
    done = run("--files", "empty")
    assert "our record has no call of this time: are these the right events?\n" in done.stderr
    assert "Dark: 60." in done.stdout
