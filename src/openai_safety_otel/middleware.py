"""Where a web application knows its user: ASGI and WSGI middleware around a ``get_user`` callable."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sized
from typing import Any, cast

from openai_safety_otel.contract.asgi import Scope
from openai_safety_otel.instrumentation.passing import forget_last_response
from openai_safety_otel.who.current import Holder, begin_request, end_request
from openai_safety_otel.who.user import EndUser, as_end_user

_log = logging.getLogger(__name__)
User = str | EndUser | None
GetUser = Callable[[Scope], User | Awaitable[User]]
AsgiApp = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Awaitable[None]]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class _Failures:
    """Says once for each kind that ``get_user`` failed; never the message, which may quote the user.

    The request's OpenAI calls are counted as `no_user`, unless the app says itself who it is.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        name = type(error).__name__
        if name not in self._logged:
            self._logged.add(name)
            _log.error("get_user failed (%s); its requests' OpenAI calls carry no end user", name)
        return True


class SafetyMiddleware:
    """ASGI middleware: one shared place for the end user of each HTTP request or WebSocket.

    Args:
        app: the application.
        get_user: called with the connection's scope; may be a coroutine function. Without it the middleware
            still makes `set_end_user` reach the endpoint from wherever it is called, a sync dependency in a
            worker thread included.
    """

    def __init__(self, app: AsgiApp, get_user: GetUser = lambda _: None) -> None:
        self.app = app
        self._get_user = get_user
        self._failures = _Failures()

    async def __call__(
        self, scope: Scope, receive: Callable[..., Awaitable[Any]], send: Callable[..., Awaitable[Any]]
    ) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        holder = begin_request(None)
        forget_last_response()
        try:
            holder.user = await self._user(scope)
            await self.app(scope, receive, send)
        finally:
            end_request(holder)

    async def _user(self, scope: Scope) -> EndUser | None:
        with self._failures:
            found = self._get_user(scope)
            return as_end_user(await found if inspect.isawaitable(found) else found)
        return None


class SafetyWsgiMiddleware:
    """WSGI middleware: the same for Flask, Django and others; the user holds until the response is closed."""

    def __init__(self, app: WsgiApp, get_user: Callable[[dict[str, Any]], User] = lambda _: None) -> None:
        self.app = app
        self._get_user = get_user
        self._failures = _Failures()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        holder = begin_request(None)
        forget_last_response()
        try:
            holder.user = self._user(environ)
            body = self.app(environ, start_response)
        except BaseException:
            end_request(holder)
            raise
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            end_request(holder)  # the server sends a file in its own way, if it sees that it is one
            return body
        return _SizedBody(body, holder) if isinstance(body, Sized) else _Body(body, holder)

    def _user(self, environ: dict[str, Any]) -> EndUser | None:
        with self._failures:
            return as_end_user(self._get_user(environ))
        return None


class _Body:
    """A response body that gives the end user back when the server closes it."""

    def __init__(self, body: Iterable[bytes], holder: Holder) -> None:
        self._body = body
        self._holder = holder

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the application's body, then restore."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            end_request(self._holder)


class _SizedBody(_Body):
    """A body whose length the server may ask for, to say how long the response is."""

    def __len__(self) -> int:
        return len(cast("Sized", self._body))
