"""Event files and standard output: format, rotation, pruning, forks, exits, failures."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.signals import otlp_json
from openai_safety_otel.instrumentation.signals.background import Background
from openai_safety_otel.instrumentation.signals.files import EventFile
from openai_safety_otel.instrumentation.signals.sink import EventSink
from openai_safety_otel.instrumentation.signals.stdout import stdout_events
from openai_safety_otel.operations.store.files import find_files

SECOND = 1_767_225_600_000_000_000


def event(number: int = 0, **more: Any) -> SafetyEvent:
    return SafetyEvent(name=c.CALL_EVENT, time_ns=SECOND + number, attributes={"n": number, **more})


def lines(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every file's lines after its header, parsed; a broken line fails the test."""
    found = {}
    for path in sorted(folder.iterdir()):
        first, *rest = path.read_bytes().splitlines(keepends=True)
        assert first == otlp_json.header(path.name)
        found[path.name] = [json.loads(line) for line in rest]
    return found


def test_the_first_thousand_bytes_never_change(tmp_path: Path) -> None:
    """A file receiver knows a file by its first 1,000 bytes: a header of no event, another one in each file."""
    header = otlp_json.header("openai-safety-chat-20261121T160000-1-abcdef.0001.jsonl")
    assert (1024, b"\n", []) == (len(header), header[-1:], json.loads(header)["resourceLogs"])


def numbers(parsed: list[dict[str, Any]]) -> list[int]:
    found = []
    for line in parsed:
        for record in line["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
            found += [int(pair["value"]["intValue"]) for pair in record["attributes"] if pair["key"] == "n"]
    return found


def script(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a piece of Python that has ``folder``, ``event`` and ``EventFile``."""
    head = f"""
        import os, sys
        from openai_safety_otel.contract.record import SafetyEvent
        from openai_safety_otel.instrumentation.signals.files import EventFile
        folder = {str(tmp_path)!r}
        def event(n, **more):
            return SafetyEvent(name="openai_safety.call", time_ns=1, attributes={{"n": n, **more}})
    """
    code = textwrap.dedent(head) + textwrap.dedent(text)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_evidence_is_kept_apart_for_its_owner(tmp_path: Path) -> None:
    """Events are 0640 in 0750, for a collector of the same group; evidence is 0600 in a 0700 folder of its own."""
    folder = tmp_path / "new" / "events"
    sink = EventSink.from_settings(Settings(file_dir=str(folder)))
    sink.emit(SafetyEvent(c.CALL_EVENT, 1, {"n": 1}))
    sink.emit(SafetyEvent(c.EVIDENCE_EVENT, 2, {"n": 2}, scope=c.EVIDENCE_SCOPE))
    sink.close()
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    modes = {
        str(path.relative_to(folder).parent): (
            stat.S_IMODE(path.stat().st_mode),
            stat.S_IMODE(path.parent.stat().st_mode),
            c.EVIDENCE_EVENT in path.read_text(),
        )
        for path in found
    }
    assert {".": (0o640, 0o750, False), "evidence": (0o600, 0o700, True)} == modes
    assert found == find_files([folder]), "the commands find both"


def test_a_line_is_one_otlp_json_export(tmp_path: Path) -> None:
    """A line holds resource, scope and record exactly as OTLP's JSON mapping spells every kind of value."""
    writer = EventFile(tmp_path, 1, 1, {"service.name": "chat"})
    writer.emit(
        SafetyEvent(
            name=c.CALL_EVENT,
            time_ns=SECOND,
            attributes={"s": "ü", "b": True, "i": 7, "d": 0.5, "nan": float("nan"), "l": ("a", "b")},
            body="done",
            severity="WARN",
            trace_id=1,
            span_id=2,
            trace_flags=1,
        )
    )
    assert writer.flush()
    (only,) = lines(tmp_path).values()
    record = {
        "timeUnixNano": str(SECOND),
        "observedTimeUnixNano": str(SECOND),
        "severityNumber": 13,
        "severityText": "WARN",
        "eventName": "openai_safety.call",
        "attributes": [
            {"key": "s", "value": {"stringValue": "ü"}},
            {"key": "b", "value": {"boolValue": True}},
            {"key": "i", "value": {"intValue": "7"}},
            {"key": "d", "value": {"doubleValue": 0.5}},
            {"key": "nan", "value": {"doubleValue": "NaN"}},
            {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}},
            {"key": "event.name", "value": {"stringValue": "openai_safety.call"}},
        ],
        "body": {"stringValue": "done"},
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "2",
        "flags": 1,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "chat"}}]}
    scope = {"scope": {"name": "openai_safety_otel"}, "logRecords": [record]}
    assert only == [{"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}]
    writer.close()


def test_a_file_rotates_by_size_and_only_whole_lines_are_kept(tmp_path: Path) -> None:
    """Rotation keeps each file under its size, loses no line of the kept ones, removes the oldest."""
    writer = EventFile(tmp_path, 0.01, 3, {"service.name": "chat"})
    for number in range(400):
        writer.emit(event(number))
    assert writer.flush()
    kept = lines(tmp_path)
    together = [number for parsed in kept.values() for number in numbers(parsed)]
    assert len(kept) == 4
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000
    assert together == list(range(400 - len(together), 400))
    assert [name.rpartition(".")[0].rpartition(".")[0] for name in kept] == [
        file_of(writer).partition(".")[0]
    ] * 4
    writer.close()


def file_of(writer: EventFile) -> str:
    assert writer._target is not None
    return writer._target.path.name


def test_leftovers_of_ended_processes_are_pruned_but_a_running_one_is_left_alone(tmp_path: Path) -> None:
    """A start removes the oldest files of ended processes of this service; running and foreign files stay."""
    running = EventFile(tmp_path, 1, 0, {"service.name": "chat"})
    running.emit(event())
    assert running.flush()
    for day in range(1, 6):
        left = tmp_path / f"openai-safety-chat-2026010{day}T000000-7-abcdef.0001.jsonl"
        left.write_text("{}\n")
        os.utime(left, (day, day))
    (tmp_path / "openai-safety-other-20260101T000000-7-abcdef.0001.jsonl").write_text("{}\n")
    (tmp_path / "notes.txt").write_text("{}\n")
    starting = EventFile(tmp_path, 1, 2, {"service.name": "chat"})
    starting.emit(event())
    assert starting.flush()
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes.txt",
        "openai-safety-other-20260101T000000-7-abcdef.0001.jsonl",
        "openai-safety-chat-20260104T000000-7-abcdef.0001.jsonl",
        "openai-safety-chat-20260105T000000-7-abcdef.0001.jsonl",
        file_of(running),
        file_of(starting),
    }
    running.close()
    starting.close()


def test_forked_and_spawned_workers_write_files_of_their_own(tmp_path: Path) -> None:
    """Four forked workers, a pool's workers and their parent each have a file, every event is once."""
    done = script(
        tmp_path,
        """
        import multiprocessing
        writer = EventFile(folder, 100, 5, {"service.name": "chat"})
        def work(start):
            for n in range(start, start + 50):
                writer.emit(event(n, pid=os.getpid()))
        if __name__ == "__main__":
            work(0)
            children = []
            for at in range(1, 5):
                child = os.fork()
                if child == 0:
                    work(at * 50)
                    sys.exit(0)
                children.append(child)
            for child in children:
                os.waitpid(child, 0)
            pool = [multiprocessing.get_context("fork").Process(target=work, args=(250,))]
            for one in pool:
                one.start()
            for one in pool:
                one.join()
            work(300)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    kept = lines(tmp_path)
    assert sorted(number for parsed in kept.values() for number in numbers(parsed)) == list(range(350))
    assert sorted(len(parsed) for parsed in kept.values()) == [50, 50, 50, 50, 50, 100]


def test_events_of_exit_handlers_are_written(tmp_path: Path) -> None:
    """What is emitted right before the end, and by an exit handler registered later, reaches the file."""
    done = script(
        tmp_path,
        """
        import atexit
        writer = EventFile(folder, 100, 5, {"service.name": "chat"})
        atexit.register(lambda: writer.emit(event(1000)))
        for n in range(1000):
            writer.emit(event(n))
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (only,) = lines(tmp_path).values()
    assert numbers(only) == list(range(1001))


def test_a_line_that_does_not_fit_on_the_disk_is_taken_back(tmp_path: Path) -> None:
    """Where the disk takes half a line, the file ends with the last whole one and the rest is counted."""
    done = script(
        tmp_path,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        reasons = []
        writer = EventFile(folder, 100, 5, {"service.name": "chat"}, on_drop=reasons.append)
        for n in range(100):
            writer.emit(event(n))
        writer.flush()
        print(len(reasons), set(reasons))
        """,
    )
    (only,) = lines(tmp_path).values()
    kept = len(only)
    assert 0 < kept < 100
    assert numbers(only) == list(range(kept))
    assert done.stdout == f"{100 - kept} {{'write_failed'}}\n"
    assert done.stderr.count("events cannot be written") == 1


@pytest.mark.parametrize("full_from", [0, 3], ids=["the first file", "a next file"])
def test_a_full_disk_leaves_no_empty_file_and_no_descriptor_behind(tmp_path: Path, full_from: int) -> None:
    """However many events come while nothing fits, the app has as many open files as before; then they are kept."""
    done = script(
        tmp_path,
        f"""
        import os, resource
        reasons = []
        writer = EventFile(folder, 0.0001, 50, {{"service.name": "chat"}}, on_drop=reasons.append, retry_seconds=0)

        def emit(numbers):
            for n in numbers:
                writer.emit(event(n))
                writer.flush()

        emit(range({full_from}))
        before = len(os.listdir("/proc/self/fd")), len(os.listdir(folder) if os.path.isdir(folder) else ())
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        emit(range(100, 120))
        after = len(os.listdir("/proc/self/fd")), len(os.listdir(folder) if os.path.isdir(folder) else ())
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        emit(range({full_from}, {full_from} + 3))
        print(before == after, len(reasons))
        """,
    )
    assert done.stdout == "True 20\n"
    assert sorted(n for one in lines(tmp_path).values() for n in numbers(one)) == list(range(full_from + 3))


def test_a_folder_that_cannot_be_written_is_told_once_and_used_once_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Events for a folder that cannot be made are dropped and counted, with one log line, until it can."""
    (tmp_path / "taken").write_text("a file where the folder should be")
    reasons: list[str] = []
    writer = EventFile(
        tmp_path / "taken", 1, 1, {"service.name": "chat"}, on_drop=reasons.append, retry_seconds=0
    )
    with caplog.at_level(logging.WARNING):
        writer.emit(event(1))
        writer.emit(event(2))
        assert writer.flush()
    told = [record.getMessage() for record in caplog.records]
    assert reasons == ["write_failed", "write_failed"]
    assert told == [f"FILE_DIR: events cannot be written to {tmp_path / 'taken'}: File exists"]
    (tmp_path / "taken").unlink()
    writer.emit(event(3))
    assert writer.flush()
    assert [numbers(parsed) for parsed in lines(tmp_path / "taken").values()] == [[3]]
    writer.close()


def test_a_deleted_file_is_replaced(tmp_path: Path) -> None:
    """After somebody deletes the file, the next event goes to a new one instead of into nothing."""
    writer = EventFile(tmp_path, 1, 1, {"service.name": "chat"})
    writer.emit(event(1))
    assert writer.flush()
    for path in tmp_path.iterdir():
        path.unlink()
    writer.emit(event(2))
    assert writer.flush()
    assert [numbers(parsed) for parsed in lines(tmp_path).values()] == [[2]]
    writer.close()


def test_the_resource_comes_from_the_standard_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an SDK the file's name and resource say what OTEL_SERVICE_NAME and RESOURCE_ATTRIBUTES say."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my chat")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20b,service.name=x,broken")
    done = script(
        tmp_path,
        """
        writer = EventFile(folder, 100, 5)
        writer.emit(event(1))
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ((name, (line,)),) = lines(tmp_path).items()
    pairs = line["resourceLogs"][0]["resource"]["attributes"]
    said = {pair["key"]: pair["value"] for pair in pairs if pair["key"] not in {"host.name", "process.pid"}}
    assert name.startswith("openai-safety-my_chat-")
    assert said == {
        "deployment.environment.name": {"stringValue": "a b"},
        "service.name": {"stringValue": "my chat"},
    }


def test_a_full_queue_drops_and_counts_but_never_waits() -> None:
    """While writing stands still, events beyond the limit are dropped with a reason, others kept."""
    release = threading.Event()
    begun = threading.Event()
    written: list[SafetyEvent] = []
    reasons: list[str] = []

    def write(one: SafetyEvent) -> None:
        begun.set()
        release.wait(30)
        written.append(one)

    background = Background(write, name="test", on_drop=reasons.append, limit=3)
    background.emit(event(0))
    assert begun.wait(30)
    for number in range(1, 6):
        background.emit(event(number))
    assert not background.flush(0.01)
    release.set()
    assert background.close(30)
    assert reasons == ["queue_full", "queue_full"]
    assert [one.attributes["n"] for one in written] == [0, 1, 2, 3]


def test_stdout_lines_are_flat_json(capsys: pytest.CaptureFixture[str]) -> None:
    """An event on standard output is one flat JSON object on one line, with the trace it belongs to."""
    writer = stdout_events()
    writer.emit(
        SafetyEvent(
            name=c.CALL_EVENT,
            time_ns=SECOND + 1_500_000,
            attributes={"openai_safety.outcome": "blocked", "nan": float("nan"), "l": ("a",)},
            body="blocked\nhere",
            severity="WARN",
            trace_id=1,
            span_id=2,
        )
    )
    writer.close()
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "timestamp": "2026-01-01T00:00:00.001500Z",
        "severity": "WARN",
        "event.name": "openai_safety.call",
        "message": "blocked\nhere",
        "trace_id": "0" * 31 + "1",
        "span_id": "0" * 15 + "2",
        "openai_safety.outcome": "blocked",
        "nan": None,
        "l": ["a"],
    }
