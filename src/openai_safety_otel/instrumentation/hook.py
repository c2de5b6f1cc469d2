"""Two shells that differ by `await`, and the inner points where a response or an error is first seen."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from types import MethodType, SimpleNamespace
from typing import Any

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.passing import Pass, current
from openai_safety_otel.instrumentation.streams import closed, opened

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]


class Hooks:
    """The wrappers that are put around the SDK's methods.

    Args:
        observer: opens and ends calls.
        originals: the SDK's own ``request`` functions; anything else inside us is another instrumentation.
        clients: the classes whose ``request`` is wrapped.
    """

    def __init__(
        self, observer: Observer, originals: frozenset[object], clients: tuple[type, ...] = ()
    ) -> None:
        self.observer = observer
        self._originals = originals
        self._clients = clients

    def _observed(
        self, wrapped: Any, client: Any, args: _Args, kwargs: _Kwargs
    ) -> tuple[Call | Pass, _Args, _Kwargs]:
        """The call to record, or one that passes; and the arguments to go on with."""
        options = args[1] if len(args) > 1 else kwargs.get("options")
        # Another instrumentation's wrapper passes attributes through: only a plain method is the SDK's own.
        plain = type(wrapped) is MethodType and wrapped.__func__ in self._originals
        call, sent = self.observer.observe(
            client, options, streaming=bool(kwargs.get("stream")), peer_inside=not plain
        )
        if sent is not options:
            if len(args) > 1:
                args = (args[0], sent, *args[2:])
            else:
                kwargs = {**kwargs, "options": sent}
        return call if call is not None else Pass(client), args, kwargs

    def request(self, wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around ``OpenAI.request``."""
        call, args, kwargs = self._observed(wrapped, client, args, kwargs)
        with call:
            if call.gate is not None:
                call.gate.hold()
            return call.returned(wrapped(*args, **kwargs))

    async def async_request(
        self, wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs
    ) -> Any:
        """Around ``AsyncOpenAI.request``."""
        call, args, kwargs = self._observed(wrapped, client, args, kwargs)
        with call:
            if call.gate is not None:
                await call.gate.hold_async()
            return call.returned(await wrapped(*args, **kwargs))

    def process_response(self, wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around ``SyncAPIClient._process_response``: inside every other wrapper, whatever the load order."""
        call = self._arrived(client, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            call.misread(error)
            raise
        return call.parsed(result)

    async def async_process_response(
        self, wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs
    ) -> Any:
        """Around ``AsyncAPIClient._process_response``."""
        call = self._arrived(client, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            call.misread(error)
            raise
        return call.parsed(result)

    def status_error(self, wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around ``_make_status_error_from_response``: the last moment a peer's span is current."""
        error = wrapped(*args, **kwargs)
        response = args[0] if args else kwargs["response"]
        call = self._running(client, None, response)
        if call is not None:
            call.refused(response, error)
        return error

    def _arrived(self, client: Any, kwargs: _Kwargs) -> Call | None:
        """Headers are here: the call whose they are, if it is recorded."""
        response, options, stream = kwargs["response"], kwargs["options"], bool(kwargs.get("stream"))
        call = self._running(client, options, response, stream=stream)
        if call is not None:
            call.arrived(response, options, stream=stream, retries=int(kwargs.get("retries_taken") or 0))
        return call

    def _running(self, client: Any, options: Any, response: Any, *, stream: bool = False) -> Call | None:
        """The call that this response belongs to, if it is recorded.

        A call may be made inside another one (by a filter, an ``api_key`` function, a transport): what arrives for
        one client is never another one's. Another library may have taken ``request`` from the class before we were
        there, and put it into the client itself: then nobody has seen the call yet.
        """
        running = current.get()
        if running is not None and running.client is client:
            return running if isinstance(running, Call) else None
        if not self._may_be_overtaken(client):
            return None
        return self.observer.overtaken(
            client, options or _options_of(response.request), response, streaming=stream
        )

    def _may_be_overtaken(self, client: Any) -> bool:
        """Whether something stands before the class's ``request``: in the client itself or in a subclass."""
        if not isinstance(client, self._clients):
            return False
        own = type(client).__mro__
        nearer = own[: next(at for at, cls in enumerate(own) if cls in self._clients)]
        return "request" in vars(client) or any("request" in vars(cls) for cls in nearer)

    def stream_opened(self, wrapped: Callable[..., Any], stream: Any, args: _Args, kwargs: _Kwargs) -> None:
        """Around ``Stream.__init__`` and its async twin: the class stays as it is, and so does the app's own."""
        wrapped(*args, **kwargs)
        with own_errors("stream"):
            opened(stream)

    def stream_closed(self, wrapped: Callable[..., Any], stream: Any, args: _Args, kwargs: _Kwargs) -> None:
        """Around ``Stream.close``."""
        with _closing(stream):
            wrapped(*args, **kwargs)

    async def async_stream_closed(
        self, wrapped: Callable[..., Any], stream: Any, args: _Args, kwargs: _Kwargs
    ) -> None:
        """Around ``AsyncStream.close``."""
        with _closing(stream):
            await wrapped(*args, **kwargs)


def _options_of(request: Any) -> Any:
    """A request that has left, in the shape in which the SDK's options are read."""
    try:
        body = json.loads(request.content)
    except (ValueError, RuntimeError):  # no JSON, or a body that was streamed
        body = None
    return SimpleNamespace(
        method=request.method, url=str(request.url), headers=dict(request.headers), json_data=body
    )


@contextlib.contextmanager
def _closing(stream: Any) -> Iterator[None]:
    try:
        yield
    finally:
        with own_errors("stream"):
            closed(stream)
