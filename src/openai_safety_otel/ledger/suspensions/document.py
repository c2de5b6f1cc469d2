"""The list as a JSON document: read and written in blocks, so that a big one never holds up other threads.

The form is ``{"version": N, "entries": {IDENTIFIER: {"action", "until", "at"}}}``; an automatic entry also has
``by`` and ``why``. One call of ``json.loads`` on a million entries would keep every other thread waiting for
seconds; many short ones do not.
Blocks are cut where the content says so (not at fixed distances), so that a changed entry changes one block
only, and unchanged blocks are recognised by their hash and not parsed again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from openai_safety_otel.ledger.suspensions.entry import Row, parse_row

_OPENING: Final = re.compile(rb'"entries"\s*:\s*\{')
# A cut after an entry, before an identifier that begins so: about every 150th of hashed identifiers.
_CUT: Final = re.compile(rb'\}\s*,\s*(?="[09]{2}|"[fz]0)')
_ANY_CUT: Final = re.compile(rb"\}\s*,")
_LONGEST: Final = 256 * 1024  # bytes of a block where identifiers are not hashes
_WRITE_LINES: Final = 500
_quoted: Final = json.encoder.encode_basestring_ascii


class MalformedError(ValueError):
    """The document is no suspension list; the text says why in one line."""


@dataclass(slots=True)
class EntryBlock:
    """Consecutive entries: those that make sense, and those that do not, kept as they are."""

    rows: dict[str, Row] = field(default_factory=dict)
    skipped: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Document:
    """A list as read: its version and its blocks by the hash of their bytes."""

    version: int = 0
    blocks: dict[bytes, EntryBlock] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> dict[str, Row]:
        """Every entry that makes sense."""
        merged: dict[str, Row] = {}
        for block in self.blocks.values():
            merged.update(block.rows)
        return merged

    def skipped(self) -> dict[str, Any]:
        """Every entry that makes none, as it stands in the document."""
        return {name: value for block in self.blocks.values() for name, value in block.skipped.items()}


def parse(data: bytes, known: Mapping[bytes, EntryBlock] | None = None) -> Document:
    """Read a document; blocks in ``known`` are taken over unparsed.

    Raises:
        MalformedError: it is not JSON, or not of the list's form.
    """
    known = known or {}
    document = Document()
    opening = _OPENING.search(data)
    start = opening.end() if opening else 0
    position = start
    for end, after in _cuts(data, start) if opening else ():
        piece = data[position:end]
        block = known.get(key := _key(piece))
        if block is None:
            try:
                block = _block(json.loads(b"{" + piece + b"}"))
            except (ValueError, RecursionError):
                break  # the end of the entries, or a cut inside a text: the rest is read as one
        document.blocks[key] = block
        position = after
    _finish(document, data[:start], data[position:])
    return document


def _cuts(data: bytes, position: int) -> Iterator[tuple[int, int]]:
    """Where blocks end (after the closing brace) and where the next begins."""
    while True:
        found = _CUT.search(data, position, position + _LONGEST) or _ANY_CUT.search(data, position + _LONGEST)
        if found is None:
            return
        position = found.end()
        yield found.start() + 1, position


def _finish(document: Document, head: bytes, rest: bytes) -> None:
    """Read the last entries together with what stands around them."""
    try:
        whole = json.loads(head + rest)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON ({type(error).__name__})") from None
    if not isinstance(whole, dict) or not isinstance(entries := whole.pop("entries", None), dict):
        raise MalformedError('expected {"version": …, "entries": {…}}')
    version = whole.pop("version", 0)
    document.version = version if isinstance(version, int) else 0
    document.other = whole
    document.blocks[_key(rest)] = _block(entries)


def _block(entries: Any) -> EntryBlock:
    block = EntryBlock()
    for identifier, value in entries.items():
        row = parse_row(value)
        if row is None:
            block.skipped[identifier] = value
        else:
            block.rows[identifier] = row
    return block


def _key(piece: bytes) -> bytes:
    return hashlib.blake2b(piece, digest_size=16).digest()


def _line(row: Row) -> str:
    """One entry as JSON; written out because an encoder call for each of a million entries takes seconds."""
    action, until, by, why, at = row
    end = "null" if until is None else repr(until)
    words = f'"by": {_quoted(by)}, "why": {_quoted(why)}, ' if by or why else ""
    return f'{{"action": "{action}", "until": {end}, {words}"at": {at!r}}}'


def dump(
    version: int, rows: Mapping[str, Row], skipped: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[bytes]:
    """The document in pieces, one entry a line; ``other`` is what else stood in it."""
    yield json.dumps({**other, "version": version})[:-1].encode() + b', "entries": {'
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in skipped.items()]
    separator = "\n"
    for identifier, row in rows.items():
        lines.append(f"{_quoted(identifier)}: {_line(row)}")
        if len(lines) >= _WRITE_LINES:
            yield (separator + ",\n".join(lines)).encode()
            lines, separator = [], ",\n"
    yield ((separator + ",\n".join(lines)) if lines else "").encode() + b"\n}}\n"
