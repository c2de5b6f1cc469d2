"""Recorded exchanges, served again: found by method, path and request body."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from openai_safety_otel.testing.ledger import LedgerEntry
from openai_safety_otel.testing.wire import Answer, ProviderRequest, json_answer

# What a client of today adds to a request by itself; a recording may lack it.
_ADDED = frozenset({"encoding_format"})


class Recordings:
    """A folder of one JSON object per exchange: ``method``, ``path``, ``request``, ``status``, ``response``.

    Several recordings of one request are served in turn. A request that nobody recorded gets a 404.
    """

    def __init__(self, folder: str | Path) -> None:
        self._by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for file in sorted(Path(folder).glob("*.json")):
            recorded = json.loads(file.read_text(encoding="utf-8"))
            self._by_key[_key(recorded["method"], recorded["path"], recorded.get("request"))].append(recorded)
        if not self._by_key:
            raise ValueError(f"no recorded exchanges in {folder}")

    def answer(self, call: ProviderRequest, entry: LedgerEntry) -> Answer:
        """The recorded answer; the ledger says ``recorded`` because nobody here knows the outcome."""
        entry.scenario, entry.outcome = "recorded", "recorded"
        turns = self._by_key.get(_key(call.method, call.path, call.body)) or self._by_key.get(
            _key(call.method, call.path, None)
        )
        if not turns:
            entry.outcome = "failed"
            return json_answer({"error": {"message": "nothing recorded for this request"}}, 404)
        recorded = turns.pop(0)
        turns.append(recorded)
        kind = recorded.get("content_type") or "application/json"
        text = recorded["response"] or ""
        content = (text if isinstance(text, str) else json.dumps(text)).encode()
        if "event-stream" in kind:
            return Answer(recorded["status"], content_type=kind, frames=_events(content))
        return Answer(recorded["status"], content_type=kind, body=content)


def _events(content: bytes) -> list[bytes | float]:
    parts = content.replace(b"\r\n", b"\n").split(b"\n\n")
    return [part + b"\n\n" for part in parts if part.strip()]


def _key(method: str, path: str, request: Any) -> str:
    body = request if isinstance(request, dict) else {}
    kept = {name: value for name, value in body.items() if name not in _ADDED}
    return f"{method} {path.split('?', maxsplit=1)[0]} {json.dumps(kept, sort_keys=True)}"
