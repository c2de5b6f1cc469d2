"""From API keys that whoever asks holds to the keyed hashes by which the record knows them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.operations.reconcile.compare import Counted, Names
from openai_safety_otel.who.identifier import Hasher, unkeyed_short


class KeysFileError(OneLineError, ValueError):
    """The file of keys cannot be used; the message names a line or a name, never a key."""


def read_keys(path: Path) -> dict[str, str]:
    """The key by its name or id, from lines ``name-or-id key``; ``#`` begins a comment.

    Raises:
        KeysFileError: the file cannot be read, or a line is something else.
    """
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise KeysFileError(f"{path}: cannot be read") from None
    for number, line in enumerate(lines, 1):
        parts = line.strip().rsplit(maxsplit=1)
        if not parts or parts[0].startswith("#"):
            continue
        if len(parts) != 2:  # noqa: PLR2004 - a name and a key
            raise KeysFileError(f"{path}: line {number} is not `name-or-id key`")
        found[parts[0]] = parts[1]
    return found


def unknown(keys: dict[str, str], names: Names, counted: Iterable[Counted]) -> list[str]:
    """Those of these names or ids that the provider does not list."""
    listed = {*names.keys, *names.keys.values(), *(one.key for one in counted)}
    return [said for said in keys if said not in listed]


def held_forms(keys: dict[str, str], names: Names, hasher: Hasher | None) -> dict[str, frozenset[str]]:
    """For the id of each of these keys, every hash under which calls made with it may be recorded.

    Raises:
        KeysFileError: the provider has several keys of that name.
    """
    found: dict[str, frozenset[str]] = {}
    for said, key in keys.items():
        ids = [one for one, name in names.keys.items() if said in (one, name)]
        if len(ids) > 1:
            raise KeysFileError(f"{len(ids)} keys are called {said!r}: give the key's id")
        # A key without traffic at the provider keeps the name that was given.
        found[ids[0] if ids else said] = frozenset(
            {unkeyed_short(key), *(hasher.every_short(key) if hasher else ())}
        )
    return found
