"""Who: explicit, from the context or from a resolver; a raw user id never leaves this file."""

from __future__ import annotations

import contextvars
import functools
import hashlib
import hmac
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar, cast

from openai_safety_otel.contract.conventions import IdentifierSource
from openai_safety_otel.contract.record import Identity
from openai_safety_otel.who.detectors import LONGEST_IDENTIFIER, looks_raw
from openai_safety_otel.who.place import Holder, current_place

MIN_KEY_BYTES = 32
MAX_ID_CHARS = LONGEST_IDENTIFIER
MAX_SHOWN_CHARS = 128
_CONTEXT = b"openai-safety-otel\x00v1\x00"
_F = TypeVar("_F", bound=Callable[..., Any])


def blank(value: object) -> bool:
    """Whether a text names nobody: nothing in it can be seen."""
    return isinstance(value, str) and not any(char.isprintable() and not char.isspace() for char in value)


@dataclass(frozen=True, slots=True)
class EndUser:
    """The person (or anonymous session, or system job) a call is made for. ``repr`` shows no value."""

    id: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)
    identifier: str | None = field(default=None, repr=False)
    system: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot name anybody, at the line that wrote it."""
        for name in self.__slots__:
            value = getattr(self, name)
            if value is None or blank(value):
                object.__setattr__(self, name, None)
            elif isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, name, str(value))
            elif not isinstance(value, str):
                raise TypeError(f"end user {name}: expected str, got {type(value).__name__}")
            elif len(value) > MAX_ID_CHARS:
                raise ValueError(f"end user {name}: longer than {MAX_ID_CHARS} characters")

    def __bool__(self) -> bool:
        """False for nobody: every part empty or absent."""
        return bool(self.id or self.session or self.identifier or self.system)


class Hasher:
    """Keyed hashes of users and sessions: HMAC-SHA256, domain-separated, 64 hex characters.

    Red-team traffic hashes in a domain of its own, so that a test never blocks an employee's real identifier.
    The keys never show in ``repr``.
    """

    def __init__(self, key: bytes, retired: tuple[bytes, ...] = (), *, redteam: bool = False) -> None:
        self._keys = (key, *retired)
        self._prefix = _CONTEXT + (b"redteam:" if redteam else b"")
        self.key_id = hmac.digest(key, _CONTEXT + b"key-id", "sha256").hex()[:8]

    def __repr__(self) -> str:
        return f"Hasher(key_id={self.key_id!r})"

    @property
    def keyed(self) -> tuple[bytes, ...]:
        """Every key, the current one first: for `whois`, which must try the retired ones too."""
        return self._keys

    def message(self, domain: str, value: str) -> bytes:
        """The bytes that are hashed for a value of ``domain`` ``user`` or ``session``."""
        return self._prefix + domain.encode() + b"\x00" + value.encode("utf-8", "surrogatepass")

    def end_user(self, value: str) -> str:
        """The identifier of a user id."""
        return hmac.digest(self._keys[0], self.message("user", value), "sha256").hex()

    def session(self, value: str) -> str:
        """The identifier of an anonymous session; can never equal a user's."""
        return hmac.digest(self._keys[0], self.message("session", value), "sha256").hex()

    def every(self, domain: str, value: str) -> tuple[str, ...]:
        """The identifier under each key, the current one first."""
        message = self.message(domain, value)
        return tuple(hmac.digest(key, message, "sha256").hex() for key in self._keys)

    def short(self, value: str) -> str:
        """A 12-character keyed hash, for things that are no person (API keys)."""
        return hmac.digest(self._keys[0], self.message("api-key", value), "sha256").hex()[:12]


def unkeyed_short(value: str) -> str:
    """A 12-character hash of a high-entropy secret where no key is set."""
    return hashlib.sha256(_CONTEXT + value.encode("utf-8", "surrogatepass")).hexdigest()[:12]


# --- the current end user ----------------------------------------------------------------------------------


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
    # Both: the request hears of it, and this context (one of several tasks, perhaps) keeps its own.
    if place.vacant or (place.request and place.foreign):
        place.user = person
    current_place.set(place.again(person))


def as_end_user(
    user: str | EndUser | None,
    *,
    session: str | None = None,
    identifier: str | None = None,
    system: str | None = None,
) -> EndUser | None:
    """One `EndUser` from the forms that people write; None for nobody."""
    if isinstance(user, EndUser):
        return user or None
    return EndUser(id=user, session=session, identifier=identifier, system=system) or None


class end_user:  # noqa: N801 - reads as a function: `with end_user("u42"):`
    """Set the end user inside a `with`, an `async with`, or a decorated function.

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
        if isinstance(before, Holder) and before.foreign and before.vacant and self._person:
            # A sync dependency that yields in a worker thread: the request's own context gets to know.
            block.filled = (before, before.user)
            before.user = self._person
        current_place.set(block)
        return self._person

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: _F) -> _F:
        """Decorate a function, coroutine function or (async) generator function."""
        return cast("_F", _decorated(self._person, function))


def _decorated(person: EndUser | None, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with end_user(person):
            return function(*args, **kwargs)

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        with end_user(person):
            return await function(*args, **kwargs)

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        with end_user(person):
            return (yield from function(*args, **kwargs))

    @functools.wraps(function)
    async def async_generator(*args: Any, **kwargs: Any) -> Any:
        with end_user(person):
            async for item in function(*args, **kwargs):
                yield item

    if inspect.iscoroutinefunction(function):
        return coroutine
    if inspect.isasyncgenfunction(function):
        return async_generator
    return generator if inspect.isgeneratorfunction(function) else plain


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


# --- from the end user to what the provider sees -----------------------------------------------------------


def identify(person: EndUser | None, hasher: Hasher | None) -> Identity:
    """The identity of an end user: hashed with the key, or without a value where there is no key."""
    if person is None:
        return Identity()
    if person.system:
        return Identity(source="system")
    if person.identifier:
        return _own_scheme(person.identifier, person, hasher)
    domain, source, raw = _kind(person)
    if hasher is None or raw is None:
        return Identity(source=source)
    forms = hasher.every(domain, raw)
    linked: tuple[str, ...] = ()
    if person.id and person.session:
        linked = hasher.every("session", person.session)
    return Identity(
        value=forms[0],
        source=source,
        key_id=hasher.key_id,
        linked=linked[0] if linked else None,
        matches=forms[1:] + linked,
    )


def _kind(person: EndUser) -> tuple[str, IdentifierSource, str | None]:
    return ("user", "end_user", person.id) if person.id else ("session", "session", person.session)


def _own_scheme(identifier: str, person: EndUser, hasher: Hasher | None) -> Identity:
    """An identifier of the product's own scheme: what telemetry may show of it, and its linked session."""
    linked = hasher.every("session", person.session) if hasher and person.session else ()
    shown = shown_identity(identifier, hasher, "caller")
    return Identity(
        value=shown.value,
        source="caller",
        key_id=shown.key_id,
        raw_suspected=shown.raw_suspected,
        linked=linked[0] if linked else None,
        matches=(*shown.matches, *linked),
    )


def shown_identity(value: str | None, hasher: Hasher | None, source: IdentifierSource) -> Identity:
    """What telemetry may show of an identifier that the app sends or the provider returns.

    It is shown as it is on the wire, unless it looks like personal data or is longer than telemetry keeps: then
    only its keyed hash is.
    """
    if not value or blank(value):
        return Identity(source=source)
    raw = looks_raw(value)
    if not raw and len(value) <= MAX_SHOWN_CHARS:
        return Identity(value=value, source=source)
    if hasher is None:
        return Identity(source=source, raw_suspected=raw)
    forms = hasher.every("user", value)
    return Identity(value=forms[0], source=source, key_id=hasher.key_id, raw_suspected=raw, matches=forms[1:])
