"""The SDK's streams observed by one cached subclass per base, and the bytes of responses nobody parses."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Protocol, get_origin

_classes: dict[Any, Any] = {}
_taps: dict[tuple[type, ...], type[Tap]] = {}
_BYTE_STREAMS = frozenset({"SyncByteStream", "AsyncByteStream"})


class Listener(Protocol):
    """What a stream tells its call."""

    reading: bool
    claimed: bool

    def chunk(self, chunk: object) -> None:
        """One parsed chunk."""

    def data(self, data: bytes) -> None:
        """Bytes that the caller reads from a response nobody parses."""

    def drained(self) -> None:
        """The end was reached."""

    def failed(self, error: BaseException) -> None:
        """Reading raised."""

    def closed(self) -> None:
        """The response was closed."""

    def dropped(self) -> None:
        """Nobody can read it any more; perhaps the garbage collector says so."""


class _Reading:
    """While the SDK reads a chunk for us, its own closing of the response is not the caller's."""

    __slots__ = ("_call",)

    def __init__(self, call: Listener) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._call.reading = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.reading = False
        if error is None:
            self._call.drained()
        elif isinstance(error, GeneratorExit):
            self._call.dropped()  # closed, or collected: from here nobody can tell
        else:
            self._call.failed(error)


def observed(stream_cls: Any) -> Any:
    """The observing subclass of a stream class or alias (``Stream[Chunk]``); one per base of the SDK's own.

    A base of another instrumentation is not remembered: some make a new class for every call.
    """
    found = _classes.get(stream_cls)
    if found is None:
        found = _subclass(stream_cls)
        if (get_origin(stream_cls) or stream_cls).__module__.partition(".")[0] == "openai":
            _classes[stream_cls] = found
    return found


def _subclass(alias: Any) -> Any:
    base = get_origin(alias) or alias
    if not inspect.isclass(base) or not hasattr(base, "__stream__"):
        return alias
    is_async = hasattr(base, "__aiter__")
    names = {
        "__stream__": _async_reader(base) if is_async else _sync_reader(base),
        "close": _async_close(base) if is_async else _sync_close(base),
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
    }
    return types.new_class(base.__name__, (alias,), {}, lambda body: body.update(names))


def _sync_reader(base: Any) -> Any:
    def read(self: Any) -> Iterator[Any]:
        call = _claim(self)
        with contextlib.closing(base.__stream__(self)) as inner:
            if call is None:
                yield from inner
                return
            with _Reading(call):
                for chunk in inner:
                    call.chunk(chunk)
                    call.reading = False
                    yield chunk
                    call.reading = True

    read.__name__ = "__stream__"
    return read


def _async_reader(base: Any) -> Any:
    def read(self: Any) -> AsyncIterator[Any]:
        return _AsyncReader(self, base.__stream__(self))

    read.__name__ = "__stream__"
    return read


class _AsyncReader:
    """The SDK's generator, looked at; not a second generator around it.

    The event loop closes every generator that is left behind, each in a task of its own: of two, one inside
    the other, the second to be closed would find the first already at it, and complain.
    """

    __slots__ = ("_call", "_inner", "_stream")

    def __init__(self, stream: Any, inner: Any) -> None:
        self._stream = stream
        self._inner = inner
        self._call: Listener | None = None

    def __aiter__(self) -> _AsyncReader:
        return self

    async def __anext__(self) -> Any:
        if self._stream is not None:
            self._call, self._stream = _claim(self._stream), None
        call = self._call
        if call is None:
            return await self._inner.__anext__()
        call.reading = True
        try:
            chunk = await self._inner.__anext__()
            call.chunk(chunk)
        except BaseException as error:
            call.reading = False
            _left(call, error)
            raise
        call.reading = False
        return chunk

    async def aclose(self) -> None:
        """Close the SDK's generator; older ones leave the response open, so nobody else would tell."""
        try:
            await self._inner.aclose()
        finally:
            if self._call is not None and not self._call.reading:
                self._call.closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _left(call: Listener, error: BaseException) -> None:
    """Reading has ended, in one of its ways."""
    if isinstance(error, StopAsyncIteration):
        call.drained()
    elif isinstance(error, GeneratorExit):
        call.closed()
    else:
        call.failed(error)


def _sync_close(base: Any) -> Any:
    # A response that was already read into memory tells nobody of its closing.
    @functools.wraps(base.close)
    def close(self: Any) -> None:
        try:
            base.close(self)
        finally:
            _closed(self)

    return close


def _async_close(base: Any) -> Any:
    @functools.wraps(base.close)
    async def close(self: Any) -> None:
        try:
            await base.close(self)
        finally:
            _closed(self)

    return close


def _closed(stream: Any) -> None:
    call = _claim(stream)
    if call is not None and not call.reading:
        call.closed()


def _claim(stream: Any) -> Listener | None:
    """The call behind a stream, found through the tap on its response; its bytes need no second look."""
    tap = getattr(getattr(stream, "response", None), "stream", None)
    if not isinstance(tap, Tap):
        return None
    tap.call.claimed = True
    return tap.call


class _Tapping:
    """Tells the call how the reading of bytes that nobody parses for the caller ended."""

    __slots__ = ("_call",)

    def __init__(self, call: Listener) -> None:
        self._call = call

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A claimed stream tells of its own end and errors, as the SDK's exceptions and not the transport's.
        if self._call.claimed or isinstance(error, GeneratorExit):
            return
        if error is None:
            self._call.drained()
        else:
            self._call.failed(error)


class Tap:
    """Stands before a response's byte stream: sees what the caller reads, and the close.

    It is also what dies with an un-iterated stream, whose generator never ran.
    """

    def __init__(self, inner: Any, call: Listener) -> None:
        self._inner = inner
        self.call = call

    def __iter__(self) -> Iterator[bytes]:
        call = self.call
        if call.claimed:  # its chunks tell all there is to tell: nothing is done for each piece
            yield from self._inner
            return
        with _Tapping(call):
            for data in self._inner:
                if not call.claimed:
                    call.data(data)
                yield data

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self.call.claimed:
            claimed: AsyncIterator[bytes] = self._inner.__aiter__()
            return claimed
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        call = self.call
        with _Tapping(call):
            async for data in self._inner:
                if not call.claimed:
                    call.data(data)
                yield data

    def close(self) -> None:
        """Close the response; the caller's own closing ends the record."""
        try:
            self._inner.close()
        finally:
            if not self.call.reading:
                self.call.closed()

    async def aclose(self) -> None:
        """Close the response; the caller's own closing ends the record."""
        try:
            await self._inner.aclose()
        finally:
            if not self.call.reading:
                self.call.closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __del__(self) -> None:
        call = self.__dict__.get("call")
        if call is not None:
            call.dropped()


def tap(response: Any, call: Listener) -> bool:
    """Put a tap before a response's stream; False where it has none of a known kind."""
    inner = response.stream
    bases = tuple(c for c in type(inner).__mro__ if c.__name__ in _BYTE_STREAMS)
    if not bases:
        return False
    made = _taps.get(bases)
    if made is None:
        made = _taps[bases] = type("Tap", (Tap, *bases), {})
    response.stream = made(inner, call)
    return True
