"""Columns of many hosts under one prefix: a shared folder, or S3-compatible storage.

``stream=…/day=…/SERVICE@HOST-….parquet``: each host writes its own objects whole, so writing one again changes nothing,
and nobody waits for anybody. Whoever reads lists them all. A host's ``stream=…/month=…/SERVICE@HOST-….parquet`` stands
for its days of that month, from the moment it is there.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import duckdb

from openai_safety_otel.contract.installing import install
from openai_safety_otel.operations.store.columns import ColumnStore, Manifest
from openai_safety_otel.operations.store.events import stored_table
from openai_safety_otel.operations.store.room import StoreError
from openai_safety_otel.operations.store.schema import SUFFIX, days_of, is_month, quoted, version_of
from openai_safety_otel.operations.store.writing import in_columns, workplace

S3: Final = "s3://"
# Under which names the store writes, and which of its files are under which prefix.
_SHARED: Final = "shared.json"
_EVERY: Final = "stream=*/*=*/*.parquet"


def is_remote(place: Path | str) -> bool:
    """Whether it is a prefix of S3-compatible storage; a path has lost one of its slashes."""
    return str(place).startswith("s3:/")


def address(place: Path | str) -> str:
    """A prefix as it was typed."""
    return S3 + str(place).removeprefix("s3:").strip("/") if is_remote(place) else str(place)


def objects(place: Path | str, besides: Iterable[ColumnStore] = ()) -> list[str]:
    """The Parquet files under a prefix that count; without those of stores that are read themselves."""
    if is_remote(place):
        found = [S3 + name for name in sorted(storage(place).glob(f"{address(place)}/{_EVERY}"))]
    else:
        found = [str(path) for path in sorted(Path(place).glob(_EVERY))]
    months = {_month_of(name) for name in found if is_month(name)}
    own = tuple(
        name for store in besides for name in _noted(store)["writers"] if name.endswith(_folder_of(store))
    )
    return [
        name
        for name in found
        if (is_month(name) or _month_of(name) not in months) and not _month_of(name)[2].endswith(own)
    ]


def _month_of(name: str) -> tuple[str, str, str]:
    """The stream, the month and the writer of an object, without the version of its columns."""
    stream, _, file = name.replace("\\", "/").rsplit("/", 2)
    return stream, days_of(name)[0][:7], file.removesuffix(f".{version_of(file)}.parquet")


def storage(place: Path | str) -> Any:
    """The file system of a prefix; the standard AWS variables say where S3-compatible storage is.

    Raises:
        StoreError: the package for it is not installed.
    """
    kind = "s3" if is_remote(place) else "file"
    try:
        return importlib.import_module("fsspec").filesystem(kind, use_listings_cache=False)
    except ImportError:
        raise StoreError(f"shared columns need s3fs: {install('s3')}") from None


def share(store: ColumnStore, prefix: str, host: str) -> int:
    """Make what a prefix has of this store what the store has; returns the objects written.

    Args:
        store: the store of one folder.
        prefix: a folder, or ``s3://BUCKET/PREFIX``.
        host: who writes; every host has a name of its own.
    """
    writer = f"@{quote(host, safe='')}-{_folder_of(store)}"
    noted, files = _noted(store), storage(prefix)
    noted["writers"] = sorted({*noted["writers"], writer})
    known = noted["prefixes"]
    with store.reading() as manifest, workplace() as (database, _):
        if is_remote(prefix):
            database.register_filesystem(files)
        before, now = known.get(prefix, {}), _places(manifest)
        known[prefix] = {place: [] for place in now} | before  # what a run that is killed may leave there
        _note(store, noted)
        written = 0
        for place in (*now, *before.keys() - now.keys()):  # a month before its days go
            if before.get(place) != now.get(place):
                paths = [store.root / name for name in now.get(place, ())]
                written += _replace(database, files, paths, f"{address(prefix)}/{place}", writer)
    known[prefix] = now
    _note(store, noted)
    return written


def _folder_of(store: ColumnStore) -> str:
    """What tells folders of one host apart; a copy of a folder writes nothing of the first one's name."""
    return hashlib.sha256(str(store.folder.resolve()).encode()).hexdigest()[:8]


def _noted(store: ColumnStore) -> dict[str, Any]:
    try:
        found = json.loads((store.root / _SHARED).read_text())
    except FileNotFoundError:
        found = {}
    return {"writers": found.get("writers", []), "prefixes": found.get("prefixes", {})}


def _note(store: ColumnStore, noted: dict[str, Any]) -> None:
    aside = store.root / f"{_SHARED}.new"
    aside.write_text(json.dumps(noted))
    aside.replace(store.root / _SHARED)


def _places(manifest: Manifest) -> dict[str, list[str]]:
    """The store's files by where their events are shared: a day that came late to a month goes there, too."""
    found = defaultdict[str, list[str]](list)
    months = {_place(name) for name in manifest.files if is_month(name)}
    for name in sorted(manifest.files):
        month = f"{name.partition('/')[0]}/month={days_of(name)[0][:7]}"
        found[month if month in months else _place(name)].append(name)
    return dict(found)


def _place(name: str) -> str:
    return name.rpartition("/")[0]


def _replace(
    database: duckdb.DuckDBPyConnection, files: Any, paths: list[Path], place: str, writer: str
) -> int:
    """Write the events of one stream and day, an object for each service, and remove what is no more."""
    rows = stored_table(paths)
    services = database.execute(f"SELECT DISTINCT coalesce(service, '') FROM ({rows})").fetchall()  # noqa: S608
    files.makedirs(place, exist_ok=True)
    written = []
    for (service,) in services:
        final = f"{place}/{quote(service, safe='')}{writer}{SUFFIX}"
        its = f"SELECT * FROM ({rows}) WHERE coalesce(service, '') = {quoted(service)}"  # noqa: S608
        # An object appears whole; a file in a folder does when it is renamed.
        aside = final if is_remote(final) else f"{final}.new"
        database.execute(in_columns(its, aside))
        if aside != final:
            Path(aside).replace(final)
        written.append(final.rpartition("/")[2])
    for old in files.glob(f"{place}/*{writer}*.parquet"):
        if old.rpartition("/")[2] not in written:
            files.rm(old)
    return len(written)
