"""The SDK's streams observed where they read, and the bytes of responses nobody parses."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

_taps: dict[tuple[type, ...], type[Tap]] = {}
_BYTE_STREAMS = frozenset({"SyncByteStream", "AsyncByteStream"})


class StreamedCall(Protocol):
    """What a stream tells its call."""

    reading: bool
    claimed: bool
    listening: bool

    def claim(self) -> None:
        """The SDK's stream reads the response: its chunks tell what happened."""

    def chunk(self, chunk: object) -> None:
        """One parsed chunk."""

    def data(self, data: bytes) -> None:
        """Bytes of the response, while the call listens."""

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

    def __init__(self, call: StreamedCall) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._call.reading = True

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._call.reading = False
        if error is None:
            self._call.drained()
        elif isinstance(error, GeneratorExit):
            self._call.dropped()  # closed, or collected: from here nobody can tell
        else:
            self._call.failed(error)


def opened(stream: Any) -> None:
    """The SDK has made a stream over a response with a tap: what it yields is looked at.

    The stream keeps its class; the app may have given its own. Where that class or its chunks are no longer the SDK's
    own, the bytes of the response tell what happened.
    """
    tap = _tap(stream)
    if tap is None or not _yields_chunks(stream):
        return
    reader = _AsyncReader if hasattr(stream, "__anext__") else _read
    stream._iterator = reader(tap.call, stream)  # noqa: SLF001 - its name in every version of the SDK


def closed(stream: Any) -> None:
    """The app closed a stream; a response that was already read into memory tells nobody of it."""
    tap = _tap(stream)
    if tap is not None and not tap.call.reading:
        tap.call.closed()


def _tap(stream: Any) -> Tap | None:
    found = getattr(getattr(stream, "response", None), "stream", None)
    return found if isinstance(found, Tap) else None


def _yields_chunks(stream: Any) -> bool:
    """Whether a stream yields what `fold` can read: models of the SDK, or plain dictionaries."""
    chunk = getattr(stream, "_cast_to", None)
    plain = not isinstance(chunk, type) or chunk is object or issubclass(chunk, dict) or _of_the_sdk(chunk)
    return plain and _of_the_sdk(type(stream).__stream__)


def _of_the_sdk(made: Any) -> bool:
    return str(made.__module__).partition(".")[0] == "openai"


def _read(call: StreamedCall, stream: Any) -> Iterator[Any]:
    # Not the SDK's first generator, which nobody has begun: it is older than this one, so that the collector would
    # close it first, and its closing would look like the app's.
    with contextlib.closing(stream.__stream__()) as chunks, _Reading(call):
        call.claim()
        for chunk in chunks:
            call.chunk(chunk)
            call.reading = False
            yield chunk
            call.reading = True


class _AsyncReader:
    """The SDK's generator, looked at; not a second generator around it.

    The event loop closes every generator that is left behind, each in a task of its own: of two, one inside
    the other, the second to be closed would find the first already at it, and complain.
    """

    __slots__ = ("_call", "_inner")

    def __init__(self, call: StreamedCall, stream: Any) -> None:
        self._call = call
        self._inner = stream._iterator  # noqa: SLF001 - its name in every version of the SDK

    def __aiter__(self) -> _AsyncReader:
        return self

    async def __anext__(self) -> Any:
        # The collector closes generators in the order in which it finds them, and the connection closes quietly only
        # where the SDK's own comes first: so it is held here, where the collector looks first.
        inner, call = self._inner, self._call
        if not call.claimed:
            call.claim()
        call.reading = True
        try:
            chunk = await inner.__anext__()
        except BaseException as error:
            call.reading = False
            _left(call, error)
            raise
        call.reading = False
        call.chunk(chunk)
        return chunk

    async def aclose(self) -> None:
        """Close the SDK's generator; older ones leave the response open, so nobody else would tell."""
        try:
            await self._inner.aclose()
        finally:
            if not self._call.reading:
                self._call.closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _left(call: StreamedCall, error: BaseException) -> None:
    """Reading has ended, in one of its ways."""
    if isinstance(error, StopAsyncIteration):
        call.drained()
    elif isinstance(error, GeneratorExit):
        call.closed()
    else:
        call.failed(error)


class _Tapping:
    """Tells the call how the reading of bytes that nobody parses for the caller ended."""

    __slots__ = ("_call",)

    def __init__(self, call: StreamedCall) -> None:
        self._call = call

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # A claimed stream tells of its own end and errors, as the SDK's exceptions and not the transport's.
        if self._call.claimed or isinstance(error, GeneratorExit):
            return
        if error is None:
            self._call.drained()
        else:
            self._call.failed(error)


class _Pieces:
    """A response's bytes for an async caller; handed straight through once the call need not hear them.

    Like the generator that it stands for, so that a caller who closes one closes it.
    """

    __slots__ = ("_call", "_inner")

    def __init__(self, call: StreamedCall, inner: Any) -> None:
        self._call = call
        self._inner = inner

    def __aiter__(self) -> _Pieces:
        return self

    def __anext__(self) -> Any:
        return self._heard() if self._call.listening else self._inner.__anext__()

    async def _heard(self) -> Any:
        inner, call = self._inner, self._call
        try:
            data = await inner.__anext__()
        except BaseException as error:
            if not call.claimed:  # a claimed stream tells of its own end and errors
                _left(call, error)
            raise
        call.data(data)
        return data

    def asend(self, value: Any) -> Any:
        return self._inner.asend(value)

    def athrow(self, *error: Any) -> Any:
        return self._inner.athrow(*error)

    async def aclose(self) -> None:
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await close()


class Tap:
    """Stands before a response's byte stream: sees what the caller reads, and the close.

    It is also what dies with an un-iterated stream, whose generator never ran.
    """

    def __init__(self, inner: Any, call: StreamedCall) -> None:
        self._inner = inner
        self.call = call

    def __iter__(self) -> Iterator[bytes]:
        call = self.call
        with _Tapping(call):
            for data in self._inner:
                if call.listening:
                    call.data(data)
                yield data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(self.call, self._inner.__aiter__())

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


def tap(response: Any, call: StreamedCall) -> bool:
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


def tell_of_reading(response: Any, call: StreamedCall) -> None:
    """Have a response that its transport has read tell of being read, and closed: no bytes pass its tap."""

    def telling(method: Any, tell: Callable[[], None]) -> Any:
        @functools.wraps(method)
        def told(*args: Any, **kwargs: Any) -> Any:
            if not (call.claimed or call.reading):
                tell()
            return method(*args, **kwargs)

        return told

    for prefix in ("", "a"):
        for name in ("read", "iter_bytes", "iter_raw"):
            setattr(response, prefix + name, telling(getattr(response, prefix + name), call.drained))
        setattr(response, prefix + "close", telling(getattr(response, prefix + "close"), call.closed))
