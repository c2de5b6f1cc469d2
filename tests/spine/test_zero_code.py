"""The real `opentelemetry-instrument` on an unchanged program, and what is said when a signal goes nowhere."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.event_files import records
from support.telemetry import KEY

APP = """
    import sys, openai
    client = openai.OpenAI(api_key="sk-test", base_url=sys.argv[1])
    print(client.responses.create(model="gpt-5", input="hello").status)
"""
RESOLVER = "def user():\n    return 'u42'\n"


def run(
    tmp_path: Path, provider: Provider, *prefix: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    (tmp_path / "who.py").write_text(RESOLVER)
    known = {
        "OPENAI_SAFETY_HMAC_KEY": KEY.decode(),
        "OPENAI_SAFETY_USER_RESOLVER": "who:user",
        "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1",
        "PYTHONPATH": str(tmp_path),
    }
    return subprocess.run(
        [*prefix, sys.executable, str(tmp_path / "app.py"), provider.url],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
        env=environment_of_child(("OTEL_", "OPENAI_"), **(known | environment)),
    )


def instrument_command() -> str:
    found = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
    if found is None or importlib.util.find_spec("opentelemetry.distro") is None:
        pytest.skip("this environment has no opentelemetry-distro: nothing sets up an SDK with no code")
    return found


def test_an_unchanged_app(tmp_path: Path, provider: Provider) -> None:
    """One span, one event and the metrics, with the resolver's user on the wire; the app prints what it did."""
    console = dict.fromkeys(
        ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "console"
    )
    done = run(tmp_path, provider, instrument_command(), **console)
    assert "completed" in done.stdout.splitlines(), done.stderr
    (entry,) = provider.ledger
    assert Hasher(KEY).end_user("u42") == entry.identifier
    assert (1, 1, True) == (
        done.stdout.count('"name": "chat gpt-5"'),
        done.stdout.count('"event.name": "openai_safety.call"'),
        '"openai_safety.calls"' in done.stdout,
    )
    assert "" == done.stderr


def test_importing_and_instrumenting_never_imports_openai() -> None:
    """Instrumenting a program that makes no OpenAI call costs it no import of openai."""
    code = (
        "import sys; from openai_safety_otel import SafetyInstrumentor\n"
        "SafetyInstrumentor().instrument(identifier='off'); print('openai' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "False\n" == done.stdout


def test_without_an_sdk_one_line_says_so(tmp_path: Path, provider: Provider) -> None:
    """Without an SDK set up, one line on stderr names the signals and the command that mends it."""
    code = (
        "import sys; from openai_safety_otel import SafetyInstrumentor as S; S().instrument(identifier='off')\n"
        "import openai; c = openai.OpenAI(api_key='k', base_url=sys.argv[1])\n"
        "for _ in range(3): c.responses.create(model='m', input='x')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, provider.url], capture_output=True, text=True, timeout=60, check=True
    )
    line = (
        "openai-safety-otel: no OpenTelemetry SDK, so spans, metrics and events go nowhere; "
        f"{install('otlp')} and start with: opentelemetry-instrument python app.py"
    )
    assert [line] == done.stderr.splitlines()


@pytest.mark.parametrize("signal", ["TRACES", "METRICS", "LOGS"])
def test_without_an_exporter_one_line_says_so(signal: str, tmp_path: Path, provider: Provider) -> None:
    """A signal without an exporter is named in one line with its setting; the others stay silent."""
    console = {f"OTEL_{one}_EXPORTER": "console" for one in ("TRACES", "METRICS", "LOGS") if one != signal}
    done = run(tmp_path, provider, instrument_command(), **console, **{f"OTEL_{signal}_EXPORTER": "none"})
    name = {"TRACES": "spans", "METRICS": "metrics", "LOGS": "events"}[signal]
    lines = done.stderr.splitlines()
    assert 1 == len(lines), done.stderr
    assert lines[0].startswith(
        f"openai-safety-otel: no exporter for {name}, they go nowhere; set OTEL_{signal}_EX"
    )


NONE = {f"OTEL_{one}_EXPORTER": "none" for one in ("TRACES", "METRICS", "LOGS")}
EVERYTHING = "spans, metrics and events"
SILENT = {
    "the SDK is off": (
        {"OTEL_SDK_DISABLED": "true"},
        f"OTEL_SDK_DISABLED=true, so {EVERYTHING} go nowhere; unset OTEL_SDK_DISABLED",
    ),
    "no exporter at all": (
        NONE,
        (
            f"no exporter for {EVERYTHING}, they go nowhere; set OTEL_TRACES_EXPORTER=otlp, OTEL_METRICS_EXPORTER=otlp "
            "and OTEL_LOGS_EXPORTER=otlp, or OPENAI_SAFETY_FILE_DIR to keep events in files"
        ),
    ),
    "no span is sampled": (
        {**NONE, "OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": "always_off"},
        (
            "no exporter for metrics and events, they go nowhere; set OTEL_METRICS_EXPORTER=otlp and "
            "OTEL_LOGS_EXPORTER=otlp, or OPENAI_SAFETY_FILE_DIR to keep events in files; "
            "the sampler leaves out every span, so spans go nowhere; set OTEL_TRACES_SAMPLER"
        ),
    ),
    "the dedicated pipeline of an SDK that is off": (
        {"OTEL_SDK_DISABLED": "true", "OPENAI_SAFETY_PIPELINE": "dedicated"},
        f"OTEL_SDK_DISABLED=true, so {EVERYTHING} go nowhere; unset OTEL_SDK_DISABLED",
    ),
}


@pytest.mark.parametrize("way", SILENT)
def test_every_way_for_all_signals_to_go_nowhere(way: str, tmp_path: Path, provider: Provider) -> None:
    """One line says that nothing goes anywhere, why, and what mends it."""
    settings, line = SILENT[way]
    done = run(tmp_path, provider, instrument_command(), **settings)
    ours = [one for one in done.stderr.splitlines() if one.startswith("openai-safety-otel: ")]
    assert [f"openai-safety-otel: {line}"] == ours, done.stderr


def test_events_in_files_without_a_collector(tmp_path: Path, provider: Provider) -> None:
    """`FILE_DIR` alone keeps the event as an OTLP JSON line: nothing is silent about it."""
    folder = tmp_path / "telemetry"
    none = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"), "console")
    done = run(
        tmp_path,
        provider,
        instrument_command(),
        OTEL_LOGS_EXPORTER="none",
        OPENAI_SAFETY_FILE_DIR=str(folder),
        **none,
    )
    assert "" == done.stderr
    assert ["openai_safety.call"] == [one["event.name"] for one in records(folder)]
