"""A ``connect``: the identifier in its handshake, on every reconnect too, and the session it opens."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.contract.words import safe_model
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.sockets.apis import SocketApi
from openai_safety_otel.instrumentation.sockets.frame import Frame
from openai_safety_otel.instrumentation.sockets.records import name_model
from openai_safety_otel.instrumentation.sockets.session import Session


class Opening:
    """One ``connect``: its arguments, changed only by injection, and the session to observe.

    Args:
        observer: opens and ends calls.
        api: which ``connect`` it is.
        resource: the SDK's object that has it.
        bound: the app's arguments.
    """

    def __init__(
        self, observer: Observer, api: SocketApi, resource: Any, bound: inspect.BoundArguments
    ) -> None:
        given = bound.arguments
        client = resource._client  # noqa: SLF001 - the SDK's own name for it, in every version
        # An existing call was given its identifier when it was made.
        attached = isinstance(given.get("call_id"), str)
        frame = Frame(
            str(getattr(client, "websocket_base_url", None) or client.base_url),
            headers=given.get("extra_headers"),
            sends_defaults=_sends_defaults(api, type(resource).__name__),
        )
        self.session, sent = session_of(observer, api, client, frame, given.get("model"), attached=attached)
        if sent.headers is not frame.headers:
            given["extra_headers"] = sent.headers
            repeat = given.get("on_reconnecting")
            if repeat is not None:
                given["on_reconnecting"] = _repeating(repeat, sent.headers, frame.headers)
        self.args, self.kwargs = bound.args, bound.kwargs


def session_of(
    observer: Observer, api: SocketApi, client: Any, frame: Frame, model: Any, *, attached: bool = False
) -> tuple[Session, Any]:
    """The session that a handshake opens, and the handshake with what our settings add."""
    endpoint = api.at(None if attached else api.handshake)
    record = CallRecord(api=api.api, endpoint=api.endpoint, operation=api.operation)
    sent = observer.prepare(record, endpoint, client, frame, {})
    name_model(record, safe_model(model) if isinstance(model, str) else None)
    if sent.json_data is not frame.json_data:
        record.delivery = "not_accepted"  # this host takes it in a body, and a handshake has none
    return Session(observer, api, client, endpoint, record, frame), sent


def _repeating(callback: Callable[..., Any], sent: Mapping[str, Any], given: Any) -> Callable[..., Any]:
    """The app's reconnect callback: headers that it overrides keep the identifier, unless it names one."""
    before = given if isinstance(given, Mapping) else {}
    added = {name: value for name, value in sent.items() if before.get(name) != value}

    @functools.wraps(callback)
    def on_reconnecting(*args: Any, **kwargs: Any) -> Any:
        result = callback(*args, **kwargs)
        headers = result.get("extra_headers") if isinstance(result, Mapping) else None
        if not isinstance(headers, Mapping):
            return result
        named = {str(name).lower() for name in headers}
        missing = {name: value for name, value in added.items() if name.lower() not in named}
        return {**result, "extra_headers": {**headers, **missing}} if missing else result

    return on_reconnecting


@functools.lru_cache(maxsize=64)
def _sends_defaults(api: SocketApi, resource: str) -> bool:
    """Whether this SDK version puts the client's default headers into this API's handshake."""
    manager = getattr(sys.modules.get(api.module), f"{resource}ConnectionManager", None)
    for name in ("_connect_ws", "__enter__", "__aenter__"):
        code = getattr(getattr(manager, name, None), "__code__", None)
        if code is not None:
            # Newer ones hand the client over to a shared function instead.
            return "default_headers" in code.co_names or any("connect_websocket" in n for n in code.co_names)
    return True
