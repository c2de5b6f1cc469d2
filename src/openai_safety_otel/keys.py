"""The HMAC key: read once from a variable or a file, checked, never shown."""

from __future__ import annotations

import logging
from pathlib import Path

from openai_safety_otel.identifier import MIN_KEY_BYTES, Hasher
from openai_safety_otel.settings import Settings

_log = logging.getLogger(__name__)


class KeyProblemError(ValueError):
    """The key cannot be used; the message says why and never shows it."""


def load_hasher(settings: Settings) -> Hasher | None:
    """The hasher for these settings, or None where identifiers are off or no usable key is set.

    A key problem is one log line, never an exception: the calls go on without identifiers, counted.
    """
    if not settings.identifier:
        return None
    try:
        hasher = require_hasher(settings)
    except KeyProblemError as error:
        _log.warning("OpenAI calls carry no hashed identifier: %s", error)
        return None
    return hasher


def require_hasher(settings: Settings) -> Hasher:
    """The hasher for these settings.

    Raises:
        KeyProblemError: no key is set, it is shorter than 32 bytes, or its file cannot be read.
    """
    key = settings.hmac_key or _read(settings.hmac_key_file)
    if key is None:
        raise KeyProblemError("set OPENAI_SAFETY_HMAC_KEY_FILE to a file with at least 32 random bytes")
    retired = tuple(filter(None, map(_read, settings.hmac_retired_key_files)))
    for one in (key, *retired):
        if len(one) < MIN_KEY_BYTES:
            raise KeyProblemError(f"the HMAC key has {len(one)} bytes, at least {MIN_KEY_BYTES} are needed")
    return Hasher(key, retired, redteam=settings.traffic == "redteam")


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes().strip()
    except OSError as error:
        raise KeyProblemError(f"key file {path}: {error.strerror}") from None


def loose_permissions(path: str) -> bool:
    """Whether others than the owner may read the key file (POSIX mode bits)."""
    return bool(Path(path).stat().st_mode & 0o077)
