"""A disk that takes no more, said in one line: by the file system, or by DuckDB of what it writes."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import duckdb

from openai_safety_otel.contract.one_line import OneLineError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class StoreError(OneLineError, RuntimeError):
    """What was to be written could not be, or is not what was to be written; the message is one line."""


def no_room(error: BaseException) -> str | None:
    """What the disk said, where an error comes from one that takes no more; None for any other error."""
    if isinstance(error, FileNotFoundError) and error.filename is None:  # from `tempfile`
        return "no folder takes a file"
    if isinstance(error, OSError):
        return error.strerror if error.errno in _FULL else None
    if isinstance(error, duckdb.OutOfMemoryException) and "offload" in str(error):
        return os.strerror(errno.ENOSPC)
    return next((said for said in map(os.strerror, _FULL) if said in str(error)), None)


@contextmanager
def room_aside() -> Iterator[None]:
    """What a command writes aside while it reads has room.

    Raises:
        StoreError: it has none.
    """
    try:
        yield
    except (OSError, duckdb.Error) as error:
        if (said := no_room(error)) is None:
            raise
        where = tempfile.tempdir or "temporary files"
        raise StoreError(f"{where}: {said}; make room there, or let TMPDIR name another folder") from None
