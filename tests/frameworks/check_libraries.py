"""Workers, agents and chains that call OpenAI for the app: right identifier, and one record each."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from openai_safety_otel import end_user, set_end_user
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.telemetry import KEY, Telemetry

from .conftest import RECIPES, S9, U42, Calls

Recipe = Callable[[str], ModuleType]
# The libraries keep one HTTP client for all: in another loop its connections are dead, and calls are retried.
in_one_loop = pytest.mark.asyncio(loop_scope="module")
ANN, BOB = Hasher(KEY).end_user("ann"), Hasher(KEY).end_user("bob")


def outcomes(telemetry: Telemetry) -> list[str]:
    return [event["openai_safety.outcome"] for event in telemetry.events]


# --- workers ------------------------------------------------------------------------------------------------


@pytest.fixture
def celery_recipe(recipe: Recipe) -> ModuleType:
    module = recipe("celery_app")
    module.app.conf.update(broker_url="memory://", result_backend="cache+memory://")
    return module


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_celery_worker(pool: str, celery_recipe: ModuleType, calls: Calls) -> None:
    """The user who published a task is the user of its call, in a worker that serves one after the other."""
    from celery.contrib.testing.worker import start_worker

    with start_worker(
        celery_recipe.app, pool=pool, concurrency=1, perform_ping_check=False, loglevel="ERROR"
    ):
        results = []
        with end_user("u42", session="s9"):
            results.append(celery_recipe.summarise.delay("hello"))
        results.append(celery_recipe.summarise.delay("hello"))
        with end_user("ann"):
            results.append(celery_recipe.summarise.delay("hello"))
        assert all(result.get(timeout=30) for result in results)
        found = calls(3)
    assert [(U42, S9), (None, None), (ANN, None)] == found


def test_celery_eager(celery_recipe: ModuleType, calls: Calls) -> None:
    """An eager task runs as its caller, who stays who they are."""
    celery_recipe.app.conf.task_always_eager = True
    with end_user("u42"):
        celery_recipe.summarise.delay("hello").get()
        celery_recipe.summarise.delay("hello").get()
    celery_recipe.summarise.delay("hello").get()
    assert [(U42, None), (U42, None), (None, None)] == calls(3)


def test_executor(recipe: Recipe, calls: Calls) -> None:
    """`carry` takes the user into a pool's threads, and leaves none behind there."""
    module = recipe("executor_app")
    with end_user("ann"):
        module.ask_all(["hello"] * 3)
    with end_user("bob"):
        module.ask_all(["hello"] * 3)
    module.pool.submit(module.ask, "hello").result()
    module.pool.shutdown()
    assert [ANN] * 3 + [BOB] * 3 + [None] == [who for who, _ in calls(7)]


# --- agents -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["responses", "chat_completions"])
def agents_recipe(request: pytest.FixtureRequest, recipe: Recipe) -> Iterator[ModuleType]:
    import agents
    from agents.models import _openai_shared

    agents.set_default_openai_api(request.param)
    agents.set_tracing_disabled(disabled=True)
    _openai_shared._default_openai_client = None
    yield recipe("agents_app")
    agents.set_default_openai_api("responses")


@in_one_loop
async def test_openai_agents(agents_recipe: ModuleType, calls: Calls, telemetry: Telemetry) -> None:
    """Two runs side by side through the Responses and the Chat model: each call is its own user's."""
    answers = await asyncio.gather(agents_recipe.answer("ann", "hello"), agents_recipe.answer("bob", "hello"))
    assert all(answers)
    assert sorted([ANN, BOB]) == sorted(who for who, _ in calls(2))
    assert ["completed"] * 2 == outcomes(telemetry)


@in_one_loop
async def test_openai_agents_streamed(agents_recipe: ModuleType, calls: Calls, telemetry: Telemetry) -> None:
    """A streamed run, whose model call is made in a task of the library's own, has the user too."""
    from agents import Runner

    with end_user("ann"):
        run = Runner.run_streamed(agents_recipe.agent, "hello")
        events = [event async for event in run.stream_events()]
    assert events
    assert [(ANN, None)] == calls(1)
    assert ["completed"] == outcomes(telemetry)


# --- chains -------------------------------------------------------------------------------------------------


@in_one_loop
async def test_langchain(recipe: Recipe, calls: Calls, telemetry: Telemetry) -> None:
    """`invoke`, `ainvoke` and a drained stream: one record each, of the right user."""
    module = recipe("langchain_app")
    assert module.answer("ann", "hello")
    with end_user("bob"):
        await module.model.ainvoke("hello")
        assert list(module.model.stream("hello"))
    assert [(ANN, None), (BOB, None), (BOB, None)] == calls(3)
    assert ["completed"] * 3 == outcomes(telemetry)


@in_one_loop
async def test_langchain_stream_left_early(recipe: Recipe, calls: Calls, telemetry: Telemetry) -> None:
    """A stream that the app stops reading ends its record once, as abandoned, sync and async."""
    module = recipe("langchain_app")
    with end_user("ann"):
        for _ in module.model.stream("hello"):
            break
        gc.collect()
        calls(1)
        stream = module.model.astream("hello")
        async for _ in stream:
            break
        await stream.aclose()
    for _ in range(500):  # the library leaves its inner generator to the event loop
        gc.collect()
        await asyncio.sleep(0.01)
        if len(telemetry.events) > 1:
            break
    assert [(ANN, None), (ANN, None)] == calls(2)
    assert ["abandoned"] * 2 == outcomes(telemetry)


def test_langchain_responses(recipe: Recipe, calls: Calls) -> None:
    """The same model through the Responses API."""
    recipe("langchain_app")
    from langchain_openai import ChatOpenAI

    with end_user("ann"):
        ChatOpenAI(model="gpt-5", use_responses_api=True).invoke("hello")
    assert [(ANN, None)] == calls(1)


def test_doctor_beside_the_http_library_of_a_newer_sdk(tmp_path: Path) -> None:
    """httpx2 comes with other packages too: the sample call uses the one that this SDK is built on."""
    env = {**os.environ, "OPENAI_SAFETY_HMAC_KEY": KEY.decode(), "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1"}
    command = "from openai_safety_otel.operations.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
        env=env,
    )
    assert "would carry safety_identifier" in done.stdout, done.stdout + done.stderr


# --- the app's own logs -------------------------------------------------------------------------------------


def asked(telemetry: Telemetry) -> str:
    """Make a call as u42; the id of its answer."""
    import openai

    set_end_user("u42")
    return str(openai.OpenAI().responses.create(model="gpt-5", input="hello").id)


def test_logging(recipe: Recipe, telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    """A line of the app's own log names identifier, trace and answer."""
    module = recipe("logging_app")
    module.handler.setStream(sys.stderr)
    answer = asked(telemetry)
    with telemetry.tracer_provider.get_tracer("app").start_as_current_span("request") as span:
        logging.getLogger("product").warning("slow")
    trace = f"{span.get_span_context().trace_id:032x}"
    logging.getLogger("product").removeHandler(module.handler)
    set_end_user(None)
    assert f"slow user={U42} trace={trace} answer={answer}\n" == capsys.readouterr().err


def test_structlog(recipe: Recipe, telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as fields of a structlog line."""
    structlog = recipe("structlog_app").structlog
    answer = asked(telemetry)
    structlog.get_logger().warning("slow")
    set_end_user(None)
    structlog.reset_defaults()
    assert {"event": "slow", "safety_identifier": U42, "openai_response_id": answer} == json.loads(
        capsys.readouterr().out
    )


# --- a red-team suite ---------------------------------------------------------------------------------------


def test_redteam_suite(provider: Provider, tmp_path: Path) -> None:
    """A team's own suite, run by its own pytest, sees outcomes; its calls are in the red team's domain."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    suite = tmp_path / "test_redteam.py"  # away from this folder's own conftest
    suite.write_text((RECIPES / "redteam_suite.py").read_text())
    done = subprocess.run(
        [*command, str(suite)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "OPENAI_BASE_URL": provider.url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_SAFETY_HMAC_KEY": KEY.decode(),
            "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1",
        },
    )
    assert (0, True) == (done.returncode, "2 passed" in done.stdout), done.stdout + done.stderr
    tester = Hasher(KEY, redteam=True).end_user("tester")
    assert [tester] * 2 == [entry.identifier for entry in provider.ledger]
    assert tester != Hasher(KEY).end_user("tester")
