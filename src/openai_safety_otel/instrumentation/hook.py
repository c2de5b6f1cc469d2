"""Two shells that differ by `await`, and the inner points where a response or an error is first seen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

from openai_safety_otel.contract.harmless import harmless
from openai_safety_otel.instrumentation.arrival import Arrival, options_of
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.passing import current_call
from openai_safety_otel.instrumentation.streams import closed, opened


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

    def _observe(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Another instrumentation's wrapper passes attributes through: only a plain method is the SDK's own.
        plain = type(wrapped) is MethodType and wrapped.__func__ in self._originals
        return self.observer.observe(client, args, kwargs, peer_inside=not plain)

    def request(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``OpenAI.request``."""
        with self._observe(wrapped, client, args, kwargs) as call:
            if call.gate is not None:
                call.gate.hold()
            args, kwargs = call.sent()
            return call.seen(wrapped(*args, **kwargs))

    async def async_request(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``AsyncOpenAI.request``."""
        with self._observe(wrapped, client, args, kwargs) as call:
            if call.gate is not None:
                await call.gate.hold_async()
            args, kwargs = call.sent()
            return call.seen(await wrapped(*args, **kwargs))

    def process_response(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``SyncAPIClient._process_response``: inside every other wrapper, whatever the load order."""
        with self._arriving(client, kwargs) as arrival:
            return arrival.parsed(wrapped(*args, **kwargs))

    async def async_process_response(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``AsyncAPIClient._process_response``."""
        with self._arriving(client, kwargs) as arrival:
            return arrival.parsed(await wrapped(*args, **kwargs))

    def status_error(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``_make_status_error_from_response``: the last moment a peer's span is current."""
        error = wrapped(*args, **kwargs)
        call, late = self._running(client, None, args[0] if args else kwargs["response"])
        if call is not None:
            call.refused(args[0] if args else kwargs["response"], error)
            if late:
                call.failed(error)
        return error

    def _arriving(self, client: Any, kwargs: dict[str, Any]) -> Arrival:
        call, late = self._running(
            client, kwargs["options"], kwargs["response"], stream=bool(kwargs.get("stream"))
        )
        return Arrival(call, kwargs, late=late)

    def _running(
        self, client: Any, options: Any, response: Any, *, stream: bool = False
    ) -> tuple[Call | None, bool]:
        """The call that this response belongs to, if it is recorded; and whether it came past the outer hook.

        Another library may have taken ``request`` from the class before we were there, and put it into the
        client itself: then nobody has seen the call yet.
        """
        current = current_call(client)
        if current is not None or not self._may_be_overtaken(client):
            return (current, False) if isinstance(current, Call) else (None, False)
        options = options or options_of(response.request)
        return self.observer.overtaken(client, options, response, streaming=stream), True

    def _may_be_overtaken(self, client: Any) -> bool:
        """Whether something stands before the class's ``request``: in the client itself or in a subclass."""
        if not isinstance(client, self._clients):
            return False
        own = type(client).__mro__
        nearer = own[: next(at for at, cls in enumerate(own) if cls in self._clients)]
        return "request" in vars(client) or any("request" in vars(cls) for cls in nearer)

    def stream_opened(
        self, wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Around ``Stream.__init__`` and its async twin: the class stays as it is, and so does the app's own."""
        wrapped(*args, **kwargs)
        with harmless("stream"):
            opened(stream)

    def stream_closed(
        self, wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Around ``Stream.close``."""
        with _closing(stream):
            wrapped(*args, **kwargs)

    async def async_stream_closed(
        self, wrapped: Callable[..., Any], stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Around ``AsyncStream.close``."""
        with _closing(stream):
            await wrapped(*args, **kwargs)


@contextlib.contextmanager
def _closing(stream: Any) -> Iterator[None]:
    try:
        yield
    finally:
        with harmless("stream"):
            closed(stream)
