"""The scripted server and clients of the socket tests, and the doors that the installed SDK has."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from openai_safety_otel.who.identifier import Hasher
from support.socket_server import SocketServer
from support.telemetry import KEY


@pytest.fixture(autouse=True)
def _sdk_behind_its_library() -> None:
    """The newest `websockets` deprecates how the SDK calls it: not ours to hear about."""
    warnings.filterwarnings("ignore", message=r"connect\(\) must be used as a context manager")


@pytest.fixture(scope="module")
def shared_server() -> Iterator[SocketServer]:
    with SocketServer() as started:
        yield started


@pytest.fixture
def server(shared_server: SocketServer) -> SocketServer:
    shared_server.reset()
    return shared_server


@pytest.fixture(scope="session")
def clients() -> tuple[openai.OpenAI, openai.AsyncOpenAI]:
    """Made once: their HTTP side is never used, and is what takes time to make."""
    return openai.OpenAI(api_key="sk-test"), openai.AsyncOpenAI(api_key="sk-test")


@pytest.fixture
def client(clients: tuple[openai.OpenAI, openai.AsyncOpenAI], server: SocketServer) -> openai.OpenAI:
    return clients[0].with_options(websocket_base_url=server.url)


@pytest.fixture
def async_client(
    clients: tuple[openai.OpenAI, openai.AsyncOpenAI], server: SocketServer
) -> openai.AsyncOpenAI:
    return clients[1].with_options(websocket_base_url=server.url)


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, client: openai.OpenAI, async_client: openai.AsyncOpenAI) -> Any:
    return client if request.param == "sync" else async_client


@pytest.fixture
def hasher() -> Hasher:
    return Hasher(KEY)
