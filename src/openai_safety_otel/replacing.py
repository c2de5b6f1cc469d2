"""Files that take the place of others in one step: a reader sees the old file or the new one."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, pieces: Iterable[bytes], *, mode: int, keep: bool = False) -> None:
    """Write a new file beside ``path``, flush it to the disk, and put it in the place of ``path``.

    Args:
        path: where it goes; a link that stands there is replaced, never followed.
        pieces: its content.
        mode: its permissions.
        keep: take over permissions and owner of the file that stands there, where one does.

    Raises:
        OSError: it cannot be written; what stood there still does.
    """
    before = path.stat() if keep and path.exists() else None
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.writelines(pieces)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(stat.S_IMODE(before.st_mode) if before else mode)
        if before and hasattr(os, "chown"):
            _give_back(name, before)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _give_back(name: str, before: os.stat_result) -> None:
    """The new file belongs to whom the old one did, or can at least be read by them."""
    with suppress(PermissionError):
        os.chown(name, before.st_uid, before.st_gid)
        return
    with suppress(PermissionError):
        os.chown(name, -1, before.st_gid)
    now = os.stat(name)  # noqa: PTH116 - beside chown
    by_group = now.st_gid == before.st_gid and before.st_mode & stat.S_IRGRP
    if now.st_uid != before.st_uid and not by_group and not before.st_mode & stat.S_IROTH:
        raise PermissionError(errno.EPERM, "its owner could no longer read it; do this as that user")
