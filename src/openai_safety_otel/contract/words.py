"""Identifiers and enum values of strangers: kept when they are one, never when they are prose."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeGuard

from openai_safety_otel.contract.conventions import OTHER

_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
# LiteLLM packs the provider, the deployment and OpenAI's id of an answer into one id of 200 characters and more.
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:=+/-]{1,512}", re.ASCII)
# A name may hold a path, a tag or a dated version ("@20240620"), but not what looks like an e-mail address.
_MODEL = re.compile(r"(?=.{1,128}\Z)@?[\w.:/+~-]+(?:@[\w-]+)?", re.ASCII)


def is_text(thing: object) -> TypeGuard[str]:
    """Whether this is a text, an enum's or another subclass's included."""
    return issubclass(type(thing), str)


def safe_code(code: object) -> str | None:
    """A code as it may be exported; ``_OTHER`` for anything that is not one, None for nothing."""
    return _scrubbed(_CODE, code)


def safe_word(word: object) -> str | None:
    """A value of an enum as it may be exported; None where it is no text."""
    return _scrubbed(_CODE, word) if is_text(word) else None


def safe_model(name: object) -> str | None:
    """A model's name as it may be exported; ``_OTHER`` for prose, None for nothing."""
    if type(name) is str:
        return _safe_model(name)  # an app uses a few, again and again
    return _scrubbed(_MODEL, name) if is_text(name) else None


@lru_cache(maxsize=256)
def _safe_model(name: str) -> str | None:
    return _scrubbed(_MODEL, name)


def safe_identifier(value: object) -> str | None:
    """An id that others gave, or None: a scrubbed id would join nothing."""
    if type(value) is str:
        return value if _IDENTIFIER.fullmatch(value) else None
    found = _IDENTIFIER.fullmatch(value) if is_text(value) else None
    return found.group() if found else None


def _scrubbed(pattern: re.Pattern[str], value: object) -> str | None:
    if is_text(value):
        if not value:
            return None
        found = pattern.fullmatch(value)
        return found.group() if found else OTHER
    if type(value) is int:
        # Gateways send numbers where OpenAI sends names; a number too long to be a code is none.
        return str(value) if abs(value) < 10**9 else OTHER
    return None
