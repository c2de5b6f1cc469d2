"""The wrappers around the classes of one socket API: twins that differ by `await`, and what both share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.instrumentation.endings import endings
from openai_safety_otel.instrumentation.extract.shape import dig
from openai_safety_otel.instrumentation.filtering import running
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.sockets.apis import SocketApi
from openai_safety_otel.instrumentation.sockets.opening import Opening
from openai_safety_otel.instrumentation.sockets.sending import Sending, sending
from openai_safety_otel.instrumentation.sockets.session import Session

# Where a manager or a connection keeps its session; private, so that the public face stays as it is.
_KEY = "_openai_safety_session"
_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]


class _Told:
    """``with _Told(hear):`` tells of what is raised inside, which goes on to the app untouched."""

    __slots__ = ("_hear",)

    def __init__(self, hear: Callable[[BaseException], None]) -> None:
        self._hear = hear

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._hear(error)


class SocketHooks:
    """The wrappers of one socket API.

    Args:
        observer: opens and ends calls.
        api: which ``connect`` these belong to.
    """

    def __init__(self, observer: Observer, api: SocketApi) -> None:
        self.observer = observer
        self.api = api

    # -- opening --------------------------------------------------------------------------------------------

    def connect(self, wrapped: Callable[..., Any], resource: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around ``connect`` of both clients, which only makes a manager."""
        opening = self._opening(wrapped, resource, args, kwargs)
        if opening is None:
            return wrapped(*args, **kwargs)
        self._refuse_early(opening.session)
        manager = wrapped(*opening.args, **opening.kwargs)
        _keep(manager, opening.session)
        endings.watch(manager, opening.session.unused)
        return manager

    def enter(self, wrapped: Callable[..., Any], manager: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around the handshake."""
        session = self._entering(manager)
        if session is None:
            return wrapped(*args, **kwargs)
        with _Told(session.refused):
            _admit(session)
            connection = wrapped(*args, **kwargs)
        _watch(connection, session)
        return connection

    async def async_enter(
        self, wrapped: Callable[..., Any], manager: Any, args: _Args, kwargs: _Kwargs
    ) -> Any:
        """Around the async handshake."""
        session = self._entering(manager)
        if session is None:
            return await wrapped(*args, **kwargs)
        with _Told(session.refused):
            _admit(session)
            connection = await wrapped(*args, **kwargs)
        _watch(connection, session)
        return connection

    def _opening(
        self, wrapped: Callable[..., Any], resource: Any, args: _Args, kwargs: _Kwargs
    ) -> Opening | None:
        if not self.observer.active or running():
            return None
        try:
            bound = inspect.signature(wrapped).bind(*args, **kwargs)
        except TypeError:
            return None  # the SDK's own method says best what does not fit
        with own_errors("socket"):
            return Opening(self.observer, self.api, resource, bound)
        return None

    def _refuse_early(self, session: Session) -> None:
        """A suspended end user is refused where they connect, not where the manager is entered."""
        guard = self.observer.guard
        entry = guard.check(session.record.identity) if guard is not None else None
        if entry is None or not entry.refuses:
            return
        with _Told(session.refused):
            session.begin()
            _admit(session)

    def _entering(self, manager: Any) -> Session | None:
        session = _session(manager)
        if session is None or not self.observer.active:
            return None
        with own_errors("socket"):
            if session.entered:
                session = session.again()
                _keep(manager, session)
            session.begin()
        return session

    # -- sending --------------------------------------------------------------------------------------------

    def send(self, wrapped: Callable[..., Any], sender: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around ``send`` and ``send_raw``, and a manager's ``send``, which queues until it is entered."""
        session, going = self._sending(sender, args, kwargs)
        if session is None or going is None:
            return wrapped(*args, **kwargs)
        with going:
            if going.gate is not None:
                going.gate.hold()
            with session.order:
                going.leave()
                return wrapped(*_first(args, going.event), **_only(kwargs, going.event))

    async def async_send(self, wrapped: Callable[..., Any], sender: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around ``send`` and ``send_raw`` of async connections."""
        session, going = self._sending(sender, args, kwargs)
        if session is None or going is None:
            return await wrapped(*args, **kwargs)
        with going:
            if going.gate is not None:
                await going.gate.hold_async()
            going.leave()
            return await wrapped(*_first(args, going.event), **_only(kwargs, going.event))

    def _sending(self, sender: Any, args: _Args, kwargs: _Kwargs) -> tuple[Session | None, Sending | None]:
        session = _session(sender)
        if session is None or not self.observer.active:
            return None, None
        event = args[0] if args else next(iter(kwargs.values()), None)
        with own_errors("socket"):
            return session, sending(session, event)
        return session, None

    # -- receiving ------------------------------------------------------------------------------------------

    def recv_bytes(self, wrapped: Callable[..., Any], connection: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around the reading of one frame: every other way of reading comes through here."""
        session = _session(connection)
        if session is None:
            return wrapped(*args, **kwargs)
        session.reading()
        with _Told(session.unread):
            raw = wrapped(*args, **kwargs)
        session.arrived(raw)
        return raw

    async def async_recv_bytes(
        self, wrapped: Callable[..., Any], connection: Any, args: _Args, kwargs: _Kwargs
    ) -> Any:
        """Around the async reading of one frame."""
        session = _session(connection)
        if session is None:
            return await wrapped(*args, **kwargs)
        session.reading()
        with _Told(session.unread):
            raw = await wrapped(*args, **kwargs)
        session.arrived(raw)
        return raw

    def parse_event(self, wrapped: Callable[..., Any], connection: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around the parsing of a frame: nothing is parsed a second time."""
        event = wrapped(*args, **kwargs)
        session = _session(connection)
        if session is not None:
            session.parsed(event)
        return event

    # -- closing --------------------------------------------------------------------------------------------

    def close(self, wrapped: Callable[..., Any], connection: Any, args: _Args, kwargs: _Kwargs) -> Any:
        """Around the app's closing; leaving a manager's context closes too."""
        session = _session(connection)
        if session is None:
            return wrapped(*args, **kwargs)
        session.closing = True
        try:
            return wrapped(*args, **kwargs)
        finally:
            session.closed()

    async def async_close(
        self, wrapped: Callable[..., Any], connection: Any, args: _Args, kwargs: _Kwargs
    ) -> Any:
        """Around the app's closing of an async connection."""
        session = _session(connection)
        if session is None:
            return await wrapped(*args, **kwargs)
        session.closing = True
        try:
            return await wrapped(*args, **kwargs)
        finally:
            session.closed()


def _session(holder: Any) -> Session | None:
    found = getattr(holder, "__dict__", {}).get(_KEY)
    return found if isinstance(found, Session) else None


def _keep(holder: Any, session: Session) -> None:
    holder.__dict__[_KEY] = session


def _watch(connection: Any, session: Session) -> None:
    with own_errors("socket"):
        _keep(connection, session)
        session.connected(dig(connection, "_connection", "response", "headers"))
        endings.watch(connection, session.collected)


def _admit(session: Session) -> None:
    """Nothing was said yet: a suspension refuses, a filter has nothing to be asked about."""
    gate = session.call.gate if session.call is not None else None
    if gate is not None:
        gate.refuse()


def _first(args: _Args, event: Any) -> _Args:
    return (event, *args[1:]) if args else args


def _only(kwargs: _Kwargs, event: Any) -> _Kwargs:
    return dict.fromkeys(kwargs, event)
