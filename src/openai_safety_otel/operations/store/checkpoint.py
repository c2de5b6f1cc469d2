"""How far a collector's file receivers have read each file: what its ``file_storage`` extension keeps on the disk."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from openai_safety_otel.contract.one_line import OneLineError

_KEY: Final = b"knownFiles"
_MAGIC: Final = 0xED0CDAED
_VERSION: Final = 2
_LEAF: Final = 2
_META: Final = struct.Struct("<IIIIQQQQQQ")  # of bbolt, the file's format
_PAGE: Final = struct.Struct("<QHHI")
_ELEMENT: Final = struct.Struct("<IIII")
_BUCKET: Final = 1
_TRIES: Final = 5


class CheckpointError(OneLineError, RuntimeError):
    """It cannot be told how far a collector has read; the message is one line."""


def read_until(folder: Path) -> dict[bytes, int]:
    """How many bytes of each file every receiver has read that knows it, by the file's first bytes.

    Args:
        folder: of the ``file_storage`` extension that the receivers use.

    Raises:
        CheckpointError: it holds no checkpoint, or one of a form that is not known.
    """
    found: dict[bytes, int] = {}
    files = sorted(folder.glob("receiver_*"))
    if not files:
        raise CheckpointError(f"{folder}: no receiver keeps a checkpoint here")
    for first, offset in (known for file in files for known in _read(file)):
        found[first] = min(offset, found.get(first, offset))
    return found


def _read(file: Path) -> list[tuple[bytes, int]]:
    try:
        return list(_known_files(_snapshot(file)))
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise CheckpointError(f"{file}: no checkpoint that can be read: {error}") from None


def _snapshot(file: Path) -> bytes:
    """The file as it is between two writes of the collector."""
    for _ in range(_TRIES):
        content = file.read_bytes()
        if content == file.read_bytes():
            return content
    raise ValueError("it is being written")


def _known_files(content: bytes) -> Iterator[tuple[bytes, int]]:
    """The first bytes and the offset of each file in a checkpoint."""
    root, size = _newest(content)
    for _, bucket in (one for one in _pairs(content, root * size) if one[0] == _BUCKET):
        page = int.from_bytes(bucket[1][:8], "little")
        inside = _pairs(content, page * size) if page else _pairs(bucket[1], 16)
        for _, (key, value) in inside:
            if key == _KEY:
                for field, entry in _fields(value):
                    if field != 1 or not isinstance(entry, bytes):
                        raise ValueError("its list of files is of another version")
                    yield _entry(entry)


def _newest(content: bytes) -> tuple[int, int]:
    """The root page and the page size, as the newer of the two sound first pages says them."""
    found = []
    size = struct.unpack_from("<I", content, 24)[0]
    for start in (16, size + 16):
        fields = _META.unpack_from(content, start)
        if fields[:2] == (_MAGIC, _VERSION) and fields[-1] == _fnv(content[start : start + _META.size - 8]):
            found.append((fields[8], fields[4], fields[2]))
    if not found:
        raise ValueError("it is no bbolt file")
    _, root, size = max(found)
    return root, size


def _fnv(content: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in content:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def _pairs(content: bytes, page: int) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
    """The flag, key and value of each element of a leaf; a checkpoint has no other pages."""
    _, flags, count, _ = _PAGE.unpack_from(content, page)
    if flags != _LEAF:
        raise ValueError("it has more pages than a checkpoint")
    for number in range(count):
        at = page + _PAGE.size + number * _ELEMENT.size
        flag, place, key, value = _ELEMENT.unpack_from(content, at)
        begin = at + place
        yield flag, (content[begin : begin + key], content[begin + key : begin + key + value])


def _entry(content: bytes) -> tuple[bytes, int]:
    fields = dict(_fields(content))
    print_, offset = fields.get(1), fields.get(2, 0)
    first = dict(_fields(print_)).get(1, b"") if isinstance(print_, bytes) else b""
    if not isinstance(first, bytes) or not isinstance(offset, int):
        raise ValueError("a file in it is of another version")  # noqa: TRY004 - one kind of error for what cannot be read
    return first, offset


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers and bytes."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        value, at = _varint(content, at)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2 and at + value <= len(content):  # noqa: PLR2004 - protobuf's wire type
            yield key >> 3, content[at : at + value]
            at += value
        else:
            raise ValueError("it is of another version")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            return value, at
        shift += 7
