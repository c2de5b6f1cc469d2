"""The scripted server and clients of the socket tests, and the doors that the installed SDK has."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator

import openai
import pytest

from openai_safety_otel.identifier import Hasher
from support.socket_server import SocketServer
from support.telemetry import KEY


@pytest.fixture(autouse=True)
def _sdk_behind_its_library() -> None:
    """The newest `websockets` deprecates how the SDK calls it: not ours to hear about."""
    warnings.filterwarnings("ignore", message=r"connect\(\) must be used as a context manager")


@pytest.fixture
def server() -> Iterator[SocketServer]:
    with SocketServer() as started:
        yield started


@pytest.fixture
def client(server: SocketServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-test", websocket_base_url=server.url) as made:
        yield made


@pytest.fixture
async def async_client(server: SocketServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="sk-test", websocket_base_url=server.url) as made:
        yield made


@pytest.fixture
def hasher() -> Hasher:
    return Hasher(KEY)
