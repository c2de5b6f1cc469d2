"""FastAPI as people first write it: every way to say who is logged in, times every way to call OpenAI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import openai
from fastapi import BackgroundTasks, Cookie, Depends, FastAPI, Header, WebSocket
from fastapi.responses import StreamingResponse

from openai_safety_otel import end_user, set_end_user
from openai_safety_otel.middleware import SafetyMiddleware

User = Annotated[str | None, Header(alias="x-user")]
Session = Annotated[str | None, Cookie(alias="session")]
ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}


async def async_return(user: User = None, session: Session = None) -> None:
    set_end_user(user, session=session)


def sync_return(user: User = None, session: Session = None) -> None:
    set_end_user(user, session=session)


async def async_yield(user: User = None, session: Session = None) -> AsyncIterator[None]:
    set_end_user(user, session=session)
    yield


def sync_yield(user: User = None, session: Session = None) -> Iterator[None]:
    set_end_user(user, session=session)
    yield


async def async_yield_within(user: User = None, session: Session = None) -> AsyncIterator[None]:
    with end_user(user, session=session):
        yield


def sync_yield_within(user: User = None, session: Session = None) -> Iterator[None]:
    with end_user(user, session=session):
        yield


DEPENDENCIES: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (async_return, sync_return, async_yield, sync_yield, async_yield_within, sync_yield_within)
}
FORMS = ("endpoint", "sync-endpoint", "stream", "sync-stream", "opened-stream", "task", "sync-task", "socket")


@dataclass(frozen=True)
class Clients:
    """The product's own clients."""

    plain: openai.OpenAI
    waiting: openai.AsyncOpenAI


def web_app(dependency: Callable[..., Any], clients: Clients) -> FastAPI:
    """One product whose only knowledge of its users is this dependency."""
    app = FastAPI(dependencies=[Depends(dependency)])
    _answers(app, clients)
    _streams(app, clients)
    _sync_streams(app, clients)
    _opened_streams(app, clients)
    _tasks(app, clients)
    return app


def _answers(app: FastAPI, clients: Clients) -> None:
    @app.get("/endpoint")
    async def endpoint() -> str:
        return str((await clients.waiting.responses.create(**ASK)).output_text)

    @app.get("/sync-endpoint")
    def sync_endpoint() -> str:
        return str(clients.plain.responses.create(**ASK).output_text)

    @app.websocket("/socket")
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            await websocket.send_text((await clients.waiting.responses.create(**ASK)).output_text)


def _streams(app: FastAPI, clients: Clients) -> None:
    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            async for event in await clients.waiting.responses.create(**ASK, stream=True):
                yield event.type

        return StreamingResponse(words())


def _sync_streams(app: FastAPI, clients: Clients) -> None:
    @app.get("/sync-stream")
    def sync_stream() -> StreamingResponse:
        def words() -> Iterator[str]:
            for event in clients.plain.responses.create(**ASK, stream=True):
                yield event.type

        return StreamingResponse(words())


def _opened_streams(app: FastAPI, clients: Clients) -> None:
    @app.get("/opened-stream")
    async def opened_stream() -> StreamingResponse:
        opened = await clients.waiting.responses.create(**ASK, stream=True)

        async def words() -> AsyncIterator[str]:
            async for event in opened:
                yield event.type

        return StreamingResponse(words())


def _tasks(app: FastAPI, clients: Clients) -> None:
    async def later() -> None:
        await clients.waiting.responses.create(**ASK)

    def sync_later() -> None:
        clients.plain.responses.create(**ASK)

    @app.get("/task")
    async def task(tasks: BackgroundTasks) -> str:
        tasks.add_task(later)
        return "soon"

    @app.get("/sync-task")
    def sync_task(tasks: BackgroundTasks) -> str:
        tasks.add_task(sync_later)
        return "soon"


def every_web_app(clients: Clients) -> FastAPI:
    """Each dependency's product under ``/bare/<name>``, and with our middleware under ``/safe/<name>``."""
    root = FastAPI()
    for name, dependency in DEPENDENCIES.items():
        root.mount(f"/bare/{name}", web_app(dependency, clients))
        root.mount(f"/safe/{name}", SafetyMiddleware(web_app(dependency, clients)))
    return root
