"""Bytes as they pass by, decompressed where the standard library can."""

from __future__ import annotations

import zlib
from collections.abc import Callable

MAX_PIECE = 1 << 20  # one compressed piece can stand for gigabytes; facts are at its beginning
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def opaque(_: bytes) -> bytes:
    """Of a body in an encoding that the standard library does not know, nothing can be read."""
    return b""


def decoder(encoding: str | None) -> Callable[[bytes], bytes] | None:
    """What turns a body's pieces into text bytes; None where they are that already.

    A body in another encoding (br, zstd) is not looked into: its pieces become empty.
    """
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return None
    if name not in _WINDOW:
        return opaque
    inflate = zlib.decompressobj(_WINDOW[name])
    return lambda data: inflate.decompress(data, MAX_PIECE)
