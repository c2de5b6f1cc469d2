"""The journal in Redis: several receivers and processes on several hosts.

Redis keeps what it was told to keep: run it with an append-only file (``appendonly yes``; ``appendfsync
always`` for the same promise as SQLite makes). :meth:`RedisJournal.is_durable` says what the server does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast
from urllib.parse import urlsplit

from openai_safety_otel.journal.entries import Decision, Notice, from_mapping, to_json
from openai_safety_otel.journal.erasure import ERASED_FIELDS, kept_decision
from openai_safety_otel.journal.failure import JournalError

try:
    import redis
except ModuleNotFoundError as missing:
    raise JournalError("a Redis store needs: pip install 'openai-safety-otel[redis]'") from missing

_ROOT = "{openai-safety}:"  # the braces keep all keys on one node of a cluster
_BY_TIME = _ROOT + "notices"  # sorted by received_at
_DUE = _ROOT + "due"  # sorted by next_at
_DECISIONS = _ROOT + "decisions"
_FACTS = _ROOT + "facts"
DELIVERY_SECONDS = 30 * 86_400  # ten times as long as the provider retries
TIMEOUT_SECONDS = 5.0

# Each script is one indivisible step for all receivers.
_ADD = """
if ARGV[1] ~= '' and not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[2]) then return 0 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[3])
if ARGV[5] ~= '' then redis.call('ZADD', KEYS[4], ARGV[5], ARGV[3]) end
return 1
"""
_CHANGE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[2] == 'if_open' and redis.call('HGET', KEYS[1], 'status') ~= '"open"' then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[3] == 'null' then redis.call('ZREM', KEYS[2], ARGV[1])
elseif ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1]) end
return 1
"""
_CLAIM = """
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not due or tonumber(due) > tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], 'next_at', ARGV[3])
return 1
"""


class RedisJournal:
    """A journal on the server at ``url``.

    Raises:
        JournalError: the URL is wrong or the server does not answer.
    """

    def __init__(self, url: str) -> None:
        self._shown = _without_password(url)
        with self._guard():
            self._redis = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
            )
            self._redis.ping()
            self._add = self._redis.register_script(_ADD)
            self._change = self._redis.register_script(_CHANGE)
            self._claim = self._redis.register_script(_CLAIM)

    def is_durable(self) -> bool | None:
        """Whether the server keeps an append-only file; None if it does not say (managed servers)."""
        try:
            answer = cast("dict[str, str]", self._redis.config_get("appendonly"))
        except redis.RedisError:
            return None
        return answer.get("appendonly") == "yes"

    def add_notice(self, notice: Notice, *, delivery: str | None = None) -> bool:
        """Store a new notice; False if the delivery id was seen before or the notice is known already."""
        keys = [_delivery_key(delivery or ""), _notice_key(notice.key), _BY_TIME, _DUE]
        head: list[str | int] = [delivery or "", DELIVERY_SECONDS, notice.key, notice.received_at]
        head.append("" if notice.next_at is None else repr(notice.next_at))
        with self._guard():
            return bool(self._add(keys=keys, args=[*head, *_flat(asdict(notice))]))

    def seen(self, delivery: str) -> bool:
        """Record a delivery id that makes no notice; True if it was seen before."""
        with self._guard():
            return not self._redis.set(_delivery_key(delivery), "1", nx=True, ex=DELIVERY_SECONDS)

    def notice(self, key: str) -> Notice | None:
        """One notice by its key."""
        found = self._notices([key])
        return found[0] if found else None

    def notices(self, *, open_only: bool = False) -> list[Notice]:
        """All notices, oldest received first."""
        with self._guard():
            found = self._notices(cast("list[str]", self._redis.zrange(_BY_TIME, 0, -1)))
        return [notice for notice in found if notice.status == "open" or not open_only]

    def update_notice(self, key: str, **changes: Any) -> Notice | None:
        """Change these fields and no others; returns the notice as it is now, None if it does not exist."""
        return self._changed(key, changes)

    def close_notice(self, key: str, *, by: str, why: str, at: int) -> Notice | None:
        """Close an open notice; None if it does not exist or is closed already."""
        closing = {"status": "closed", "closed_at": at, "closed_by": by, "closed_why": why}
        return self._changed(key, closing, condition="if_open")

    def due(self, now: float) -> list[Notice]:
        """Notices whose next step is due."""
        with self._guard():
            return self._notices(cast("list[str]", self._redis.zrangebyscore(_DUE, "-inf", now)))

    def claim(self, key: str, *, now: float, until: float) -> bool:
        """Take a due notice's next step for this process alone; it is due again at ``until``."""
        with self._guard():
            return bool(self._claim(keys=[_DUE, _notice_key(key)], args=[key, repr(now), repr(until)]))

    def append_decision(self, decision: Decision) -> None:
        """Add a line to the audit trail."""
        with self._guard():
            self._redis.rpush(_DECISIONS, to_json(decision))

    def decisions(self, identifier: str | None = None) -> list[Decision]:
        """Decisions in the order they were made, of everybody or of one identifier."""
        with self._guard():
            lines = cast("list[str]", self._redis.lrange(_DECISIONS, 0, -1))
        found = [from_mapping(Decision, json.loads(line)) for line in lines]
        once = {decision.id: decision for decision in found}  # a write repeated after a lost answer is one
        return [decision for decision in once.values() if identifier in (None, decision.identifier)]

    def fact(self, name: str) -> str | None:
        """A small named fact, e.g. the date of the last drill."""
        with self._guard():
            return cast("str | None", self._redis.hget(_FACTS, name))

    def set_fact(self, name: str, value: str) -> None:
        """Set a small named fact."""
        with self._guard():
            self._redis.hset(_FACTS, name, value)

    def erase(self, identifier: str) -> int:
        """Remove an identifier from notices and decisions; returns how many entries changed."""
        with self._guard():
            named = [notice for notice in self.notices() if notice.identifier == identifier]
            for notice in named:
                self._changed(notice.key, ERASED_FIELDS)
            removed = self._without_decisions_of(identifier)
        return len(named) + removed

    def _without_decisions_of(self, identifier: str) -> int:
        removed = 0

        def rewrite(pipe: redis.client.Pipeline) -> None:
            nonlocal removed
            removed = _erase_decisions(pipe, identifier)

        self._redis.transaction(rewrite, _DECISIONS)  # again from the start if somebody appends meanwhile
        return removed

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

    def _changed(self, key: str, changes: dict[str, Any], *, condition: str = "") -> Notice | None:
        due = _encoded(changes["next_at"]) if "next_at" in changes else ""
        with self._guard():
            args = [key, condition, due, *_flat(changes)]
            changed = self._change(keys=[_notice_key(key), _DUE], args=args)
        return self.notice(key) if changed else None

    def _notices(self, keys: list[str]) -> list[Notice]:
        with self._guard():
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.hgetall(_notice_key(key))
            rows = [row for row in pipe.execute() if row]
            return [
                from_mapping(Notice, {name: json.loads(text) for name, text in row.items()}) for row in rows
            ]

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError, ValueError) as error:
            raise JournalError(f"{self._shown}: {error}") from error


def _erase_decisions(pipe: redis.client.Pipeline, identifier: str) -> int:
    lines = cast("list[str]", pipe.lrange(_DECISIONS, 0, -1))
    every = [from_mapping(Decision, json.loads(line)) for line in lines]
    theirs = [decision for decision in every if decision.identifier == identifier]
    kept = kept_decision(theirs)
    left = [decision for decision in every if decision.identifier != identifier]
    pipe.multi()
    pipe.delete(_DECISIONS)
    if lines := [to_json(decision) for decision in (*left, *((kept,) if kept else ()))]:
        pipe.rpush(_DECISIONS, *lines)
    return len(theirs)


def _encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _flat(values: dict[str, Any]) -> list[str]:
    return [part for name, value in values.items() for part in (name, _encoded(value))]


def _notice_key(key: str) -> str:
    return f"{_ROOT}notice:{key}"


def _delivery_key(delivery: str) -> str:
    return f"{_ROOT}delivery:{delivery}"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2] or parts.path}"
