"""How the identifier reaches the provider: what the app sends, where ours goes, or why it does not."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.record import AttributeValue, CallRecord, Identity
from openai_safety_otel.contract.settings import CallerIdentifier, Settings
from openai_safety_otel.contract.vocabulary import IdentifierDelivery, ProblemReason
from openai_safety_otel.instrumentation.extract.endpoints import Endpoint
from openai_safety_otel.instrumentation.options import ABSENT, caller_value, place_used, put
from openai_safety_otel.who.identifier import Hasher, identify, shown_identity, unkeyed_short
from openai_safety_otel.who.resolver import Resolver
from openai_safety_otel.who.user import EndUser, blank

_log = logging.getLogger(__name__)

# Other providers behind the SDK that take an identifier; used once the host is on the allow-list.
HOST_PLACES = {"api.perplexity.ai": "header:Perplexity-Safety-Identifier"}
_WHOLE_URL = ("http://", "https://", "ws://", "wss://")
_SCHEME = max(map(len, _WHOLE_URL))
_HTTPS = 443
_MAX_DESTINATIONS = 256
_MAX_CACHED_KEYS = 256
_MAX_CACHED_PEOPLE = 128  # somebody who calls mostly calls several times in a row


class CallAddress(NamedTuple):
    """What is the same for every call of one endpoint at one address.

    ``place`` is where an identifier goes (``body:field`` or ``header:Name``), ``allowed`` whether anything may be
    added there, ``standard`` the attributes that each of its calls has.
    """

    host: str | None
    place: str | None
    allowed: bool
    standard: dict[str, AttributeValue]


class Sender(NamedTuple):
    """What is the same for every call of one end user: ``value`` is sent where it may be; if not, ``delivery``."""

    identity: Identity
    value: str | None
    delivery: IdentifierDelivery
    problems: tuple[ProblemReason, ...]


class Delivery:
    """Fills in a record's identity and delivery, and puts our identifier where this call accepts one."""

    def __init__(self, settings: Settings, hasher: Hasher | None) -> None:
        self._settings = settings
        self._hasher = hasher
        self._resolver = Resolver(settings.user_resolver)
        self._places = {**HOST_PLACES, **dict(settings.host_identifiers)}
        self._allowed = {*settings.inject_hosts, *dict(settings.host_identifiers)}
        self._key_ids: dict[str, str] = {}
        self._replaced: set[str] = set()
        self._sender = functools.lru_cache(_MAX_CACHED_PEOPLE)(self._make_sender)
        # By the client's own URL object, which is kept so that its id stays its own.
        self._destinations: dict[tuple[int, str, str | None], tuple[object, CallAddress]] = {}

    def identity_now(self) -> Identity:
        """Who the running context is for, as a call made now would say it."""
        return self._sender(self._resolver.current([]) if self._settings.identifier else None).identity

    def allowed(self, host: str | None) -> bool:
        """Whether calls to this host are a provider's that takes an identifier."""
        return host in self._allowed

    def destination(self, endpoint: Endpoint, client: Any, options: Any) -> CallAddress:
        """Where a call goes: to the client's base URL, unless the path is a whole URL."""
        if options.url[:_SCHEME].lower().startswith(_WHOLE_URL):
            parts = urlsplit(options.url)
            return self._destination(endpoint, client, parts.hostname, parts.port)
        base = getattr(client, "base_url", None)
        key = (id(base), endpoint.name, endpoint.place)
        kept = self._destinations.get(key)
        if kept is not None and kept[0] is base:
            return kept[1]
        found = self._destination(endpoint, client, getattr(base, "host", None), getattr(base, "port", None))
        if len(self._destinations) >= _MAX_DESTINATIONS:
            self._destinations.clear()
        self._destinations[key] = base, found
        return found

    def _destination(
        self, endpoint: Endpoint, client: Any, host: str | None, port: int | None
    ) -> CallAddress:
        azure = "azure" in type(client).__name__.lower() or (host or "").endswith(".azure.com")
        standard: dict[str, AttributeValue] = {
            c.OPERATION_NAME: endpoint.operation,
            c.PROVIDER_NAME: "azure.ai.openai" if azure else "openai",
        }
        if host:
            standard[c.SERVER_ADDRESS] = host
            if port is not None and port != _HTTPS:  # which goes without saying
                standard[c.SERVER_PORT] = port
        allowed = self.allowed(host)
        place: str | None = endpoint.place
        if allowed and (own := self._places.get(host or "")):
            place = own if endpoint.inference else None
        return CallAddress(host, place, allowed, standard)

    def address(
        self, record: CallRecord, to: CallAddress, client: Any, options: Any, body: Mapping[str, Any]
    ) -> Any:
        """Set ``record.identity`` and ``record.delivery``; the options to send, changed only by injection."""
        sent = self._addressed(record, to, client, options, body)
        user = body.get("user")
        if user is not None and record.identity.source != "legacy_user":
            self._beside(record, _text(user))
        return sent

    def _beside(self, record: CallRecord, user: str) -> None:
        """An app that names its end users may send ``user`` as before: decisions made under that hold, too."""
        who, beside = record.identity, shown_identity(user, self._hasher, "legacy_user")
        matches = (*who.matches, *filter(None, (beside.value, *beside.matches)))
        raw = beside.raw_suspected and not who.raw_suspected
        record.identity = dataclasses.replace(who, matches=matches, raw_suspected=raw or who.raw_suspected)
        if raw:
            record.problems.append("raw_suspected")

    def _addressed(
        self, record: CallRecord, to: CallAddress, client: Any, options: Any, body: Mapping[str, Any]
    ) -> Any:
        person = self._resolver.current(record.problems) if self._settings.identifier else None
        own, value, delivery, problems = self._sender(person)
        record.identity = own
        given = caller_value(body, options, client, to.place)
        if given is not ABSENT:
            return self._of_the_app(record, given, own, person, to, client, options)
        if not self._settings.identifier:
            record.identity, record.delivery = Identity(source="not_used"), "none"
            return options
        if (person is None or person.system) and (user := _text(body.get("user"))):
            return self._legacy(record, user, options)
        if to.place is None or not to.allowed:
            record.delivery = "not_accepted"
            return options
        record.problems += problems
        record.delivery = delivery
        changed = None if value is None else put(options, to.place, value)
        if changed is None:
            return options
        record.delivery = "sent"
        return changed

    def _make_sender(self, person: EndUser | None) -> Sender:
        own = identify(person, hasher=self._hasher)
        if person is None:
            return Sender(own, None, "none", ("no_user",))
        if person.system:
            return Sender(own, None, "none", ())
        value = person.identifier or own.value
        problems: list[ProblemReason] = []
        if value is None:
            problems.append("no_key")
        if own.raw_suspected:
            problems.append("raw_suspected")
        return Sender(own, value if self._settings.inject else None, "withheld", tuple(problems))

    def _legacy(self, record: CallRecord, user: str, options: Any) -> Any:
        record.identity = shown_identity(user, self._hasher, "legacy_user")
        record.delivery = "sent"
        if record.identity.raw_suspected:
            record.problems.append("raw_suspected")
        return options

    def _of_the_app(
        self,
        record: CallRecord,
        sent: object,
        own: Identity,
        person: EndUser | None,
        to: CallAddress,
        client: Any,
        options: Any,
    ) -> Any:
        """The app sends an identifier itself: left alone unless a setting says to hash or replace it."""
        text = _text(sent)
        if person is not None and not text:
            record.identity, record.delivery = own, "none"
            return options
        library = vocabulary.LIBRARY_CONSTANTS.get(text)
        mode = self._mode(library, person, to)
        place = place_used(options, client, to.place)
        shown = shown_identity(text, self._hasher, "caller")
        if person is not None and text and text == person.id and not shown.raw_suspected:
            # The raw user id itself, even if it does not look like personal data.
            shown = dataclasses.replace(shown, value=own.value, key_id=own.key_id, raw_suspected=True)
        ours = (person.identifier if person else None) or own.value
        known = (own.value, *own.matches) if own.value else own.matches
        conflict = bool(text and ours and {text, shown.value}.isdisjoint((ours, *known)))
        record.identity = dataclasses.replace(shown, linked=own.linked, conflict=conflict, matches=known)
        record.delivery = "sent" if text else "none"
        if shown.raw_suspected:
            record.problems.append("raw_suspected")
        if conflict:
            record.problems.append("conflict")
        hashed = mode == "hash" and text in (ours, *known)
        if mode == "keep" or hashed or place is None or not text:
            return options
        changed = self._rewritten(record, text, own, ours if mode == "replace" else None, place, options)
        if library and changed is not options:
            self._say_replaced(text, library)
            record.problems.remove("conflict")
        return changed

    def _mode(self, library: str | None, person: EndUser | None, to: CallAddress) -> CallerIdentifier:
        """What becomes of the app's value. A library's constant gives way to an end user, not to a session."""
        mode = self._settings.caller_identifier
        if library is None or mode == "replace":
            return mode
        known = person is not None and bool(person.id or person.identifier)
        wanted = self._settings.library_identifier == "replace" and self._settings.inject
        return "replace" if known and wanted and to.allowed else "keep"

    def _say_replaced(self, text: str, library: str) -> None:
        if text not in self._replaced:
            self._replaced.add(text)
            _log.warning(
                "%s sends %s as every user's safety_identifier: replaced where the end user is known "
                "(OPENAI_SAFETY_LIBRARY_IDENTIFIER=keep leaves it)",
                library,
                text,
            )

    def _rewritten(
        self, record: CallRecord, text: str, own: Identity, ours: str | None, place: str, options: Any
    ) -> Any:
        value = ours or (self._hasher.end_user(text) if self._hasher else None)
        changed = put(options, place, value) if value else None
        if changed is None or value is None:
            return options
        hashed = Identity(value, "caller", self._hasher.key_id if self._hasher else None)
        record.identity = dataclasses.replace(own if ours else hashed, matches=record.identity.matches)
        return changed

    def api_key_id(self, key: object) -> str | None:
        """A short keyed hash of the API key in use; None where it is not a string."""
        if not isinstance(key, str) or not key:
            return None
        found = self._key_ids.get(key)
        if found is None:
            found = self._hasher.short(key) if self._hasher else unkeyed_short(key)
            if len(self._key_ids) < _MAX_CACHED_KEYS:
                self._key_ids[key] = found
        return found


def _text(value: object) -> str:
    """What an app sends as an identifier, as it stands on the wire; empty where it names nobody."""
    if type(value) is bytes:
        value = value.decode(errors="replace")
    elif type(value) is int:
        value = str(value)
    return value if isinstance(value, str) and not blank(value) else ""
