"""Streams that nobody closed end their records, also where the system gives no thread to do it on."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.instrumentation.endings import Endings
from support.scripted import scripted
from support.telemetry import Instrument, Telemetry
from support.waiting import until

PIECES = (
    b'data: {"type":"response.created","response":{"id":"resp_1"}}\n\n',
    b'data: {"type":"response.output_text.delta","delta":"x"}\n\n',
)
ASK: dict[str, Any] = {"model": "gpt-5", "input": "x", "stream": True}


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Endings:
    """A reaper whose thread was not started yet."""
    made = Endings()
    monkeypatch.setattr("openai_safety_otel.instrumentation.call.endings", made)
    return made


def test_one_failed_start(
    fresh: Endings, instrument: Instrument, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a thread that could not start, streams end at the next call, and on a thread as soon as one starts."""
    instrument()
    client = scripted(PIECES, content_type="text/event-stream")

    def leave() -> None:
        stream = client.responses.create(**ASK)
        next(iter(stream))
        del stream
        gc.collect()

    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", refuse)
        leave()
        leave()
        assert ["resp_1"] == [event["gen_ai.response.id"] for event in telemetry.events]
    leave()
    found = until(lambda: telemetry.events if len(telemetry.events) == 3 else [])
    assert [("abandoned", "resp_1")] * 3 == [
        (event["openai_safety.outcome"], event["gen_ai.response.id"]) for event in found
    ]


def test_ids_of_a_raw_stream_without_a_thread(
    fresh: Endings, instrument: Instrument, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A raw stream is read for its ids whether or not the thread could be started."""
    instrument()
    client = scripted(PIECES, content_type="text/event-stream")

    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    raw = client.responses.with_raw_response.create(**ASK)
    list(raw.http_response.iter_lines())
    assert ["resp_1"] == [event["gen_ai.response.id"] for event in telemetry.events]


def test_a_thread_after_main_has_ended() -> None:
    """A stream opened by a thread that outlives the main one is recorded without a warning of ours."""
    code = f"""
        import gc, sys, threading
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor, ConsoleLogRecordExporter
        from openai_safety_otel import SafetyInstrumentor
        from support.scripted import scripted
        from test_unclosed_streams import ASK, PIECES
        provider = LoggerProvider()
        provider.add_log_record_processor(SimpleLogRecordProcessor(ConsoleLogRecordExporter()))
        SafetyInstrumentor().instrument(identifier="off", span="off", logger_provider=provider)
        client = scripted(PIECES, content_type="text/event-stream")

        def late():
            threading.main_thread().join()
            for _ in client.responses.create(**ASK):
                break
            gc.collect()

        threading.Thread(target=late).start()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert (1, False) == (done.stdout.count('"abandoned"'), "failed" in done.stderr), done.stderr
