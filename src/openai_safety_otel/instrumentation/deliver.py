"""How the identifier reaches the provider: what the app sends, where ours goes, or why it does not."""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from openai_safety_otel.contract.conventions import LIBRARY_CONSTANTS
from openai_safety_otel.contract.record import CallRecord, Identity
from openai_safety_otel.contract.settings import CallerIdentifier, Settings
from openai_safety_otel.instrumentation.extract.endpoints import Endpoint
from openai_safety_otel.who.detectors import looks_raw
from openai_safety_otel.who.identifier import Hasher, identify, shown_identity, unkeyed_short
from openai_safety_otel.who.resolver import Resolver
from openai_safety_otel.who.user import EndUser, blank

_log = logging.getLogger(__name__)

HEADER = "OpenAI-Safety-Identifier"
# Other providers behind the SDK that take an identifier; used once the host is on the allow-list.
HOST_PLACES = {"api.perplexity.ai": "header:Perplexity-Safety-Identifier"}
_ABSENT = object()
_MAX_CACHED_KEYS = 256
_MAX_CACHED_PEOPLE = 128  # somebody who calls mostly calls several times in a row


# By the client's own URL object, which is kept so that its id stays its own.
_hosts: dict[int, tuple[object, tuple[str | None, int | None]]] = {}
_MAX_CACHED_HOSTS = 64


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
        self._identify = functools.lru_cache(_MAX_CACHED_PEOPLE)(functools.partial(identify, hasher=hasher))

    def allowed(self, host: str | None) -> bool:
        """Whether something may be added to calls to this host."""
        return host in self._allowed

    def person(self, record: CallRecord) -> EndUser | None:
        """The end user of this call, problems noted on the record."""
        return self._resolver.current(record.problems) if self._settings.identifier else None

    def identity_now(self) -> Identity:
        """Who the running context is for, as a call made now would say it."""
        return self._identify(self._resolver.current([]) if self._settings.identifier else None)

    def address(self, record: CallRecord, endpoint: Endpoint, client: Any, options: Any) -> Any:
        """Set ``record.identity`` and ``record.delivery``; the options to send, changed only by injection."""
        sent = self._addressed(record, endpoint, client, options)
        user = body_of(options).get("user")
        if (
            isinstance(user, str)
            and not record.identity.raw_suspected
            and looks_raw(user)
            and not blank(user)
        ):
            # Whatever else is sent beside it.
            record.identity = dataclasses.replace(record.identity, raw_suspected=True)
            record.problems.append("raw_suspected")
        return sent

    def _addressed(self, record: CallRecord, endpoint: Endpoint, client: Any, options: Any) -> Any:
        person = self.person(record)
        place = self.place(endpoint, record.host)
        sent = caller_value(options, client, place)
        own = self._identify(person)
        record.identity = own
        if sent is not _ABSENT:
            return self._of_the_app(record, sent, own, person, _place_used(options, client, place), options)
        if not self._settings.identifier:
            record.identity, record.delivery = Identity(source="not_used"), "none"
            return options
        user = _body(options).get("user")
        if person is None and isinstance(user, str) and not blank(user):
            return self._legacy(record, user, options)
        value = self._to_send(record, person, place)
        if value is None or place is None:
            return options
        changed = put(options, place, value)
        record.delivery = "withheld" if changed is None else "sent"
        return options if changed is None else changed

    def place(self, endpoint: Endpoint, host: str | None) -> str | None:
        """Where this call to this host takes an identifier: ``body:field`` or ``header:Name``, or None."""
        own_place = self._places.get(host or "")
        if own_place and self.allowed(host):
            return own_place if endpoint.inference else None
        return endpoint.place

    def _to_send(self, record: CallRecord, person: EndUser | None, place: str | None) -> str | None:
        """The value to inject, or None with the reason noted."""
        if place is None or not self.allowed(record.host):
            record.delivery = "not_accepted"
            return None
        if person is None:
            record.delivery = "none"
            record.problems.append("no_user")
            return None
        if person.system:
            record.delivery = "none"
            return None
        value = person.identifier or record.identity.value
        record.delivery = "withheld"
        if value is None:
            record.problems.append("no_key")
        if record.identity.raw_suspected:
            record.problems.append("raw_suspected")
        return value if self._settings.inject else None

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
        place: str | None,
        options: Any,
    ) -> Any:
        """The app sends an identifier itself: left alone unless a setting says to hash or replace it."""
        text = sent if isinstance(sent, str) and not blank(sent) else ""
        library = LIBRARY_CONSTANTS.get(text)
        mode = self._mode(record, library, person)
        shown = shown_identity(text, self._hasher, "library" if library else "caller")
        if person is not None and text and text == person.id and not shown.raw_suspected:
            # The raw user id itself, even if it does not look like personal data.
            shown = dataclasses.replace(shown, value=own.value, key_id=own.key_id, raw_suspected=True)
        ours = (person.identifier if person else None) or own.value
        conflict = bool(text and ours and ours not in {text, shown.value})
        known = (own.value, *own.matches) if own.value else own.matches
        record.identity = dataclasses.replace(shown, linked=own.linked, conflict=conflict, matches=known)
        record.delivery = "sent" if text else "none"
        if shown.raw_suspected:
            record.problems.append("raw_suspected")
        if conflict:
            record.problems.append("conflict")
        if mode == "keep" or place is None or not text:
            return options
        changed = self._rewritten(record, text, own, ours if mode == "replace" else None, place, options)
        if library and changed is not options:
            self._say_replaced(text, library)
            record.problems.remove("conflict")
        return changed

    def _mode(self, record: CallRecord, library: str | None, person: EndUser | None) -> CallerIdentifier:
        """What becomes of the app's value. A library's constant gives way to an end user, not to a session."""
        mode = self._settings.caller_identifier
        if library is None or mode == "replace":
            return mode
        known = person is not None and bool(person.id or person.identifier)
        wanted = self._settings.library_identifier == "replace" and self._settings.inject
        return "replace" if known and wanted and self.allowed(record.host) else "keep"

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
        changed = put(options, place, value, replace=True) if value else None
        if changed is None or value is None:
            return options
        hashed = Identity(value, "caller", self._hasher.key_id if self._hasher else None)
        record.identity = dataclasses.replace(own if ours else hashed, matches=record.identity.matches)
        return changed

    def with_moderation(self, options: Any, model: str) -> Any:
        """The options with inline moderation asked for; unchanged where the body is not ours to change."""
        data = getattr(options, "json_data", None)
        if getattr(options, "content", None) is not None or not isinstance(data, Mapping):
            return options
        changed = copy.copy(options)
        changed.json_data = {**data, "moderation": {"model": model}}
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


def host_of(client: Any, options: Any) -> tuple[str | None, int | None]:
    """Host and port that a call goes to: the client's base URL, unless the path is a whole URL."""
    url = str(getattr(options, "url", ""))
    if url.startswith(("http://", "https://", "ws://", "wss://")):
        parts = urlsplit(url)
        return parts.hostname, parts.port
    base = getattr(client, "base_url", None)
    known = _hosts.get(id(base))
    if known is None or known[0] is not base:
        known = base, (getattr(base, "host", None), getattr(base, "port", None))
        if len(_hosts) < _MAX_CACHED_HOSTS:
            _hosts[id(base)] = known
    return known[1]


def _body(options: Any) -> Mapping[str, Any]:
    """The JSON body as it will be sent: ``extra_body`` is merged over the call's own fields by the SDK."""
    data = getattr(options, "json_data", None)
    extra = getattr(options, "extra_json", None)
    if extra is None and type(data) is dict:
        return data
    if isinstance(extra, Mapping):
        return {**data, **extra} if isinstance(data, Mapping) else extra
    return data if isinstance(data, Mapping) else {}


def body_of(options: Any) -> Mapping[str, Any]:
    """The JSON body as it will be sent; empty where there is none."""
    return _body(options)


def caller_value(options: Any, client: Any, place: str | None) -> object:
    """What the app itself sends as an identifier (perhaps None), or a sentinel where it sends nothing."""
    kind, _, path, wanted = _parsed_place(place or "body:safety_identifier")
    if kind == "body":
        found = _nested(_body(options), path)
        if found is not _ABSENT:
            return found
    # Older SDKs leave the client's own headers out of a socket's handshake.
    defaults = getattr(client, "_custom_headers", None)
    if defaults and not getattr(options, "sends_defaults", True):
        defaults = None
    for headers in (getattr(options, "headers", None), defaults):
        if headers and isinstance(headers, Mapping):
            for key, value in headers.items():
                if isinstance(key, str) and key.lower() in wanted:
                    return value
    return _ABSENT


def _place_used(options: Any, client: Any, place: str | None) -> str | None:
    """Where the app's value stands: perhaps in a header, where the API has a field for it too."""
    kind, _, path, wanted = _parsed_place(place or "body:safety_identifier")
    if place is None or kind == "header" or _nested(_body(options), path) is not _ABSENT:
        return place
    for headers in (getattr(options, "headers", None), getattr(client, "_custom_headers", None)):
        for name in headers if isinstance(headers, Mapping) else ():
            if isinstance(name, str) and name.lower() in wanted:
                return f"header:{name}"
    return place


@functools.lru_cache(maxsize=64)
def _parsed_place(place: str) -> tuple[str, str, tuple[str, ...], frozenset[str]]:
    """Kind, name, path in the body, and the headers (in lower case) in which an app may send the same."""
    kind, _, name = place.partition(":")
    headers = {HEADER.lower()} if kind == "body" else {HEADER.lower(), name.lower()}
    return kind, name, tuple(name.split(".")), frozenset(headers)


def is_absent(value: object) -> bool:
    """Whether `caller_value` found nothing."""
    return value is _ABSENT


def _nested(body: Mapping[str, Any], path: tuple[str, ...]) -> object:
    found: Any = body
    for part in path:
        if not (type(found) is dict or isinstance(found, Mapping)) or part not in found:
            return _ABSENT
        found = found[part]
    return found


def put(options: Any, place: str, value: str, *, replace: bool = False) -> Any | None:
    """A copy of the options with the value in its place; None where the body is not ours to change.

    The app's own objects are never changed: it may send the same options or dict again.
    """
    kind, name, path, _ = _parsed_place(place)
    changed = copy.copy(options)
    if kind == "header":
        given = getattr(options, "headers", None)
        kept = dict(given) if isinstance(given, Mapping) else {}
        changed.headers = {k: v for k, v in kept.items() if k.lower() != name.lower()} | {name: value}
        return changed
    if getattr(options, "content", None) is not None:
        return None
    source = "extra_json" if replace and not is_absent(_nested(_extra(options), path)) else "json_data"
    data = getattr(options, source, None)
    if data is not None and not isinstance(data, Mapping):
        return None
    setattr(changed, source, _with(data or {}, list(path), value))
    return changed


def _extra(options: Any) -> Mapping[str, Any]:
    extra = getattr(options, "extra_json", None)
    return extra if isinstance(extra, Mapping) else {}


def _with(body: Mapping[str, Any], path: list[str], value: str) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return {**body, head: value}
    inner = body.get(head)
    return {**body, head: _with(inner if isinstance(inner, Mapping) else {}, rest, value)}
