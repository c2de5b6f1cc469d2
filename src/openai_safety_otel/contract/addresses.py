"""Addresses of stores and servers: which are Redis, and what may be shown of them."""

from __future__ import annotations

import re
from typing import Final

_HIDDEN: Final = "***"
_WORD: Final = re.compile(r"\S+")
# A parameter of a query whose name speaks of a secret; "key" as in api_key, "sig" as in signature.
_PARAMETER: Final = re.compile(r"(?<=[?&;])([^=&;?#]{1,60})=([^&;#\"']+)")
_SECRET: Final = re.compile(r"pass|pwd|token|secret|key|auth|sig|credential", re.IGNORECASE)


def is_redis(place: str) -> bool:
    """Whether an address is a Redis server's; others are paths of files."""
    return place.startswith(("redis://", "rediss://", "unix://"))


def without_password(text: str) -> str:
    """The text with user names, passwords and secret parameters of every URL in it replaced by ``***``.

    The one function for this: settings, messages, the doctor and the command line all use it. A password may
    itself hold ``/``, ``#``, ``?`` or ``@``: all up to the last ``@`` of the word is taken for it.
    """
    return _WORD.sub(_shown, text) if "://" in text else text


def _shown(found: re.Match[str]) -> str:
    word = found.group()
    at = word.find("://")
    if at < 0:
        return word
    begin, rest = word[: at + 3], word[at + 3 :]
    _, known, place = rest.rpartition("@")
    hidden = f"{_HIDDEN}@{place}" if known else rest
    return begin + _PARAMETER.sub(_parameter, hidden)


def _parameter(found: re.Match[str]) -> str:
    name, value = found.groups()
    return f"{name}={_HIDDEN if _SECRET.search(name) else value}"
