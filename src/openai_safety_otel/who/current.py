"""The end user of the running context: set for a request, for a `with` block, or for the rest of the context."""

from __future__ import annotations

import contextvars
import functools
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from openai_safety_otel.who.user import EndUser, as_end_user

_F = TypeVar("_F", bound=Callable[..., Any])


class Holder:
    """A place for the end user of a request (`begin_request`) or of a `with` block.

    A framework that runs a sync dependency in a worker thread gives it a *copy* of the context: a value set
    there is lost, but a change of the request's place, which the copy shares, is seen.
    """

    __slots__ = ("before", "filled", "left", "opener", "request", "thread", "user")

    def __init__(
        self,
        user: EndUser | None,
        before: EndUser | Holder | None = None,
        opener: object = None,
        *,
        request: bool = False,
    ) -> None:
        self.user = user
        self.before = before
        self.opener = opener if opener is not None else self
        self.request: bool = request or (isinstance(before, Holder) and before.request)
        self.thread = threading.get_ident()
        self.left = False
        self.filled: tuple[Holder, EndUser | None] | None = None

    @property
    def in_other_thread(self) -> bool:
        """Whether the caller runs in another thread than the one that opened the place."""
        return self.thread != threading.get_ident()

    @property
    def names_nobody(self) -> bool:
        """Whether a request's place knows nobody, or only an anonymous session."""
        return self.request and not (self.user and (self.user.id or self.user.identifier or self.user.system))

    def with_user(self, user: EndUser | None) -> Holder:
        """The same block or request with another end user, for one context only."""
        return Holder(user, self.before, self.opener, request=self.request)

    def outside(self) -> EndUser | Holder | None:
        """Return the enclosing place, skipping blocks already left; call once, when this one ends."""
        place, self.before = self.before, None
        while isinstance(place, Holder) and place.left:
            place = place.before
        return place

    def leave(self, opener: object) -> None:
        """Mark the block of ``opener`` further out as left: it is not returned to (two generators in turn)."""
        place = self.before
        while isinstance(place, Holder):
            if place.opener is opener:
                place.left = True
                return
            place = place.before


current_place: contextvars.ContextVar[EndUser | Holder | None] = contextvars.ContextVar(
    "openai_safety_end_user", default=None
)


def begin_request(user: EndUser | None) -> Holder:
    """Start a request's shared place in this context."""
    holder = Holder(user, current_place.get(), request=True)
    current_place.set(holder)
    return holder


def end_request(holder: Holder) -> None:
    """Put back what was there before the request, unless this is another context."""
    place = current_place.get()
    if isinstance(place, Holder) and place.opener is holder:
        current_place.set(place.outside())


def current_end_user() -> EndUser | None:
    """The end user of the running context, or None."""
    found = current_place.get()
    return found.user if isinstance(found, Holder) else found


def set_end_user(
    user: str | EndUser | None = None,
    *,
    session: str | None = None,
    identifier: str | None = None,
    system: str | None = None,
) -> None:
    """Set the end user for the rest of this context (a request, a task, a thread).

    Args:
        user: the product's own id of the user, or an `EndUser`; None with nothing else clears it.
        session: an anonymous session's id, or the session that the user had before logging in.
        identifier: an identifier the product already sends; passed on unchanged.
        system: the name of a job that no person caused.
    """
    person = as_end_user(user, session=session, identifier=identifier, system=system)
    place = current_place.get()
    if not isinstance(place, Holder):
        current_place.set(person)
        return
    # From another thread (a sync dependency's) the request hears of it; this context (one of several tasks, perhaps)
    # keeps its own.
    if place.request and place.in_other_thread:
        place.user = person
    current_place.set(place.with_user(person))


class end_user:  # noqa: N801 - reads as a function: `with end_user("u42"):`
    """Set the end user inside a `with`, an `async with`, or a decorated function.

    Decorate a generator rather than write a `with` around its yields: between them that holds for its caller, too.
    The previous value is put back by value, not by a context token, so leaving from another task or thread
    (a generator closed by the event loop) raises nothing.
    """

    def __init__(
        self,
        user: str | EndUser | None = None,
        *,
        session: str | None = None,
        identifier: str | None = None,
        system: str | None = None,
    ) -> None:
        self._person = as_end_user(user, session=session, identifier=identifier, system=system)

    def __enter__(self) -> EndUser | None:
        before = current_place.get()
        block = Holder(self._person, before, self)
        # A sync dependency that yields in a worker thread: the request's own context gets to know. Any other block
        # ends before its thread's work does, and the request goes on beside it.
        yields = bool(sys._getframe(1).f_code.co_flags & inspect.CO_GENERATOR)  # noqa: SLF001 - no other way to know
        if (
            yields
            and isinstance(before, Holder)
            and before.in_other_thread
            and before.names_nobody
            and self._person
        ):
            block.filled = (before, before.user)
            before.user = self._person
        current_place.set(block)
        return self._person

    def __exit__(self, *_: object) -> None:
        place = current_place.get()
        if not isinstance(place, Holder):
            return
        if place.opener is not self:
            place.leave(self)
            return
        if place.filled:
            place.filled[0].user = place.filled[1]
        current_place.set(place.outside())

    async def __aenter__(self) -> EndUser | None:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __call__(self, function: _F) -> _F:
        """Decorate a function, coroutine function or (async) generator function."""
        return cast("_F", _decorated(self._person, function))


def _decorated(person: EndUser | None, function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function):
        return _async_generator(person, function)
    if inspect.isgeneratorfunction(function):
        return _generator(person, function)

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with end_user(person):
            return function(*args, **kwargs)

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with end_user(person):
            return await function(*args, **kwargs)

    return coroutine if inspect.iscoroutinefunction(function) else plain


def _generator(person: EndUser | None, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        body, inside = function(*args, **kwargs), _Steps(person)
        step: Callable[[Any], Any] = body.send
        given: Any = None
        try:
            while True:
                with inside:
                    item = step(given)
                try:
                    step, given = body.send, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in: the body's own
                    step, given = body.throw, error
        except StopIteration as end:
            return end.value
        finally:
            with inside:
                body.close()

    return generator


def _async_generator(person: EndUser | None, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def generator(*args: Any, **kwargs: Any) -> Any:
        body, inside = function(*args, **kwargs), _Steps(person)
        step: Callable[[Any], Any] = body.asend
        given: Any = None
        try:
            while True:
                with inside:
                    item = await step(given)
                try:
                    step, given = body.asend, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in: the body's own
                    step, given = body.athrow, error
        except StopAsyncIteration:
            return
        finally:
            with inside:
                await body.aclose()

    return generator


class _Steps:
    """The place of a decorated generator's body: taken while it runs, given back at each of its yields.

    Between two steps the caller goes on, perhaps with another generator, for somebody else.
    """

    def __init__(self, person: EndUser | None) -> None:
        self._place: EndUser | Holder | None = Holder(person, current_place.get())
        self._outside: EndUser | Holder | None = None

    def __enter__(self) -> None:
        self._outside = current_place.get()
        current_place.set(self._place)

    def __exit__(self, *error: object) -> None:
        self._place = current_place.get()  # `set_end_user` in the body holds for the rest of it
        current_place.set(self._outside)
        self._outside = None


def carry(function: _F) -> _F:
    """Bind the running context to a function handed to an executor: ``pool.submit(carry(work), item)``.

    `asyncio.to_thread` and tasks carry the context by themselves; executors do not.
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def carried(*args: Any, **kwargs: Any) -> Any:
        # A copy for each run: one context cannot be entered by two threads at once.
        return context.copy().run(function, *args, **kwargs)

    return cast("_F", carried)
