"""Files that take the place of others in one step: a reader sees the old file or the new one."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(target: Path, *, mode: int = 0o600, keep: bool = False) -> Iterator[BinaryIO]:
    """A new file that replaces what is at ``target``: never through a link, never half.

    Args:
        target: where it goes once it is written and on the disk.
        mode: its permissions.
        keep: take over permissions and owner of the file that stands there, where one does.

    Raises:
        OSError: it cannot be written, or ``target`` is a folder, a device or a pipe; what stood there still does.
    """
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "is no file that could be replaced")
    before = target.stat() if keep and target.exists() else None
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(stat.S_IMODE(before.st_mode) if before else mode)
        if before and hasattr(os, "chown"):
            _give_back(Path(name), before)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _give_back(path: Path, before: os.stat_result) -> None:
    """The new file belongs to whom the old one did, or can at least be read by them."""
    with suppress(PermissionError):
        os.chown(path, before.st_uid, before.st_gid)
        return
    with suppress(PermissionError):
        os.chown(path, -1, before.st_gid)
    now = path.stat()
    by_group = now.st_gid == before.st_gid and before.st_mode & stat.S_IRGRP
    if now.st_uid != before.st_uid and not by_group and not before.st_mode & stat.S_IROTH:
        raise PermissionError(errno.EPERM, "its owner could no longer read it; do this as that user")
