"""The SDK's options of one request: the body that they send, and copies of them with one thing more."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

HEADER = "OpenAI-Safety-Identifier"
ABSENT = object()


def with_moderation(options: Any, model: str) -> Any | None:
    """A copy of the options with inline moderation asked for; None where the body is not ours to change."""
    data = getattr(options, "json_data", None)
    if getattr(options, "content", None) is not None or not isinstance(data, Mapping):
        return None
    return _copy_with(options, "json_data", {**data, "moderation": {"model": model}})


def body_of(options: Any) -> Mapping[str, Any]:
    """The JSON body as it will be sent: ``extra_body`` is merged over the call's own fields by the SDK."""
    data = getattr(options, "json_data", None)
    extra = getattr(options, "extra_json", None)
    if extra is None and type(data) is dict:
        return data
    if isinstance(extra, Mapping):
        return {**data, **extra} if isinstance(data, Mapping) else extra
    return data if isinstance(data, Mapping) else {}


def caller_value(body: Mapping[str, Any], options: Any, client: Any, place: str | None) -> object:
    """What the app itself sends as an identifier (perhaps None), or a sentinel where it sends nothing."""
    kind, _, path, wanted = _parsed_place(place or "body:safety_identifier")
    if kind == "body" and path[0] in body:
        found = _nested(body, path)
        if found is not ABSENT:
            return found
    own, defaults = getattr(options, "headers", None), getattr(client, "_custom_headers", None)
    if not own and not defaults:
        return ABSENT
    # Older SDKs leave the client's own headers out of a socket's handshake.
    for headers in (own, defaults if getattr(options, "sends_defaults", True) else None):
        if headers and isinstance(headers, Mapping):
            for key, value in headers.items():
                if isinstance(key, str) and key.lower() in wanted:
                    return value
    return ABSENT


def place_used(options: Any, client: Any, place: str | None) -> str | None:
    """Where the app's value stands: perhaps in a header, where the API has a field for it too."""
    kind, _, path, wanted = _parsed_place(place or "body:safety_identifier")
    if place is None or kind == "header" or _nested(body_of(options), path) is not ABSENT:
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


def _nested(body: Mapping[str, Any], path: tuple[str, ...]) -> object:
    found: Any = body
    for part in path:
        if not (type(found) is dict or isinstance(found, Mapping)) or part not in found:
            return ABSENT
        found = found[part]
    return found


def put(options: Any, place: str, value: str) -> Any | None:
    """A copy of the options with the value in its place; None where the body is not ours to change.

    The app's own objects are never changed: it may send the same options or dict again.
    """
    kind, name, path, _ = _parsed_place(place)
    if kind == "header":
        given = getattr(options, "headers", None)
        kept = dict(given) if isinstance(given, Mapping) else {}
        others = {key: one for key, one in kept.items() if key.lower() != name.lower()}
        return _copy_with(options, "headers", {**others, name: value})
    if getattr(options, "content", None) is not None:
        return None
    extra = getattr(options, "extra_json", None)  # the SDK lays it over the body
    source = "extra_json" if extra and isinstance(extra, Mapping) and path[0] in extra else "json_data"
    data = getattr(options, source, None)
    if data is not None and not isinstance(data, Mapping):
        return None
    return _copy_with(options, source, _with(data or {}, list(path), value))


def _copy_with(options: Any, member: str, value: object) -> Any:
    changed = copy.copy(options)
    object.__setattr__(changed, member, value)  # a model of the SDK would look at length what it is
    return changed


def _with(body: Mapping[str, Any], path: list[str], value: str) -> dict[str, Any]:
    if len(path) == 1:
        return {**body, path[0]: value}
    head, *rest = path
    inner = body.get(head)
    return {**body, head: _with(inner if isinstance(inner, Mapping) else {}, rest, value)}
