"""A file that takes its place only when it is whole."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A new file for its owner only that replaces what is at ``target``: never through a link, never half.

    Raises:
        OSError: it cannot be written, or ``target`` is a folder, a device or a pipe.
    """
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "is no file that could be replaced")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
