"""Event files: find them, keep compacted copies of the quiet ones, open them all as one table."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from openai_safety_otel.operations.store.events import Events, open_events
from openai_safety_otel.operations.store.pieces import Done, Piece, compact
from openai_safety_otel.operations.store.rows import Skipped
from openai_safety_otel.operations.store.schema import FINGERPRINT

COPIES = ".openai-safety-copies"
_EVENT_FILE = re.compile(r"\.(json|jsonl|ndjson)(\.\d+)?(\.gz)?$")
_HEAD_BYTES = 4096
_PIECE_BYTES = 64 * 1024 * 1024
_QUIET_SECONDS = 600.0  # a file untouched for so long is kept as a copy; a live one would change again
_ALONE_BYTES = 16 * 1024 * 1024  # less than this is read sooner than worker processes start
_SUMMARY = "summary.json"

Progress = Callable[[int, int], None]


class NoEventFilesError(LookupError):
    """A path given by the user does not exist."""


@dataclass(frozen=True, slots=True)
class EventFile:
    """One file with the state it was seen in."""

    path: Path
    size: int
    mtime_ns: int

    @property
    def key(self) -> str:
        """Names its copy: another size, time or table version makes another copy."""
        return f"{self.path.name}-{self.size}-{self.mtime_ns}-{FINGERPRINT}"

    @property
    def copy(self) -> Path:
        """Where its compacted copy is kept."""
        return self.path.parent / COPIES / self.key


def find_files(paths: Iterable[Path]) -> list[EventFile]:
    """Event files under these paths, sorted; a folder is searched with its subfolders.

    Raises:
        NoEventFilesError: a path does not exist.
    """
    found: dict[Path, EventFile] = {}
    for path in paths:
        if not path.exists():
            raise NoEventFilesError(f"{path}: no such file or folder")
        for candidate in _under(path):
            found[candidate.resolve()] = EventFile(candidate, *_state(candidate))
    return sorted(found.values(), key=lambda item: item.path)


def _under(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if name != COPIES)
        for name in sorted(files):
            if _EVENT_FILE.search(name) and _holds_lines(candidate := Path(folder, name)):
                yield candidate


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


def open_files(
    paths: Iterable[Path], *, keep_copies: bool = True, progress: Progress | None = None, workers: int = 2
) -> Events:
    """Open event files as one table.

    Args:
        paths: files and folders.
        keep_copies: keep a compacted copy of each quiet file beside it, and use the ones that are there.
        progress: told (bytes read, bytes in all) now and then.
        workers: processes that read.

    Raises:
        NoEventFilesError: a path does not exist.
    """
    files = find_files(paths)
    scratch = Path(tempfile.mkdtemp(prefix="openai-safety-"))
    skipped = Skipped()
    try:
        parts = _Reading(files, scratch, keep_copies=keep_copies).run(skipped, progress, workers)
        origin = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        return open_events(parts, origin, skipped, scratch)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


class _Reading:
    """One run over the files: which have a copy, which are read now, and which are copied for later."""

    def __init__(self, files: list[EventFile], scratch: Path, *, keep_copies: bool) -> None:
        self._files = files
        self._scratch = scratch
        self._keep = keep_copies
        self._folders: dict[Path, tuple[EventFile, Path]] = {}

    def run(self, skipped: Skipped, progress: Progress | None, workers: int) -> list[Path]:
        if self._keep:
            for folder in {file.path.parent for file in self._files}:
                forget_copies(folder)
        parts: list[Path] = []
        pieces: list[Piece] = []
        for number, file in enumerate(self._files):
            known = _known_copy(file) if self._keep else None
            if known:
                parts.extend(known[0])
                skipped.add(known[1])
            else:
                pieces.extend(self._pieces(file, number))
        done = list(_compact_all(pieces, progress, workers))
        for one in done:
            skipped.add(one.skipped)
        return parts + self._settle(done)

    def _pieces(self, file: EventFile, number: int) -> Iterator[Piece]:
        folder = self._scratch / f"{number:06d}"
        folder.mkdir()
        self._folders[file.path] = (file, folder)
        # A compressed file cannot be entered in the middle.
        if file.path.suffix == ".gz":
            yield Piece(file.path, 0, sys.maxsize, file.size, folder / "00000.parquet")
            return
        for at, start in enumerate(range(0, file.size, _PIECE_BYTES)):
            end = min(start + _PIECE_BYTES, file.size)
            yield Piece(file.path, start, end, end - start, folder / f"{at:05d}.parquet")

    def _settle(self, done: list[Done]) -> list[Path]:
        """Where the new Parquet files are, after moving those worth keeping beside their source."""
        by_path: dict[Path, list[Done]] = {}
        for one in done:
            by_path.setdefault(one.piece.path, []).append(one)
        parts: list[Path] = []
        for path, its in by_path.items():
            file, folder = self._folders[path]
            if self._keep and time.time() - file.mtime_ns / 1e9 > _QUIET_SECONDS:
                folder = _keep_copy(file, folder, its)
            parts.extend(folder / one.piece.target.name for one in its if one.rows)
        return parts


def _compact_all(pieces: list[Piece], progress: Progress | None, workers: int) -> Iterator[Done]:
    total = sum(piece.weight for piece in pieces)
    read = 0
    alone = total < _ALONE_BYTES or workers == 1
    for done in map(compact, pieces) if alone else _together(pieces, workers):
        read += done.piece.weight
        if progress:
            progress(read, total)
        yield done


def _together(pieces: list[Piece], workers: int) -> Iterator[Done]:
    # Fresh processes: a copy of this one could inherit locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(compact, piece) for piece in pieces]):
            yield future.result()


def _known_copy(file: EventFile) -> tuple[list[Path], Skipped] | None:
    try:
        summary = json.loads((file.copy / _SUMMARY).read_text())
        parts = [file.copy / name for name in summary["parts"]]
        if not all(part.exists() for part in parts):
            return None
        return parts, Skipped(**summary["skipped"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep_copy(file: EventFile, folder: Path, done: list[Done]) -> Path:
    """Move a file's Parquet beside it; where that cannot be written, it stays in the scratch folder."""
    skipped = Skipped()
    for one in done:
        skipped.add(one.skipped)
    names = sorted(one.piece.target.name for one in done if one.rows)
    (folder / _SUMMARY).write_text(json.dumps({"parts": names, "skipped": skipped.as_dict()}))
    beside = file.copy.parent / f"{file.copy.name}.{os.getpid()}.new"
    try:
        file.copy.parent.mkdir(mode=0o700, exist_ok=True)
        # Two steps: a copy is complete or is not there, also across file systems.
        shutil.copytree(folder, beside)
        beside.chmod(0o700)
        beside.rename(file.copy)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        return folder
    return file.copy


def forget_copies(folder: Path) -> int:
    """Remove copies whose file has gone or changed: nothing outlives the events it was made from."""
    try:
        present = list((folder / COPIES).iterdir())
        keys = {EventFile(path, *_state(path)).key for path in folder.iterdir() if path.is_file()}
    except OSError:
        return 0
    gone = [copy for copy in present if copy.name not in keys]
    for copy in gone:
        shutil.rmtree(copy, ignore_errors=True)
    return len(gone)


def _state(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:  # rotated away meanwhile
        return (0, 0)
    return state.st_size, state.st_mtime_ns
