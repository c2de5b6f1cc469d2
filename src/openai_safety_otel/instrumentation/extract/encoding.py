"""Bytes as they pass by, decompressed where the standard library can."""

from __future__ import annotations

import zlib
from typing import Final

MAX_PIECE: Final = 1 << 20  # one compressed piece can stand for gigabytes; facts are at its beginning
# Two formats go by the name of deflate: with zlib's header and without; the one that fits is found by trying.
_WINDOWS: Final = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}


class Decoder:
    """Turns a body's pieces into text bytes.

    Of a body in another encoding (br, zstd), or that is not what its header says, nothing can be read: its pieces
    become empty, and ``blind`` says so.
    """

    def __init__(self, encoding: str) -> None:
        self._left = [zlib.decompressobj(window) for window in _WINDOWS.get(encoding, ())]

    @property
    def blind(self) -> bool:
        """Whether nothing of this body can be read, or nothing more."""
        return not self._left

    def __call__(self, data: bytes) -> bytes:
        """Return the text bytes of the next piece."""
        if not self._left:
            return b""
        try:
            return self._left[0].decompress(data, MAX_PIECE)
        except zlib.error:
            self._left.pop(0)
        return self(data)


def decoder(encoding: str | None) -> Decoder | None:
    """Return what decodes a body with this header; None where its bytes are text already."""
    name = (encoding or "identity").strip().lower()
    return None if name == "identity" else Decoder(name)
