"""The demo: its comparison with the ledger, the whole run, and what is left when it is interrupted."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.demo.check import compare
from openai_safety_otel.instrumentation.signals.files import EventFile
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.testing.ledger import LedgerEntry
from support.waiting import until

ENTRY = LedgerEntry(
    number=1,
    api="responses",
    endpoint="responses.create",
    method="POST",
    path="/v1/responses",
    identifier="abc",
    scenario="cyber",
    outcome="blocked",
    block_type="cyber_policy",
    block_class="enforcement",
    request_id="req_1",
    input_flagged=("violence",),
)
FACTS: dict[str, Any] = {
    c.API: "responses",
    c.OUTCOME: "blocked",
    c.BLOCK_TYPE: "cyber_policy",
    c.BLOCK_CLASS: "enforcement",
    c.USER_HASH: "abc",
    c.PROVIDER_REQUEST_ID: "req_1",
    c.FLAGGED["input"]: True,
}
CALL = "responses.create req_1 (cyber)"


def differences(folder: Path, entries: list[LedgerEntry], *events: dict[str, Any]) -> tuple[str, ...]:
    writer = EventFile(folder, 1, 1, {"service.name": "chat"})
    for number, attributes in enumerate(events):
        writer.emit(SafetyEvent(name=c.CALL_EVENT, time_ns=10**18 + number, attributes=attributes))
    writer.close()
    with open_files([folder], compact=False) as read:
        verdict = compare(entries, read)
    assert verdict.calls == len(entries)
    return verdict.differences


@pytest.mark.parametrize(
    ("entries", "events", "expected"),
    [
        ([ENTRY], [FACTS], ()),
        ([replace(ENTRY, identifier=None)], [FACTS], ()),
        ([ENTRY], [], (f"{CALL}: no event",)),
        ([], [FACTS], ("an event of request req_1, which the provider never saw",)),
        ([ENTRY], [FACTS, FACTS], ("two events each of 1 call",)),
        (
            [ENTRY],
            [{**FACTS, c.OUTCOME: "completed"}],
            (f"{CALL}: outcome is completed in the files, blocked at the provider",),
        ),
        (
            [ENTRY],
            [{**FACTS, c.BLOCK_TYPE: "bio_policy"}],
            (f"{CALL}: block type is bio_policy in the files, cyber_policy at the provider",),
        ),
        (
            [replace(ENTRY, attempt=1)],
            [FACTS],
            (f"{CALL}: attempts after the first is None in the files, 1 at the provider",),
        ),
        (
            [ENTRY],
            [{**FACTS, c.FLAGGED["input"]: False}],
            (f"{CALL}: input flagged is False in the files, True at the provider",),
        ),
        (
            [ENTRY],
            [{**FACTS, c.USER_HASH: "xyz"}],
            (f"{CALL}: another identifier than the provider got",),
        ),
        ([], [{c.API: "responses"}], ("1 event without a request id",)),
    ],
)
def test_every_difference_between_files_and_ledger_is_named(
    tmp_path: Path, entries: list[LedgerEntry], events: list[dict[str, Any]], expected: tuple[str, ...]
) -> None:
    """Equal accounts give no difference; each kind of lie, loss or invention gives one sentence about it."""
    assert differences(tmp_path, entries, *events) == expected


def start(tmp_path: Path, **environment: str) -> subprocess.Popen[str]:
    """The demo in a process of its own, with its temporary files under ``tmp_path``."""
    (tmp_path / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "openai_safety_otel.demo"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "100", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A test run in the background ignores Ctrl-C, and so would what it starts.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def processes(tmp_path: Path) -> list[str]:
    """Commands of running processes whose environment names this test's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(tmp_path).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def serving(tmp_path: Path) -> bool:
    log = tmp_path / "demo-out" / "app.log"
    return log.exists() and "running on" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle ends every process, and removes the key and the folder."""
    demo = start(tmp_path)
    assert until(lambda: serving(tmp_path), 60)
    demo.send_signal(number)
    said, _ = demo.communicate(timeout=60)
    assert (demo.returncode, said.splitlines()[-1]) == (130, "interrupted; nothing is left behind")
    assert processes(tmp_path) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["tmp"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child's life to its parent's")
def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    """Even kill -9 of the demo ends the app that it started."""
    demo = start(tmp_path)
    assert until(lambda: serving(tmp_path), 60)
    assert len(processes(tmp_path)) == 2
    demo.kill()
    demo.communicate(timeout=60)
    assert until(lambda: processes(tmp_path) == [], 60)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """A demo-out that the demo did not make is not touched, and the demo says so."""
    mine = tmp_path / "demo-out" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    demo = start(tmp_path)
    said, _ = demo.communicate(timeout=60)
    place = mine.parent
    expected = f"{place} exists and was not made by the demo; give another folder with --out"
    assert (demo.returncode, said.strip(), mine.read_text()) == (1, expected, "mine")


def test_the_whole_demo(tmp_path: Path) -> None:
    """Thirty users, equal accounts, the runbook to the refused call, a page; then no process.

    What it printed can be pasted, into a shell that knows nothing of this installation.
    """
    demo = start(tmp_path)
    said, _ = demo.communicate(timeout=280)
    steps = [
        line.strip().split()[2] for line in said.splitlines() if line.strip().startswith("$ openai-safety")
    ]
    assert demo.returncode == 0, said
    assert "130 calls: the files say what the provider did" in said
    assert "403 end_user_suspended, refused before it left" in said
    assert steps == ["whois", "investigate", "decide", "report"]
    assert (tmp_path / "demo-out" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert processes(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    kept = tmp_path / "demo-out" / "hmac.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    shown = [line.strip().removeprefix("$ ") for line in said.splitlines()]
    printed = [line for line in shown if line.startswith((". ", "openai-safety "))]
    # The key, the list and the notices have their own lines; the last two are the advice at the end.
    assert [line.split()[:2][-1] for line in printed] == [
        "suspensions",
        f"{tmp_path}/demo-out/env.sh",
        *steps,
        f"{tmp_path}/demo-out/env.sh",
        "report",
        "queue",
    ]
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    script = "\n".join(["set -e", printed[1], *printed])
    again = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert re.search(r"^user-\d+$", again.stdout, re.MULTILINE)
    assert again.stdout.count(" suspended: their calls are refused") == 1
    (install,) = [shlex.split(line) for line in shown if line.startswith("pip install ")]
    assert install == [
        "pip",
        "install",
        f"{Path(__file__).parents[1]}[otlp,cli]",
    ]  # nothing is on an index yet
