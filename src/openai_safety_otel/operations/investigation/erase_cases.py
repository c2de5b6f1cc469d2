"""Case files about a person: found by what is written in them, not by their names."""

from __future__ import annotations

import glob
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from openai_safety_otel.operations.investigation.casefile import KIND


def erase_case_files(places: Iterable[str], forms: Iterable[str], *, dry: bool = False) -> list[Path]:
    """Delete case files about these identifiers in folders or globs; returns which."""
    wanted = set(forms)
    found = [path for path in _zips(places) if wanted & about(path)]
    if not dry:
        for path in found:
            path.unlink(missing_ok=True)
    return found


def about(path: Path) -> set[str]:
    """Whom a case file is about; empty for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("case.json"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return set()
    if not isinstance(document, dict) or document.get("kind") != KIND:
        return set()
    return {document.get("identifier", ""), *document.get("forms", ()), *document.get("linked", ())}


def _zips(places: Iterable[str]) -> Iterator[Path]:
    for place in places:
        if Path(place).is_dir():
            yield from sorted(Path(place).rglob("*.zip"))
        else:
            yield from sorted(map(Path, glob.iglob(place, recursive=True)))  # noqa: PTH207 - absolute patterns too
