"""From the end user to what the provider sees: keyed hashes, and what telemetry may show of them."""

from __future__ import annotations

import hashlib
import hmac

from openai_safety_otel.contract.record import Identity
from openai_safety_otel.contract.vocabulary import LIBRARY_CONSTANTS, IdentifierSource
from openai_safety_otel.who.detectors import looks_raw
from openai_safety_otel.who.user import EndUser, blank

MIN_KEY_BYTES = 32
MAX_SHOWN_CHARS = 128
_CONTEXT = b"openai-safety-otel\x00v1\x00"


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

    def every_short(self, value: str) -> tuple[str, ...]:
        """``short`` under each key, of ordinary and of red-team traffic."""
        return tuple(Hasher(key, redteam=red).short(value) for key in self._keys for red in (False, True))


def unkeyed_short(value: str) -> str:
    """A 12-character hash of a high-entropy secret where no key is set."""
    return hashlib.sha256(_CONTEXT + value.encode("utf-8", "surrogatepass")).hexdigest()[:12]


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
    only its keyed hash is. A constant that a library puts in for all users is that library's, whoever sends it.
    """
    if value in LIBRARY_CONSTANTS and source == "caller":
        source = "library"
    if not value or blank(value):
        return Identity(source=source)
    raw = looks_raw(value)
    if not raw and len(value) <= MAX_SHOWN_CHARS:
        return Identity(value=value, source=source)
    if hasher is None:
        return Identity(source=source, raw_suspected=raw)
    forms = hasher.every("user", value)
    return Identity(value=forms[0], source=source, key_id=hasher.key_id, raw_suspected=raw, matches=forms[1:])


def owner(echoed: str, reader: Identity, hasher: Hasher | None) -> Identity:
    """Whose an answer or a session is: whom the provider says it was made for, not who looks at it."""
    found = shown_identity(echoed, hasher, "caller")
    return reader if found.value in (reader.value, *reader.matches) else found
