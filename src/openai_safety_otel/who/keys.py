"""The HMAC key: read once from a variable or a file, checked, never shown."""

from __future__ import annotations

import logging
from pathlib import Path

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.who.identifier import MIN_KEY_BYTES, Hasher

_log = logging.getLogger(__name__)


class KeyProblemError(OneLineError, ValueError):
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
    """The hasher for these settings; a retired key that cannot be used is one log line and left out.

    Raises:
        KeyProblemError: no key is set, it is shorter than 32 bytes, or its file cannot be read.
    """
    if settings.hmac_key is None and settings.hmac_key_file is None:
        raise KeyProblemError("set OPENAI_SAFETY_HMAC_KEY_FILE to a file with at least 32 random bytes")
    key = (
        key_bytes(settings.hmac_key) if settings.hmac_key is not None else _read(settings.hmac_key_file or "")
    )
    retired, problems = retired_keys(settings)
    for problem in problems:
        _log.warning("a retired key is left out, what it made is not recognised: %s", problem)
    return Hasher(key, retired, redteam=settings.traffic == "redteam")


def retired_keys(settings: Settings) -> tuple[tuple[bytes, ...], list[str]]:
    """The retired keys that can be used, and what is wrong with the others."""
    keys, problems = [], []
    for path in settings.hmac_retired_key_files:
        try:
            keys.append(_read(path))
        except KeyProblemError as error:  # noqa: PERF203 - a few files
            problems.append(str(error))
    return tuple(keys), problems


def key_bytes(given: bytes) -> bytes:
    """A key as it is used, wherever it was kept: exactly its bytes, but for one newline at the end of a text.

    Changing this renames every user: `tests/spine/test_keys.py` pins it.

    Raises:
        KeyProblemError: shorter than 32 bytes.
    """
    plain = given.removesuffix(b"\n").removesuffix(b"\r") if given.endswith(b"\n") else given
    key = plain if _is_text(plain) else given
    if len(key) < MIN_KEY_BYTES:
        raise KeyProblemError(
            f"the HMAC key has {counted(len(key), 'byte')}, at least {MIN_KEY_BYTES} are needed"
        )
    return key


def _is_text(key: bytes) -> bool:
    try:
        return all(char.isprintable() or char in "\t\r\n" for char in key.decode())
    except UnicodeDecodeError:
        return False


def _read(path: str) -> bytes:
    try:
        return key_bytes(Path(path).read_bytes())
    except OSError as error:
        raise KeyProblemError(f"key file {path}: {error.strerror}") from None
    except KeyProblemError as error:
        raise KeyProblemError(f"key file {path}: {error}") from None


def loose_permissions(path: str) -> bool:
    """Whether others than the owner may read the key file (POSIX mode bits)."""
    return bool(Path(path).stat().st_mode & 0o077)
