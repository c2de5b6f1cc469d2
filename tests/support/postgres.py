"""A PostgreSQL server of our own on a Unix socket, without durability."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, if PostgreSQL is installed."""
    found = shutil.which("pg_ctl")
    folders = [*_DEBIAN, *([Path(found).resolve().parent] if found else [])]
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A fresh server; yields its SQLAlchemy URL. PostgreSQL refuses to run as root: then it runs as its own user."""
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg-") as place:  # short: a socket's path has a limit
        if user:
            os.chown(place, pwd.getpwnam(user).pw_uid, -1)

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [str(folder / program), "-D", f"{place}/data", *arguments],
                user=user, cwd=place, check=True, stdout=subprocess.DEVNULL, timeout=120,
            )  # fmt: skip

        run("initdb", "--username=owner", "--auth=trust", "--encoding=UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c fsync=off -k {place}"
        run("pg_ctl", "--wait", "--log", f"{place}/log", "--options", options, "start")
        try:
            yield f"postgresql+psycopg://owner@/postgres?host={place}"
        finally:
            run("pg_ctl", "--wait", "--mode", "immediate", "stop")
