"""`openai-safety webhooks` as people run it: a process, its messages, a drill through it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.ledger.journal import Journal, open_journal
from openai_safety_otel.operations.cli.group import app
from support.lists import new_list
from support.serving import Served
from webhooks.bench import CASE, SECRET, Bench, CaseApi, until, warning

Start = Callable[..., Served]


@pytest.fixture
def environ(tmp_path: Path, api: CaseApi) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "OPENAI_WEBHOOK_SECRET": SECRET,
        "OPENAI_API_KEY": "sk-general",
        "OPENAI_SAFETY_CASE_API_KEY": "sk-case",
        "OPENAI_BASE_URL": api.url + "/v1",
        "OPENAI_SAFETY_STORE": str(tmp_path / "journal.db"),
        "OPENAI_SAFETY_FILE_DIR": str(tmp_path / "events"),
        "OPENAI_SAFETY_HMAC_KEY": "k" * 32,
        "OPENAI_SAFETY_SUSPENSIONS": str(tmp_path / "suspensions.json"),
    }


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[Start]:
    started: list[Served] = []

    def run(*options: str, **more: str) -> Served:
        started.append(Served({**environ, **more}, *options))
        return started[-1]

    yield run
    for one in started:
        one.end()


@pytest.fixture
def journal(environ: dict[str, str]) -> Iterator[Journal]:
    opened = open_journal(environ["OPENAI_SAFETY_STORE"])
    yield opened
    opened.close()


def command(environ: dict[str, str], *arguments: str) -> Result:
    nothing = dict.fromkeys(os.environ)
    return CliRunner().invoke(app, list(arguments), env={**nothing, **environ})


def told(tmp_path: Path) -> str:
    return "".join(path.read_text() for path in (tmp_path / "events").rglob("*.jsonl"))


def test_a_webhook_through_the_command(
    start: Start, journal: Journal, api: CaseApi, environ: dict[str, str], tmp_path: Path
) -> None:
    """The command takes a webhook, reads its case, suspends, writes events, ends on SIGTERM."""
    api.case((200, CASE))
    new_list(environ["OPENAI_SAFETY_SUSPENSIONS"])
    served = start("--suspend-on", "warning")
    sender = Bench.__new__(Bench)
    sender.port = int(served.url.rstrip("/").rpartition(":")[2])
    assert sender.post(warning()).body == {"status": "accepted", "notice": "C-1"}
    until(lambda: [one.next_at for one in journal.notices()] == [None])
    assert served.stop() == (0, "")
    assert api.requests == [("/v1/safety/cases/C-1", "Bearer sk-case")]
    assert [(one.identifier, one.action) for one in journal.decisions()] == [
        (CASE["entity_identifier"], "suspend")
    ]
    assert CASE["entity_identifier"] in Path(environ["OPENAI_SAFETY_SUSPENSIONS"]).read_text()
    written = told(tmp_path)
    assert written.count('"openai_safety.notice"') >= 1
    assert written.count('"openai_safety.decision"') >= 1


def test_metrics_and_events_go_to_the_collector(start: Start, api: CaseApi) -> None:
    """With an OTLP endpoint in the environment, counters, open notices and the notice's event arrive there."""
    api.case((200, CASE))
    for path in ("/v1/metrics", "/v1/logs"):
        api.answers[path] = [(200, b"")]
    served = start(
        OTEL_EXPORTER_OTLP_ENDPOINT=api.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OPENAI_SAFETY_FILE_DIR="",
    )
    sender = Bench.__new__(Bench)
    sender.port = int(served.url.rstrip("/").rpartition(":")[2])
    sender.post(warning())
    until(lambda: "/v1/logs" in [path for path, _ in api.posted])
    assert served.stop() == (0, "")
    logs = "".join(body for path, body in api.posted if path == "/v1/logs")
    metrics = "".join(body for path, body in api.posted if path == "/v1/metrics")
    assert ("openai-safety-webhooks" in logs, "openai-safety-webhooks" in metrics) == (True, True)
    assert ("openai_safety.notice" in logs, CASE["entity_identifier"] in logs) == (True, True)
    names = ("openai_safety.webhooks", "openai_safety.notices", "openai_safety.notices.open")
    assert [name in metrics for name in names] == [True, True, True]
    assert CASE["entity_identifier"] not in metrics


def test_drill_goes_through_a_running_receiver(
    start: Start, journal: Journal, environ: dict[str, str], api: CaseApi, tmp_path: Path
) -> None:
    """A drill is accepted, told with traffic=drill, dated, reads no case; the next one closes it."""
    served = start()
    first = command(environ, "webhooks", "--drill", "warning", "--url", served.url, "--json")
    assert first.exit_code == 0, first.output
    answer = json.loads(first.stdout)
    (notice,) = journal.notices()
    assert answer == {"notice": notice.id, "type": "warning", "traffic": "drill", "emitted": True}
    assert (notice.traffic, notice.status, notice.look_up) == ("drill", "open", "none")
    assert (journal.fact("last_drill") or "").startswith("20")
    second = command(environ, "webhooks", "--drill", "identifier_blocked", "--url", served.url)
    assert "identifier_blocked accepted by http://127.0.0.1:" in second.stdout
    assert [(one.type, one.traffic) for one in journal.notices(open_only=True)] == [
        ("identifier_blocked", "drill")
    ]
    assert api.requests == []
    assert [(one.action, one.by) for one in journal.decisions()] == [("close", "drill")]
    served.stop()
    assert '"drill"' in told(tmp_path)


def test_a_notice_entered_by_hand_is_counted_and_read_by_the_receiver(
    start: Start, journal: Journal, environ: dict[str, str], api: CaseApi
) -> None:
    """The receiver on the same store reads the case of a notice from a mail; its webhook is a duplicate."""
    api.case((200, CASE))
    entered = command(environ, "notice", "open", "C-1")
    assert entered.exit_code == 0, entered.output
    served = start()
    until(lambda: [one.look_up for one in journal.notices()] == ["done"])
    sender = Bench.__new__(Bench)
    sender.port = int(served.url.rstrip("/").rpartition(":")[2])
    assert sender.post(warning()).body["status"] == "duplicate"
    until(lambda: [one.emitted for one in journal.notices()] == [True])
    (notice,) = journal.notices()
    assert (notice.identifier, notice.origin, notice.emitted) == (CASE["entity_identifier"], "manual", True)
    assert "count" not in notice.pending


def _refusing() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ([], {"OPENAI_WEBHOOK_SECRET": ""}, "no webhook secret: set OPENAI_WEBHOOK_SECRET"),
        ([], {"OPENAI_WEBHOOK_SECRET": "whsec_***"}, "starts with whsec_ but is not base64"),
        ([], {"OPENAI_WEBHOOK_SECRET": "whsec_"}, "too short: at least 24 bytes are needed"),
        ([], {"OPENAI_WEBHOOK_SECRET": "a"}, "too short: at least 24 bytes are needed"),
        ([], {"OPENAI_WEBHOOK_SECRET": "whsec_" + "QUFB" * 7 + "QUE="}, "too short"),
        ([], {"OPENAI_WEBHOOK_SECRET": f"{SECRET}, whsec_QUFB"}, "too short"),
        ([], {"OPENAI_SAFETY_WEBHOOK_SECRET": "x" * 23}, "too short"),
        (["--drill", "warning"], {"OPENAI_WEBHOOK_SECRET": "whsec_"}, "too short"),
        ([], {"OPENAI_SAFETY_NOTIFY_URL": "ftp://secret"}, "notify_url: expected an http or https URL"),
        ([], {"OPENAI_SAFETY_STORE": "/nowhere/at/all.db"}, "/nowhere/at/all.db: "),
        (["--suspend-on", "warning"], {"OPENAI_SAFETY_SUSPENSIONS": ""}, "automatic suspension needs"),
        (["--host", "192.0.2.1"], {}, "cannot listen on 192.0.2.1:8787"),
        (["--drill", "warning", "--url", "file:///etc/passwd"], {}, "expected an http or https URL"),
        (["--drill", "warning", "--url", _refusing()], {}, "the receiver did not answer"),
        (["--drill", "nonsense"], {}, "'nonsense' is not one of"),
    ],
)
def test_mistakes_are_one_clear_line(
    environ: dict[str, str], arguments: list[str], more: dict[str, str], message: str
) -> None:
    """A mistake ends with an exit code and one line on standard error that shows no secret."""
    result = command({**environ, **more}, "webhooks", *arguments)
    assert result.exit_code in {1, 2}
    assert result.stdout == ""
    assert message in result.stderr.splitlines()[-1]
    assert "***" not in result.stderr


def test_a_drill_with_the_wrong_secret_is_refused(start: Start, environ: dict[str, Any]) -> None:
    """The drill is a real one: with another secret the receiver refuses it and the command says so."""
    served = start()
    result = command(
        {**environ, "OPENAI_WEBHOOK_SECRET": "another-secret-of-somebody-else"},
        "webhooks",
        "--drill",
        "warning",
        "--url",
        served.url,
    )
    assert result.exit_code == 1
    assert "the receiver answered 400" in result.stderr


def test_events_that_go_nowhere_are_said(start: Start) -> None:
    """Without a destination for events the command says so at its start; it still receives."""
    served = start(OPENAI_SAFETY_FILE_DIR="")
    assert served.process.stderr is not None
    assert served.process.stderr.readline().startswith("note: events go nowhere: set OTEL_EXPORTER_OTLP_")


def test_help_has_examples(environ: dict[str, str]) -> None:
    """The help page ends with examples that can be copied."""
    result = command(environ, "webhooks", "--help")
    assert result.exit_code == 0
    assert "openai-safety webhooks --drill warning" in result.output.partition("Examples:")[2]
