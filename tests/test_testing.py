"""The `safety_calls` fixture that the package brings to a team's own tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.testing import SafetyCalls
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Instrument

# A plain pytest: the other plugins that stand in this environment have warnings and imports of their own.
PLAIN = [name for plugin in ("cacheprovider", "asyncio", "xdist", "anyio") for name in ("-p", f"no:{plugin}")]
NO_OPENAI = """
import sys


class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"openai", "opentelemetry", "wrapt"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Nowhere())
"""


def run(folder: Path, suite: str, *arguments: str, **environment: str) -> str:
    """What a pytest of its own says about a suite in an empty folder, every warning an error."""
    (folder / "test_suite.py").write_text(suite, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", *PLAIN, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "PYTEST"))
            },
            **environment,
        },
    )
    return f"{done.stdout}{done.stderr}"


def test_what_a_call_shows(instrument: Instrument, request: pytest.FixtureRequest) -> None:
    """Blocked, refused, flagged and clean calls answer the questions a red team asks."""
    instrument(moderation="score")
    calls: SafetyCalls = request.getfixturevalue("safety_calls")
    with Provider() as provider, openai.OpenAI(api_key="k", base_url=provider.url) as client, end_user("u42"):
        for text in ("[[cyber]] x", "[[refuse]] x", "[[flag]] x", "x"):
            with contextlib.suppress(openai.PermissionDeniedError, openai.BadRequestError):
                client.responses.create(model="gpt-5", input=text)
    assert [(True, False), (False, True), (False, False), (False, False)] == [
        (call.blocked, call.refused) for call in calls
    ]
    assert [False, False, True, False] == [bool(call.flagged("input")) for call in calls]
    (category,) = calls[2].flagged("input")[:1]
    assert calls[2].score("input", category) > 0.5 > calls[3].score("input", category)
    assert (0.0, 4) == (calls[0].score("output", "violence"), len(calls))
    assert {Hasher(KEY).end_user("u42")} == {call.identifier for call in calls}


def test_the_fixture_takes_its_listener_away(request: pytest.FixtureRequest, instrument: Instrument) -> None:
    """An app that is instrumented stays so after the test, without the fixture's listener."""
    observer = instrument().observer
    assert observer is not None
    before = list(observer.listeners)
    fixture = request.getfixturevalue("safety_calls")
    assert [*before, fixture] == observer.listeners


def test_without_an_instrumentation_it_makes_its_own(tmp_path: Path) -> None:
    """Alone, the fixture instruments for one test as red-team traffic, and removes the hooks again."""
    suite = """
import openai
from openai_safety_otel import SafetyInstrumentor, end_user

def test_alone(safety_calls):
    with end_user("u42"), openai.OpenAI(api_key="k") as client:
        client.responses.create(model="gpt-5", input="hello")
    (call,) = safety_calls
    assert ("redteam", "completed") == (call.record.traffic, call.outcome.name)
    print("IDENTIFIER", call.identifier)

def test_after():
    assert SafetyInstrumentor().observer is None
    assert not hasattr(openai.OpenAI.request, "__wrapped__")
"""
    with Provider() as provider:
        said = run(
            tmp_path,
            suite,
            "-s",
            OPENAI_BASE_URL=provider.url,
            OPENAI_SAFETY_HMAC_KEY=KEY.decode(),
            OPENAI_SAFETY_INJECT_HOSTS="+127.0.0.1",
        )
        assert "2 passed" in said, said
        tester = Hasher(KEY, redteam=True).end_user("u42")
        assert [tester] == [entry.identifier for entry in provider.ledger]
    assert f"IDENTIFIER {tester}" in said


def test_harmless_where_openai_is_not_installed(tmp_path: Path) -> None:
    """Every pytest run loads the plugin: without openai, OpenTelemetry or wrapt it breaks nothing."""
    (tmp_path / "sitecustomize.py").write_text(NO_OPENAI, encoding="utf-8")
    suite = "import pytest\n\ndef test_plain():\n    with pytest.raises(ModuleNotFoundError):\n        import openai\n"
    said = run(tmp_path, suite, PYTHONPATH=str(tmp_path))
    assert "1 passed" in said, said
    assert "safety_calls" in run(tmp_path, suite, "--fixtures", PYTHONPATH=str(tmp_path))


def test_cheap_for_those_who_do_not_use_it(tmp_path: Path) -> None:
    """Loading the plugin imports small modules of ours, and neither openai, OpenTelemetry nor asyncio."""
    suite = """
import sys

def test_loaded():
    ours = sorted(name for name in sys.modules if name.startswith("openai_safety_otel"))
    print("LOADED", *ours)
    assert not {"openai", "wrapt", "opentelemetry", "httpx", "pydantic", "asyncio"} & set(sys.modules)
"""
    said = run(tmp_path, suite, "-s")
    assert "1 passed" in said, said
    (line,) = [line for line in said.splitlines() if "LOADED" in line]
    rooms = {name.split(".")[1] for name in line.split("LOADED ")[1].split() if "." in name}
    assert {"contract", "who", "testing"} == rooms


def test_under_the_agent(tmp_path: Path) -> None:
    """`opentelemetry-instrument pytest` has loaded the package already: no warning, the fixture joins it."""
    suite = """
from openai_safety_otel import SafetyInstrumentor

def test_joined(safety_calls):
    assert safety_calls in SafetyInstrumentor().observer.listeners
    assert "production" == SafetyInstrumentor().observer.settings.traffic
"""
    (tmp_path / "test_suite.py").write_text(suite, encoding="utf-8")
    agent = Path(sys.executable).parent / "opentelemetry-instrument"
    done = subprocess.run(
        [str(agent), sys.executable, "-m", "pytest", "-q", *PLAIN, "-W", "error::pytest.PytestWarning"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={
            **os.environ,
            "OPENAI_SAFETY_HMAC_KEY": KEY.decode(),
            **{f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")},
        },
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_provider_needs_no_pytest() -> None:
    """`pip install …[demo]` brings none: the command and the demo start all the same."""
    code = (
        "import sys; sys.modules['pytest'] = None; from openai_safety_otel.testing.provider import Provider\n"
        "with Provider() as one: print(one.url.startswith('http://127.0.0.1:'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
