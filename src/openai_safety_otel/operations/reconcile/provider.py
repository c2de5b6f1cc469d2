"""The provider's side: its administration API, bucket by bucket and page by page."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

from openai_safety_otel.contract.moments import HOUR, MINUTE
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.vocabulary import UsageLedger
from openai_safety_otel.operations.reconcile.compare import APART, Counted, Names

LEDGERS: Final[tuple[UsageLedger, ...]] = get_args(UsageLedger)
_GROUPS: Final = ("project_id", "api_key_id", "model")
_MOST: Final = {"1m": 1440, "1h": 168}  # buckets on one page
_SECONDS: Final = {"1m": MINUTE, "1h": HOUR}
_TRIES: Final = 8  # the SDK waits as the answer of a 429 says, else longer each time
_TIMEOUT_SECONDS: Final = 60.0
_NOT_FOUND: Final = 404
_REFUSED: Final = (401, 403)
_NO_ANSWER: Final = "it is no answer of the administration API; is OPENAI_BASE_URL right?"


class AdministrationError(OneLineError, RuntimeError):
    """The provider's count cannot be read; the message is one line and holds nothing of the key."""


class Administration:
    """The organisation's own books, read with an admin key.

    The provider's address is the SDK's own choice (``OPENAI_BASE_URL``).
    """

    def __init__(self, admin_key: str) -> None:
        try:
            self._openai = importlib.import_module("openai")
        except ModuleNotFoundError:
            raise AdministrationError("this needs the openai package: pip install openai") from None
        self._client = self._openai.OpenAI(api_key=admin_key, max_retries=_TRIES, timeout=_TIMEOUT_SECONDS)

    @property
    def host(self) -> str:
        """Whose books they are."""
        return str(self._client.base_url.host)

    def counted(
        self, since: float, until: float, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Counted]:
        """Requests between two moments (Unix seconds, on the hour, or on the minute for less than an hour)."""
        width = "1h" if until - since >= HOUR else "1m"
        buckets = round((until - since) / _SECONDS[width])
        sums: Counter[tuple[Any, ...]] = Counter()
        done = 0
        self._missing = 0
        for ledger in LEDGERS:
            groups = [*_GROUPS, *(["batch"] if ledger in APART else [])]
            query = {
                "start_time": int(since),
                "end_time": int(until),
                "bucket_width": width,
                "group_by": groups,
                "limit": min(_MOST[width], buckets),
            }
            for bucket in self._pages(f"usage/{ledger}", query, "page"):
                for one, requests in _results(bucket):
                    place = (ledger, *(one.get(name) or "" for name in _GROUPS), bool(one.get("batch")))
                    sums[place] += requests
                progress(min(done := done + 1, buckets * len(LEDGERS)), buckets * len(LEDGERS))
        if self._missing == len(LEDGERS):
            raise _unreadable("it answered 404; is OPENAI_BASE_URL right?")
        return [
            Counted(ledger, project, key, model, requests, batch)
            for (ledger, project, key, model, batch), requests in sums.items()
            if requests
        ]

    def names(self, projects: set[str]) -> Names:
        """What these projects and their API keys are called."""
        every = {"limit": 100, "include_archived": True}
        titles = {one["id"]: one.get("name") or one["id"] for one in self._pages("projects", every, "after")}
        keys = {
            key["id"]: key.get("name") or key["id"]
            for project in sorted(projects & set(titles))
            for key in self._pages(f"projects/{project}/api_keys", {"limit": 100}, "after")
        }
        return Names(titles, keys)

    def _pages(self, path: str, query: dict[str, Any], cursor: str) -> Iterator[dict[str, Any]]:
        following: str | None = None
        while True:
            answer = self._get(path, {**query, cursor: following} if following else query)
            if answer is None:
                self._missing += 1
                return
            try:
                yield from answer["data"]
                if not answer["has_more"]:
                    return
                following = answer["next_page" if cursor == "page" else "last_id"]
            except (LookupError, TypeError):
                raise _unreadable(_NO_ANSWER) from None
            if not following:
                raise _unreadable(_NO_ANSWER)  # less than all of it would be no count

    def _get(self, path: str, query: dict[str, Any]) -> Any:
        """The answer; None where the provider has no such page."""
        try:
            # By path, not by the SDK's typed methods: older SDKs lack them, and a month has 100,000 results.
            options = {"params": query}
            return self._client.get(f"/organization/{path}", cast_to=object, options=options)
        except self._openai.APIStatusError as error:
            if error.status_code == _NOT_FOUND:
                return None  # a ledger that this organisation has not
            # The provider's own words are left out: they show how the key ends.
            said = (
                "it refuses the admin key"
                if error.status_code in _REFUSED
                else f"it answered {error.status_code}"
            )
            raise _unreadable(said) from None
        except self._openai.APIError as error:
            raise _unreadable(type(error).__name__) from None


def _results(bucket: Any) -> list[tuple[dict[str, Any], int]]:
    try:
        return [(one, int(one["num_model_requests"])) for one in bucket["results"]]
    except (LookupError, TypeError, ValueError):
        raise _unreadable(_NO_ANSWER) from None


def _unreadable(said: str) -> AdministrationError:
    return AdministrationError(f"the provider's count cannot be read: {said}")
