"""Reading strangers' objects: dictionaries or SDK models, any member missing, wrong or hostile."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol, TypeGuard

from openai_safety_otel.contract.words import is_text

MAX_ITEMS = 1024
_PLAIN: Any = object()
INT64 = 2**63


# By their true types: a proxy or a mock says that it is a text, and breaks whatever takes its word for it.


def is_mapping(thing: object) -> TypeGuard[dict[str, Any]]:
    """Whether this is a dictionary."""
    return issubclass(type(thing), dict)


def is_list(thing: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether this is a list or a tuple."""
    return issubclass(type(thing), (list, tuple))


def get(thing: object, name: str) -> Any:
    """A member of a mapping or an object, or None. Never raises, whatever the object does."""
    try:
        if is_mapping(thing):
            return thing.get(name)
        extra = getattr(thing, "__pydantic_extra__", _PLAIN)
        if extra is _PLAIN:
            return getattr(thing, name, None)
        # A model of the SDK: a member it lacks would be looked for at length, raised and caught.
        members = thing.__dict__
        return members[name] if name in members else extra.get(name) if extra else None
    except Exception:  # noqa: BLE001 - an object of the app's may raise anything when touched
        return None


class Members(Protocol):
    """Something whose members are read by name."""

    def get(self, name: str, /) -> Any:
        """The member, or None."""


class _Strange:
    """Anything but a dictionary or a model of the SDK: each member is asked for with care."""

    __slots__ = ("_thing",)

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def get(self, name: str, /) -> Any:
        return get(self._thing, name)


def members(thing: object) -> Members:
    """What `get` finds, for reading many members of one thing; never to be written to. Twice is as once."""
    if type(thing) is dict or type(thing) is _Strange:
        return thing
    try:
        extra = getattr(thing, "__pydantic_extra__", _PLAIN)
        if extra is not _PLAIN and not is_mapping(thing):
            own: dict[str, Any] = thing.__dict__
            if type(own) is dict and (not extra or type(extra) is dict):
                return {**extra, **own} if extra else own
    except Exception:  # noqa: BLE001, S110 - as in `get`
        pass
    return _Strange(thing)


def text(thing: object, name: str) -> str:
    """A text member; empty where it is missing or anything else, so that comparing it is safe."""
    found = get(thing, name)
    return found if type(found) is str else ""


def dig(thing: object, *path: str) -> Any:
    """A member of a member, or None."""
    for name in path:
        if thing is None:
            return None
        thing = get(thing, name)
    return thing


def items(thing: object, name: str) -> list[Any]:
    """The first items of a list member; empty where it is not one."""
    return listed(get(thing, name))


def listed(found: object) -> list[Any]:
    """The first items of a list; empty where it is none."""
    if not is_list(found):
        return []
    # By the built-in's own method: a subclass may raise anything.
    kind: Any = list if issubclass(type(found), list) else tuple
    return list(kind.__getitem__(found, slice(MAX_ITEMS)))


def pairs(thing: object) -> list[tuple[str, Any]]:
    """The first names and values of a mapping, or of a model's undeclared members."""
    found = thing if is_mapping(thing) else get(thing, "__pydantic_extra__")
    if not is_mapping(found):
        return []
    try:
        # By the built-in's own method: a subclass may raise anything.
        return [(name, value) for name, value in islice(dict.items(found), MAX_ITEMS) if is_text(name)]
    except RuntimeError:  # the app changes it meanwhile
        return []


def whole(value: object) -> int | None:
    """An integer that fits OTLP's int64; booleans are none."""
    return value if type(value) is int and -INT64 <= value < INT64 else None


def count(value: object) -> int | None:
    """A whole number, 0 or more."""
    return value if type(value) is int and 0 <= value < INT64 else None


def number(value: object) -> float | None:
    """A finite number as a float; booleans are none."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    return float(value) if type(value) is int and -INT64 <= value < INT64 else None


Reader = Callable[[Any], Any]
