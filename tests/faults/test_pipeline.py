"""The dedicated pipeline: what it keeps that the shared one loses, its exits, and its spill folder."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel import conventions as c
from openai_safety_otel.record import SafetyEvent
from openai_safety_otel.settings import Settings, environment_of_child
from openai_safety_otel.signals import sender as sending
from openai_safety_otel.signals import spill as spilling
from openai_safety_otel.signals.otlp import Exporting, exporter_class
from openai_safety_otel.signals.pipeline import EXIT_SECONDS, Dedicated
from support.collector import Collector
from support.waiting import until

SECOND = 1_767_225_600_000_000_000


def event(number: int = 0, **more: Any) -> SafetyEvent:
    return SafetyEvent(name=c.CALL_EVENT, time_ns=SECOND + number, attributes={"n": number, **more})


class Lost(dict[str, int]):
    def __call__(self, reason: str, count: int = 1) -> None:
        self[reason] = self.get(reason, 0) + count


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sending, "DELAY_SECONDS", 0.05)
    monkeypatch.setattr(sending, "BACKOFF_SECONDS", (0.05,))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with Collector() as one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.url)
        yield one


def pipeline(lost: Lost | None = None, **more: Any) -> Dedicated:
    make = exporter_class()
    assert make is not None
    return Dedicated(lambda: Exporting(make), on_drop=lost, **more)


def waiting(folder: Path) -> list[int]:
    """The numbers of the events on disk; a line that is being written has no end yet."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        with contextlib.suppress(FileNotFoundError):  # all of it was sent just now
            lines = path.read_bytes().split(b"\n")[:-1]
            found += [int(str(spilling.read_line(line)[0].attributes["n"])) for line in lines]
    return found


def test_events_arrive_as_they_were(collector: Collector) -> None:
    """Nothing lost: every event arrives once, with its attributes, scope, time and this process's resource."""
    sent = pipeline()
    sent.emit(SafetyEvent(name="x.y", time_ns=SECOND, attributes={"a": ("b", "c"), "d": 0.5}, scope="apart"))
    assert sent.flush()
    assert [[{"a": ["b", "c"], "d": 0.5, "event.name": "x.y", "_scope": "apart", "_time": SECOND}]] == (
        collector.batches
    )
    assert os.getpid() == collector.resources[0]["process.pid"]
    sent.close()


def test_a_spilled_event_comes_back_whole(tmp_path: Path) -> None:
    """What is read back from disk equals what was written, every kind of value, ids and resource included."""
    whole = SafetyEvent(
        name="x.y",
        time_ns=SECOND,
        attributes={"s": "ü\n", "b": True, "i": 7, "d": 0.5, "inf": float("inf"), "l": ("a", "b")},
        body="done",
        severity="ERROR",
        scope="apart",
        trace_id=1 << 100,
        span_id=3,
        trace_flags=1,
    )
    folder = spilling.Spill(tmp_path)
    folder.write([whole], {"service.name": "chat", "process.pid": 1})
    taken = folder.take(10)
    assert taken is not None
    assert ([whole], {"service.name": "chat", "process.pid": 1}) == (taken.events, taken.resource)


def test_a_collector_away_and_back(collector: Collector) -> None:
    """Nothing lost: what was refused stays in memory and arrives when the collector answers again."""
    collector.mode = 503
    lost = Lost()
    sent = pipeline(lost)
    for number in range(600):
        sent.emit(event(number))
    assert not sent.flush(5)
    collector.mode = "accept"
    collector.wait(600)
    assert (list(range(600)), {}) == (sorted(collector.numbers()), lost)
    sent.close()


def test_a_full_queue_is_counted(collector: Collector) -> None:
    """Lost and counted: what does not fit while the collector hangs; the first to come are kept."""
    collector.mode = "hang"
    lost = Lost()
    sent = pipeline(lost, limit=100)
    for number in range(250):
        sent.emit(event(number))
    assert {"queue_full": 150} == lost
    sent.close(0.2)
    assert {"queue_full": 150, "exit": 100} == lost


def test_a_batch_refused_for_its_content(collector: Collector) -> None:
    """Lost and counted: a batch that fails while others get through is given up, and blocks nobody."""
    lost = Lost()
    sent = pipeline(lost)
    exporting = sent._sender._exporting  # type: ignore[union-attr]
    real = exporting.send
    exporting.send = lambda events, who: (  # type: ignore[method-assign]
        False if any("poison" in one.attributes for one in events) else real(events, who)
    )
    sent.emit(event(0, poison=True))
    sent.flush(2)
    until = time.monotonic() + 30
    number = 1
    while not lost and time.monotonic() < until:
        sent.emit(event(number))
        number += 1
        time.sleep(0.05)
    sent.flush(5)
    assert ({"rejected": 1}, list(range(1, number))) == (lost, sorted(collector.numbers()))
    sent.close()


@pytest.mark.parametrize("mode", ["hang", "trickle", 503, 429, 400, "away"])
def test_an_unreachable_collector_spills_everything(
    mode: str | int, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing lost: at the end all events are on disk, and the next pipeline delivers them.

    Twice at most: the one batch that was under way at the end, whose exporter may try on in this process.
    """
    if mode == "away":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    collector.mode = mode
    lost = Lost()
    sent = pipeline(lost, spill_dir=str(tmp_path))
    for number in range(700):
        sent.emit(event(number))
    assert not sent.close(0.5)
    assert (list(range(700)), {}) == (sorted(waiting(tmp_path)), lost)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    collector.mode = "accept"
    after = pipeline(lost, spill_dir=str(tmp_path))
    after.emit(event(700))
    # All may have arrived before all was sent again: the batch under way at the end counts as not sent.
    collector.wait(701)
    until(lambda: not waiting(tmp_path))
    numbers = collector.numbers()
    assert (list(range(701)), {}) == (sorted(set(numbers)), lost)
    assert len(numbers) - 701 <= sending.BATCH
    after.close()
    assert [] == list(tmp_path.iterdir())


def test_spilled_events_follow_when_the_collector_is_back(collector: Collector, tmp_path: Path) -> None:
    """Nothing lost, nothing twice: the same process sends what it spilled once the collector is back."""
    collector.mode = 503
    sent = pipeline(spill_dir=str(tmp_path))
    for number in range(1300):
        sent.emit(event(number))
    sent.flush(5)
    assert 1300 == len(waiting(tmp_path))
    collector.mode = "accept"
    collector.wait(1300)
    assert list(range(1300)) == sorted(collector.numbers())
    sent.close()
    assert [] == list(tmp_path.iterdir())


def test_a_lost_answer_repeats_one_batch(collector: Collector) -> None:
    """Nothing lost; twice: only the batch whose answer was lost."""
    collector.mode = "lose"
    sent = pipeline()
    sent.emit(event(0))
    assert not sent.flush(5)
    first = collector.numbers().count(0)
    collector.mode = "accept"
    sent.emit(event(1))
    assert sent.flush(10)
    assert (first + 1, 1) == (collector.numbers().count(0), collector.numbers().count(1))
    sent.close()


def test_two_processes_never_take_the_same_file(tmp_path: Path) -> None:
    """A file that one process writes or sends is nobody else's until that process has ended."""
    first, second = spilling.Spill(tmp_path), spilling.Spill(tmp_path)
    first.write([event(1)], {})
    assert second.take(10) is None
    first.close()
    third = spilling.Spill(tmp_path)
    taken = third.take(10)
    assert taken is not None
    assert ([event(1)], None) == (taken.events, spilling.Spill(tmp_path).take(10))
    taken.drop()
    assert (None, []) == (third.take(10), list(tmp_path.iterdir()))


def test_torn_erased_and_foreign_lines(collector: Collector, tmp_path: Path) -> None:
    """Lost and counted: a line torn by a kill; an erased line is nothing; the others arrive."""
    folder = spilling.Spill(tmp_path)
    folder.write([event(1), event(2)], {})
    path = folder.path
    folder.close()
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole + b" " * 40 + b"\n" + whole[:50])
    lost = Lost()
    sent = pipeline(lost, spill_dir=str(tmp_path))
    sent.emit(event(3))
    collector.wait(3)
    sent.close()
    assert ([1, 2, 3], {"spill_unreadable": 1}) == (sorted(collector.numbers()), lost)


def test_a_full_spill_folder(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost and counted: what no longer fits into the spill folder."""
    collector.mode = 503
    lost = Lost()
    sent = pipeline(lost, spill_dir=str(tmp_path))
    sent._sender._spill._limit = 10_000  # type: ignore[union-attr]
    for number in range(512):
        sent.emit(event(number))
    sent.flush(5)
    sent.close()
    assert {"spill_full": 512} == lost


def test_a_spill_folder_that_cannot_be_written(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing lost while the process lives: events stay in memory, one line says why; at exit they count."""
    (tmp_path / "file").write_text("")
    collector.mode = 503
    lost = Lost()
    sent = pipeline(lost, spill_dir=str(tmp_path / "file" / "below"))
    sent.emit(event(0))
    sent.flush(5)
    sent.emit(event(1))
    sent.close(5)
    assert {"exit": 2} == lost
    assert 1 == sum("SPILL_DIR" in one.message for one in caplog.records)


def test_spill_files_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are the owner's alone; a file of another user's making, or a link, is not taken up."""
    folder = spilling.Spill(tmp_path / "new")
    folder.write([event(1)], {})
    assert folder.path is not None
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "new", folder.path)]
    assert [0o700, 0o600] == modes
    path = folder.path
    folder.close()
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert spilling.Spill(tmp_path / "new").take(1) is None
    path.unlink()
    (tmp_path / "moved").rename(path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert spilling.Spill(tmp_path / "new").take(1) is None
    monkeypatch.undo()
    assert spilling.Spill(tmp_path / "new").take(1) is not None


def test_a_child_leaves_the_parents_events_alone(collector: Collector, tmp_path: Path) -> None:
    """Nothing lost, nothing twice: with a full queue and locks held at the fork, each sends its own."""
    collector.mode = "hang"
    lost = Lost()
    sent = pipeline(lost, spill_dir=str(tmp_path))
    for number in range(600):
        sent.emit(event(number))
    assert collector.asked.wait(30)
    assert sent._starting.acquire(timeout=5)  # as if another thread were just starting something
    with sent._sender._lock:  # type: ignore[union-attr]
        child = os.fork()
        if not child:
            collector.mode = "accept"  # of no effect on the parent's server thread
            sent.emit(event(9999))
            sent.close(1.0)
            os._exit(0)
    sent._starting.release()
    _, status = os.waitpid(child, 0)
    collector.mode = "accept"
    sent.close()
    assert 0 == status
    everything = sorted({*collector.numbers(), *waiting(tmp_path)})
    assert ([*range(600), 9999], {}) == (everything, lost)


def test_no_exporter_is_one_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing lost: without an exporter events stay on the shared pipeline, and one line says so."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with caplog.at_level(logging.WARNING):
        assert Dedicated.from_settings(Settings(pipeline="dedicated")) is None
    assert ["PIPELINE=dedicated: no OTLP exporter"] == [one.message[:36] for one in caplog.records]


@pytest.mark.parametrize(
    ("variables", "module"),
    [
        ({}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf"},
            "http",
        ),
        ({"OTEL_LOGS_EXPORTER": "console,otlp_proto_http"}, "http"),
    ],
)
def test_the_exporter_is_the_sdks_own_choice(
    variables: dict[str, str], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standard variables choose the same exporter as they do for the SDK."""
    for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "OTEL_LOGS_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found: Any = exporter_class()
    assert f"opentelemetry.exporter.otlp.proto.{module}._log_exporter" == found.__module__


# --- exits, in real processes ------------------------------------------------------------------------------

EXIT = """
    import sys, time
    from openai_safety_otel import conventions as c
    from openai_safety_otel.record import SafetyEvent
    from openai_safety_otel.settings import Settings
    from openai_safety_otel.signals.pipeline import Dedicated
    lost = {}
    sent = Dedicated.from_settings(Settings.resolve(pipeline="dedicated"), lambda r, n: lost.update({r: n}))
    for n in range(2000):
        sent.emit(SafetyEvent(name=c.CALL_EVENT, time_ns=time.time_ns(), attributes={"n": n}))
    print(time.time(), flush=True)
"""
BARE = """
    import sys, time, logging
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry._logs import LogRecord
    from openai_safety_otel.signals.otlp import exporter_class
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter_class()()))
    logger = provider.get_logger("app")
    for n in range(2000):
        logger.emit(LogRecord(timestamp=time.time_ns(), body="x", attributes={"n": n}))
    print(time.time(), flush=True)
"""


def seconds_to_exit(code: str, url: str, protocol: str, **more: str) -> tuple[float, str]:
    """From the last line of a program to the end of its process, and what it said."""
    environment = environment_of_child(
        ("OTEL_", "OPENAI_"),
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        **more,
    )
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    return time.time() - float(done.stdout.split()[0]), done.stderr


EXITS = [
    *[(mode, "http/protobuf") for mode in ("refuse", "hang", "trickle", 503, "accept")],
    *[(mode, "grpc") for mode in ("refuse", "hang")],
]


@pytest.mark.faults
@pytest.mark.parametrize(("mode", "protocol"), EXITS)
def test_the_exit_is_bounded(mode: str | int, protocol: str, tmp_path: Path) -> None:
    """Nothing lost: 2,000 queued events are delivered or on disk, and the process is gone in bounded time."""
    with Collector(503 if mode == "refuse" else mode) as collector:
        url = "http://127.0.0.1:1" if mode == "refuse" else collector.url
        took, _ = seconds_to_exit(
            EXIT,
            url,
            protocol,
            OPENAI_SAFETY_SPILL_DIR=str(tmp_path),
        )
        assert list(range(2000)) == sorted({*collector.numbers(), *waiting(tmp_path)})
    # The promise is 3 s on an idle machine; the interpreter's own end and a busy machine get as much again.
    assert took < 6, f"{took:.1f} s"


@pytest.mark.faults
def test_the_exit_beside_the_bare_sdk(tmp_path: Path) -> None:
    """Lost and counted in one line without a spill folder; and far sooner gone than the bare SDK."""
    with Collector("hang") as collector:
        ours, said = seconds_to_exit(EXIT, collector.url, "http/protobuf")
        bare, _ = seconds_to_exit(BARE, collector.url, "http/protobuf")
    assert "2000 safety events were not delivered before the exit" in said
    assert bare > 2 * ours, f"bare SDK {bare:.1f} s, ours {ours:.1f} s"
    assert ours < 2 * (EXIT_SECONDS + 0.5)


@pytest.mark.faults
def test_sigterm_without_a_handler(tmp_path: Path) -> None:
    """Lost: what the collector did not take before the kill, as with any program; what is on disk stays."""
    with Collector(503) as collector:
        environment = environment_of_child(
            ("OTEL_", "OPENAI_"),
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
            OPENAI_SAFETY_SPILL_DIR=str(tmp_path),
        )
        code = textwrap.dedent(EXIT) + "time.sleep(60)\n"
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while len(waiting(tmp_path)) < 2000:
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert -signal.SIGTERM == process.wait(30)
    assert list(range(2000)) == sorted(waiting(tmp_path))


def test_a_flood_of_other_logs(collector: Collector) -> None:
    """Nothing lost of ours beside 5,000 other records; on the shared queue the SDK drops the oldest."""
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    from openai_safety_otel.signals.event import EventSink

    make = exporter_class()
    assert make is not None
    app = LoggerProvider(shutdown_on_exit=False)
    app.add_log_record_processor(BatchLogRecordProcessor(make(), max_queue_size=2048))
    shared = EventSink.from_settings(Settings(), app)
    dedicated = EventSink.from_settings(Settings(pipeline="dedicated"), app)
    collector.mode = "hang"
    for number in range(600):
        shared.emit(event(number, way="shared"))
        dedicated.emit(event(number, way="dedicated"))
    chat = app.get_logger("chat")
    for _ in range(5000):
        chat.emit(LogRecord(timestamp=SECOND, body="chat"))
    collector.mode = "accept"
    dedicated.flush()
    app.force_flush()
    until = time.monotonic() + 60
    arrived: dict[Any, set[Any]] = {}
    while time.monotonic() < until and len(arrived.get("dedicated", ())) < 600:
        arrived = {
            way: {one["n"] for one in collector.events if one.get("way") == way}
            for way in ("shared", "dedicated")
        }
        time.sleep(0.05)
    app.shutdown()
    dedicated.close()
    assert set(range(600)) == arrived["dedicated"]
    assert len(arrived["shared"]) < 600


def test_one_line_of_the_file_is_one_event(tmp_path: Path) -> None:
    """The spill file is made of the same OTLP JSON lines as event files, so reports can read it."""
    folder = spilling.Spill(tmp_path)
    folder.write([event(1), event(2)], {"service.name": "chat"})
    assert folder.path is not None
    names = [
        json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["eventName"]
        for line in folder.path.read_text().splitlines()
    ]
    assert [c.CALL_EVENT] * 2 == names
