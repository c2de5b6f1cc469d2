"""The stub's administration API: how many requests it counted, by project, API key and model, and their names."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from openai_safety_otel.testing.ledger import LedgerEntry
from openai_safety_otel.testing.wire import Answer, ProviderRequest, json_answer

ADMIN_KEY: Final = "sk-admin-stub"
WIDTHS: Final = {"1m": (60, 60, 1440), "1h": (3600, 24, 168), "1d": (86_400, 7, 31)}  # seconds, usual, most
_LEDGERS: Final = {
    "responses.create": "completions",
    "responses.compact": "completions",
    "chat.create": "completions",
    "completions.create": "completions",
    "realtime.response": "completions",
    "agents.create": "completions",
    "agents.send": "completions",
    "embeddings.create": "embeddings",
    "images.generate": "images",
    "images.edit": "images",
    "images.variations": "images",
    "moderations.create": "moderations",
    "audio.speech": "audio_speeches",
    "audio.transcriptions": "audio_transcriptions",
    "audio.translations": "audio_transcriptions",
    "decisions.create": "decisions",
}
_FIELDS: Final = ("project_id", "user_id", "api_key_id", "model")
_MORE: Final = {"completions": ("batch", "service_tier"), "decisions": ("batch", "service_tier")}
_AMOUNTS: Final = {"images": "images", "audio_speeches": "characters", "audio_transcriptions": "seconds"}
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_SNAPSHOT: Final = "-2025-08-07"  # a ledger names the snapshot that an alias stands for
_OK: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the administration API names it; never any part of the key itself."""

    id: str
    name: str
    project: str

    @property
    def project_id(self) -> str:
        """The project's id."""
        return f"proj_{re.sub('[^a-z0-9]+', '_', self.project.lower())}"


@dataclass(slots=True)
class Accounts:
    """The organisation's keys, and how its requests are counted.

    Args:
        entries: every request, counted or not.
        clock: the time now, in Unix seconds.
        delay: seconds until a request is in the books.
        counts_failures: whether rejected requests are counted, too.
        page: results on one page of a list.
    """

    entries: Iterable[LedgerEntry] = ()
    clock: Callable[[], float] = time.time
    delay: float = 0.0
    counts_failures: bool = False
    page: int = 100
    keys: dict[str, ApiKey] = field(default_factory=dict)

    def key(self, secret: str, name: str | None = None, project: str = "Default project") -> ApiKey:
        """The key with this secret, made when it is first seen; a name given later renames it."""
        known = self.keys.get(secret)
        if known is None or name:
            known_id = known.id if known else f"key_{len(self.keys) + 1:04d}"
            self.keys[secret] = ApiKey(known_id, name or known_id, project)
        return self.keys[secret]

    def key_of(self, call: ProviderRequest) -> str | None:
        """The id of the key that a request to a model was made with."""
        if call.endpoint not in _LEDGERS:
            return None
        said = call.headers.get("authorization", "").removeprefix("Bearer ")
        return self.key(said or call.headers.get("api-key", "")).id

    def refuses(self, call: ProviderRequest) -> Answer | None:
        """What everybody without the admin key gets; like the provider's, it shows how the key ends."""
        if call.headers.get("authorization") == f"Bearer {ADMIN_KEY}":
            return None
        shown = call.headers.get("authorization", "")[-4:]
        return _error(401, "invalid_api_key", f"Incorrect API key provided: sk-***{shown}.")

    def usage(self, call: ProviderRequest) -> Answer:
        """One page of a ledger's buckets."""
        ledger, query = call.params["ledger"], call.query
        known = set(_LEDGERS.values())
        if ledger not in known or "start_time" not in query:
            return _error(400, "invalid_request", f"start_time is needed, and one of {sorted(known)}.")
        groups = [name for name in query.get("group_by[]", "").split(",") if name]
        if wrong := set(groups) - {*_FIELDS, *_MORE.get(ledger, ())}:
            return _error(400, "invalid_value", f"group_by of {ledger} does not take {sorted(wrong)}.")
        width, usual, most = WIDTHS[query.get("bucket_width", "1d")]
        start = int(query["start_time"]) // width * width
        end = int(query.get("end_time", self.clock()))
        first = int(query.get("page", "page_0").removeprefix("page_"))
        count = math.ceil((end - start) / width)
        last = min(first + min(int(query.get("limit", usual)), most), count)
        counted = self._counted(ledger, groups, width)
        data = [
            {
                "object": "bucket",
                "start_time": start + at * width,
                "end_time": start + (at + 1) * width,
                "results": counted.get(start + at * width, []),
            }
            for at in range(first, last)
        ]
        more = last < count
        return json_answer(
            {
                "object": "page",
                "data": data,
                "has_more": more,
                "next_page": f"page_{last}" if more else None,
            }
        )

    def _counted(self, ledger: str, groups: list[str], width: int) -> dict[int, list[dict[str, Any]]]:
        sums: Counter[tuple[int, tuple[Any, ...]]] = Counter()
        for entry in self.entries:
            if _LEDGERS.get(entry.endpoint) == ledger and self._is_counted(entry):
                facts = self._facts(entry)
                sums[int(entry.at) // width * width, tuple(facts[name] for name in groups)] += 1
        found: dict[int, list[dict[str, Any]]] = {}
        for (begin, values), count in sums.items():
            grouped = dict.fromkeys((*_FIELDS, *_MORE.get(ledger, ()))) | dict(
                zip(groups, values, strict=True)
            )
            result = {"object": f"organization.usage.{ledger}.result", "num_model_requests": count, **grouped}
            amount = _AMOUNTS.get(ledger)
            amounts = {amount: count} if amount else {"input_tokens": count, "output_tokens": count}
            found.setdefault(begin, []).append(result | amounts)
        return found

    def _is_counted(self, entry: LedgerEntry) -> bool:
        settled = entry.at <= self.clock() - self.delay
        return settled and (self.counts_failures or entry.status in _OK or entry.transport == "socket")

    def _facts(self, entry: LedgerEntry) -> dict[str, Any]:
        key = next((one for one in self.keys.values() if one.id == entry.key), None)
        model = entry.model or "gpt-5"
        return {
            "project_id": key and key.project_id,
            "user_id": None,
            "api_key_id": entry.key,
            "model": model if _DATED.search(model) else model + _SNAPSHOT,
            "batch": entry.transport == "batch",
            "service_tier": "default",
        }

    def projects(self, call: ProviderRequest) -> Answer:
        """The organisation's projects."""
        names = {key.project_id: key.project for key in self.keys.values()}
        rows = [{"object": "organization.project", "id": one, "name": names[one]} for one in sorted(names)]
        return self._list(call, [{**row, "created_at": 1, "status": "active"} for row in rows])

    def project_keys(self, call: ProviderRequest) -> Answer:
        """The keys of a project; like the provider's, with a redacted value that nobody should keep."""
        mine = [one for one in self.keys.items() if one[1].project_id == call.params["project_id"]]
        return self._list(
            call,
            [
                {
                    "object": "organization.project.api_key",
                    "id": key.id,
                    "name": key.name,
                    "redacted_value": f"sk-***{secret[-4:]}",
                    "created_at": 1,
                    "owner": {"type": "service_account"},
                    "owner_project_access": "active",
                }
                for secret, key in mine
            ],
        )

    def _list(self, call: ProviderRequest, rows: list[dict[str, Any]]) -> Answer:
        ids = [row["id"] for row in rows]
        after = call.query.get("after")
        begin = ids.index(after) + 1 if after in ids else 0
        size = min(int(call.query.get("limit", 20)), self.page)
        page = rows[begin : begin + size]
        more = begin + size < len(rows)
        last = page[-1]["id"] if page else None
        return json_answer({"object": "list", "data": page, "has_more": more, "last_id": last})


def _error(status: int, code: str, message: str) -> Answer:
    fault = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return json_answer({"error": fault}, status)
