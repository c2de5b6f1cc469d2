"""Event files: find them, take the finished ones into the column store of their folder, open all as one table."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.operations.store.columns import STORE, ColumnStore
from openai_safety_otel.operations.store.events import Events, connect, open_events
from openai_safety_otel.operations.store.lines import Lines, Progress, lines_left, read_lines
from openai_safety_otel.operations.store.oddities import Skipped
from openai_safety_otel.operations.store.room import StoreError, room_aside
from openai_safety_otel.operations.store.shared import is_remote, objects, storage

QUIET_SECONDS: Final = 600.0  # a file untouched for so long is taken into the store by whoever reads it
PACKED_OTHERWISE: Final = (".bz2", ".lz4", ".xz", ".zip", ".zst")  # than by gzip: not read, and said
_PACKED = "|".join(name[1:] for name in (".gz", *PACKED_OTHERWISE))
_EVENT_FILE = re.compile(rf"\.(json|jsonl|ndjson)([.-]\d+)*(\.({_PACKED}))?$")
_HEAD_BYTES = 4096


class NoEventFilesError(OneLineError, LookupError):
    """A path given by the user does not exist."""


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Event files under these paths, sorted, each once; a folder is searched with its subfolders.

    Raises:
        NoEventFilesError: a path does not exist.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise NoEventFilesError(f"{path}: no such file or folder")
        found.update({one.resolve(): one for one in ([path] if path.is_file() else _in_folder(path))})
    return sorted(found.values())


def find_stores(paths: Iterable[Path]) -> list[ColumnStore]:
    """The column stores of these folders and of all below."""
    folders = (folder / STORE for path in paths for folder, _ in _folders(path))
    found = {one.resolve(): one for one in folders if one.is_dir()}
    return [ColumnStore(path.parent) for path in sorted(found.values())]


def _in_folder(path: Path) -> Iterator[Path]:
    for folder, files in _folders(path):
        for name in sorted(files):
            if _EVENT_FILE.search(name) and _holds_lines(candidate := folder / name):
                yield candidate


def _folders(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and all below with their files, each once; links are followed, as volumes are mounted by them."""
    seen: set[Path] = set()
    for folder, names, files in os.walk(path, followlinks=True):
        at = Path(folder)
        if (there := at.resolve()) in seen:
            names.clear()
            continue
        seen.add(there)
        names[:] = sorted(name for name in names if name != STORE)
        yield at, files


def _holds_lines(path: Path) -> bool:
    """Whether a file found in a folder may be one of ours: a suspension list is JSON too.

    A file that begins broken or blank (an erased line) is one; only other JSON documents are not.
    """
    if path.suffix != ".json":
        return True
    try:
        with path.open("rb") as source:
            head = source.read(_HEAD_BYTES).lstrip()
    except OSError:
        return True  # told as unreadable when it is read
    return not head.startswith(b"{") or b'"resource' in head


def compact_files(
    paths: Iterable[Path], *, quiet_since: float | None = None, progress: Progress | None = None
) -> list[Path]:
    """Take event files into the column stores of their folders; returns the folders that could not be written in.

    Args:
        paths: folders; a file named by itself is left as it is.
        quiet_since: only files that nobody wrote to after this time (Unix seconds).
        progress: told (bytes read, bytes in all) now and then.

    Raises:
        NoEventFilesError: a path does not exist.
    """
    by_folder: dict[Path, list[Path]] = {}
    left_out: list[Path] = []
    for file in find_files(path for path in paths if not path.is_file() and not is_remote(path)):
        by_folder.setdefault(file.parent, []).append(file)
    for folder, files in by_folder.items():
        store = ColumnStore(folder)
        read = store.manifest().sources
        left = [one for file in files if _is_quiet(file, quiet_since) for one in _left(file, read, Skipped())]
        if left and not store.compact(left, progress):
            left_out.append(folder)
    return left_out


def _is_quiet(file: Path, since: float | None) -> bool:
    try:
        return since is None or file.stat().st_mtime < since
    except OSError:  # rotated away meanwhile
        return False


def _left(file: Path, read: dict[str, int], skipped: Skipped) -> list[Lines]:
    if file.suffix in PACKED_OTHERWISE:
        skipped.unreadable_files += 1
        return []
    try:
        left = lines_left(file, read)
    except FileNotFoundError:  # rotated away meanwhile
        return []
    except OSError:
        skipped.unreadable_files += 1
        return []
    return [left] if left else []


def open_files(
    paths: Iterable[Path], *, compact: bool = True, progress: Progress | None = None, now: float | None = None
) -> Events:
    """Open event files and the column stores of their folders as one table.

    Args:
        paths: files and folders, and prefixes that hosts share (``s3://…`` too); a file named by itself is read
            without a store.
        compact: take files that are finished into the stores first.
        progress: told (bytes read, bytes in all) now and then.
        now: Unix seconds.

    Raises:
        NoEventFilesError: a path does not exist.
        StoreError: there is no room for what is written aside.
    """
    everywhere = list(paths)
    given = [path for path in everywhere if not is_remote(path)]
    files = find_files(given)
    notes = []
    if compact:
        try:
            compact_files(given, quiet_since=(now or time.time()) - QUIET_SECONDS, progress=progress)
        except StoreError as error:
            notes.append(f"the columns could not be written, the event files are read themselves: {error}")
    with room_aside(), ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="openai-safety-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        skipped, read = Skipped(), dict[Path, dict[str, int]]()
        stores = find_stores(path for path in given if path.is_dir())
        shared = [name for path in everywhere for name in objects(path, stores)]
        named: dict[str, Path] = {}  # a copy of a folder has files of the same name, which are never changed
        for store in stores:
            manifest = stack.enter_context(store.reading())
            skipped.add(manifest.skipped)
            named.update({name: store.root / name for name in manifest.files})
            read[store.folder.resolve()] = manifest.sources
        left = [one for file in files for one in _left(file, read.get(file.parent.resolve(), {}), skipped)]
        database = stack.enter_context(connect(scratch))
        fresh = read_lines(database, left, scratch, skipped, progress)
        origin = counted(len(files), "file")
        distant = next((storage(path) for path in everywhere if is_remote(path)), None)
        events = open_events(database, [*shared, *named.values()], fresh, origin, skipped, stack, distant)
        events.notes += notes
        events.held = stack.pop_all()
        return events
