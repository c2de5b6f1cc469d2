"""The app's own log lines that carry the identifier, a trace, response or request id of the case."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.operations.investigation.context import ContextSource
from openai_safety_otel.operations.store.loki import Loki
from openai_safety_otel.operations.store.oddities import open_text

NOT_ASKED: Final = ContextSource(
    "app logs", "not asked", "--logs GLOB or --logs '{service_name=\"app\"}' searches them"
)
_MOST: Final = 5000  # lines kept
_LINE_LIMIT: Final = 8000  # characters kept of a line
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_\-]{12,}")
_MOMENT: Final = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_BATCH: Final = 100  # ids in one LogQL expression


def search_files(pattern: str, ids: list[str], last_signal_ns: int | None) -> ContextSource:
    """Lines of the files that match a glob."""
    paths = sorted(Path(name) for name in glob.iglob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207 - absolute patterns too
    if not paths:
        return ContextSource("app logs", "absent", f"no file matches {pattern}")
    items: list[dict[str, Any]] = []
    earliest: float | None = None
    for path in paths:
        first = _first_moment(path)
        earliest = first if earliest is None else min(earliest, first or earliest)
        for number, line in _lines(path, ids):
            items.append({"file": str(path), "line": number, "text": line[:_LINE_LIMIT]})
            if len(items) >= _MOST:
                return ContextSource("app logs", "present", f"the first {_MOST:,} lines", items)
    if items:
        return ContextSource(
            "app logs", "present", f"{counted(len(items), 'line')} in {counted(len(paths), 'file')}", items
        )
    if earliest is not None and last_signal_ns is not None and earliest > last_signal_ns / 1e9:
        return ContextSource("app logs", "expired", "the files begin after the last block or flag")
    return ContextSource(
        "app logs",
        "absent",
        f"no line of {counted(len(paths), 'file')} carries one of {counted(len(ids), 'id')}",
    )


def _lines(path: Path, ids: list[str]) -> Iterator[tuple[int, str]]:
    tokens = {one.encode() for one in ids}
    odd = [one for one in tokens if not _TOKEN.fullmatch(one)]
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, 1):
                if not tokens.isdisjoint(_TOKEN.findall(line)) or any(one in line for one in odd):
                    yield number, line.decode("utf-8", "replace").rstrip("\r\n")
    except (OSError, EOFError):
        return


def _first_moment(path: Path) -> float | None:
    """When a file begins, by the first time written in it (taken as UTC)."""
    try:
        with open_text(path) as lines:
            found = _MOMENT.search(lines.read(4096))
    except (OSError, EOFError):
        return None
    if found is None:
        return None
    try:
        return moments.instant(found[0].decode())
    except ValueError:
        return None


def search_loki(url: str, query: str, ids: list[str], start_ns: int, end_ns: int) -> ContextSource:
    """Lines of a log query that contain one of the ids, or whose metadata has the trace.

    Raises:
        LokiError: Loki cannot be reached or refuses the query.
    """
    found: dict[tuple[int, str], dict[str, Any]] = {}
    with Loki(url) as loki:
        for at in range(0, len(ids), _BATCH):
            pattern = msgspec.json.encode("|".join(re.escape(one) for one in ids[at : at + _BATCH])).decode()
            for narrowed in (f"{query} |~ {pattern}", f"{query} | trace_id=~{pattern}"):
                for time_ns, line, _ in loki.entries(narrowed, start_ns, end_ns):
                    found[time_ns, line] = {"time_ns": time_ns, "text": line[:_LINE_LIMIT]}
                    if len(found) >= _MOST:
                        return ContextSource(
                            "app logs", "present", f"the first {_MOST:,} lines", list(found.values())
                        )
    if not found:
        return ContextSource(
            "app logs", "absent", f"no line of {query} carries one of {counted(len(ids), 'id')}"
        )
    return ContextSource(
        "app logs", "present", counted(len(found), "line"), [found[key] for key in sorted(found)]
    )
