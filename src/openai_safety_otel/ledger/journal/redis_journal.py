"""The journal in Redis: several receivers and processes on several hosts.

Redis keeps what it was told to keep: run it with an append-only file (``appendonly yes``; ``appendfsync
always`` for the same promise as SQLite makes). :meth:`RedisJournal.is_durable` says what the server does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast

from openai_safety_otel.contract.addresses import without_password
from openai_safety_otel.contract.installing import install
from openai_safety_otel.ledger.journal import chain
from openai_safety_otel.ledger.journal.chain import Link
from openai_safety_otel.ledger.journal.entries import (
    REOPENED,
    Decision,
    JournalError,
    Notice,
    closing,
    from_mapping,
    to_json,
)
from openai_safety_otel.ledger.journal.erasure import Erasure, erased_fields, erasure

try:
    import redis
except ModuleNotFoundError as missing:
    raise JournalError(f"a Redis store needs: {install('redis')}") from missing

_ROOT = "{openai-safety}:"  # the braces keep all keys on one node of a cluster
_BY_TIME = _ROOT + "notices"  # sorted by received_at
_DUE = _ROOT + "due"  # sorted by next_at
_CHAIN = _ROOT + "chain"
_HEAD = _ROOT + "head"  # the digest of the last entry of the chain
BUSY_TRIES = 1000
_FACTS = _ROOT + "facts"
DELIVERY_SECONDS = 30 * 86_400  # ten times as long as the provider retries
TIMEOUT_SECONDS = 5.0

# Each script is one indivisible step for all processes. An entry goes on the chain only if it follows its head:
# -1 asks for another try, made to follow the head as it is now. The first two keys are the chain and its head, the
# first three arguments the head expected, the entry's digest and the entry.
_FOLLOWS = """
local head = redis.call('GET', KEYS[2])
if head == ARGV[2] then return 1 end
if (head or '') ~= ARGV[1] then return -1 end
redis.call('RPUSH', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[2])
"""
_APPEND = f"{_FOLLOWS} return 1"
_ADD = f"""
if redis.call('EXISTS', KEYS[4]) == 1 or (ARGV[4] ~= '' and redis.call('EXISTS', KEYS[3]) == 1) then
  if ARGV[4] ~= '' then redis.call('SET', KEYS[3], '1', 'NX', 'EX', ARGV[5]) end
  return 0
end
{_FOLLOWS}
if ARGV[4] ~= '' then redis.call('SET', KEYS[3], '1', 'EX', ARGV[5]) end
for i = 9, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', KEYS[5], ARGV[7], ARGV[6])
if ARGV[8] ~= '' then redis.call('ZADD', KEYS[6], ARGV[8], ARGV[6]) end
return 1
"""
_TURN = f"""
if redis.call('HGET', KEYS[3], 'status') ~= ARGV[4] then return 0 end
{_FOLLOWS}
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
return 1
"""
_CHANGE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[2] == 'null' then redis.call('ZREM', KEYS[2], ARGV[1])
elseif ARGV[2] ~= '' then redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1]) end
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
        self._shown = without_password(url)
        self._looked_through = 0
        try:
            self._redis = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
            )
        except ValueError:  # its text may hold a part of the password
            raise JournalError(f"{self._shown}: this is no redis://USER:PASSWORD@HOST:PORT/0") from None
        with self._guard():
            self._redis.ping()
        self._append = self._redis.register_script(_APPEND)
        self._add = self._redis.register_script(_ADD)
        self._turn = self._redis.register_script(_TURN)
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
        with self._guard():
            if not self._redis.exists(_BY_TIME):
                self.notices()  # others that are lost are found again before this one hides it
        keys = [_delivery_key(delivery or ""), _notice_key(notice.key), _BY_TIME, _DUE]
        head: list[str | int] = [delivery or "", DELIVERY_SECONDS, notice.key, notice.received_at]
        head.append("" if notice.next_at is None else repr(notice.next_at))
        args = [*head, *_flat(asdict(notice))]
        return bool(self._chained(self._add, keys, args, "notice", "", chain.received(notice))[0])

    def seen(self, delivery: str) -> bool:
        """Record a delivery id that makes no notice; True if it was seen before."""
        with self._guard():
            return not self._redis.set(_delivery_key(delivery), "1", nx=True, ex=DELIVERY_SECONDS)

    def notice(self, key: str) -> Notice | None:
        """One notice by its key."""
        found = self._notices([key])
        return found[0] if found else None

    def notices(self, *, open_only: bool = False) -> list[Notice]:
        """All notices, oldest received first; of one that the server has evicted, what the chain knows."""
        with self._guard():
            keys = cast("list[str]", self._redis.zrange(_BY_TIME, 0, -1))
            found = self._notices(keys)
            lost = len(found) < len(keys)
            if not keys:  # a chain of decisions alone is looked through once
                length = self._redis.llen(_CHAIN)
                lost, self._looked_through = length != self._looked_through, length
            if lost:
                found = self._found_again(found)
        return [notice for notice in found if notice.open or not open_only]

    def _found_again(self, found: list[Notice]) -> list[Notice]:
        for lost in chain.missing(self.links(), {notice.key for notice in found}):
            pipe = self._redis.pipeline()
            if not self._redis.exists(_notice_key(lost.key)):
                flat = _flat(asdict(lost))
                pipe.hset(_notice_key(lost.key), mapping=dict(zip(flat[::2], flat[1::2], strict=True)))
            pipe.zadd(_BY_TIME, {lost.key: lost.received_at})
            pipe.execute()
        return self._notices(cast("list[str]", self._redis.zrange(_BY_TIME, 0, -1)))

    def update_notice(self, key: str, **changes: Any) -> Notice | None:
        """Change these fields and no others; returns the notice as it is now, None if it does not exist."""
        return self.revise_notice(key, lambda _: changes)

    def revise_notice(self, key: str, changes: Callable[[Notice], Mapping[str, Any]]) -> Notice | None:
        """Change the fields that a function names when it sees the notice as stored."""

        def revise(pipe: redis.client.Pipeline) -> None:
            found = _notice_in(cast("dict[str, str]", pipe.hgetall(_notice_key(key))))
            pipe.multi()
            if found is not None and (new := changes(found)):
                due = _encoded(new["next_at"]) if "next_at" in new else ""
                self._change(keys=[_notice_key(key), _DUE], args=[key, due, *_flat(new)], client=pipe)

        with self._guard():
            # Again from the start if somebody else writes it.
            self._redis.transaction(revise, _notice_key(key))
        return self.notice(key)

    def close_notice(self, key: str, *, by: str, why: str, at: int) -> Notice | None:
        """Close an open notice; None if it does not exist or is closed already."""
        return self._turned(key, "open", chain.closed(key, by=by, why=why, at=at), closing(by, why, at))

    def reopen_notice(self, key: str, *, by: str, why: str, at: int) -> Notice | None:
        """Open a notice that was closed by mistake again; None if it does not exist or is open."""
        return self._turned(key, "closed", chain.reopened(key, by=by, why=why, at=at), REOPENED)

    def _turned(self, key: str, before: str, body: str, changes: dict[str, Any]) -> Notice | None:
        notice = self.notice(key)
        if notice is None:
            return None
        keys, args = [_notice_key(key)], [_encoded(before), *_flat(changes)]
        done, _ = self._chained(self._turn, keys, args, "notice", notice.identifier or "", body)
        return self.notice(key) if done else None

    def due(self, now: float) -> list[Notice]:
        """Notices whose next step is due."""
        with self._guard():
            return self._notices(cast("list[str]", self._redis.zrangebyscore(_DUE, "-inf", now)))

    def claim(self, key: str, *, now: float, until: float) -> bool:
        """Take a due notice's next step for this process alone; it is due again at ``until``."""
        with self._guard():
            return bool(self._claim(keys=[_DUE, _notice_key(key)], args=[key, repr(now), repr(until)]))

    def append_decision(self, decision: Decision) -> str:
        """Add a line to the audit trail; returns the head of the hash chain, which is the entry's digest."""
        body = to_json(decision)
        return self._chained(self._append, [], [], "decision", decision.identifier, body)[1]

    def _chained(
        self, script: Any, keys: list[str], args: list[Any], kind: chain.LinkKind, identifier: str, body: str
    ) -> tuple[int, str]:
        """Run a script that puts an entry on the chain; again while others put theirs there first."""
        with self._guard():
            for _ in range(BUSY_TRIES):
                head = self._head()
                link = chain.linked(head or chain.START, kind, identifier, body)
                first = [head or "", link.digest, _encoded(asdict(link))]
                done = int(script(keys=[_CHAIN, _HEAD, *keys], args=[*first, *args]))
                if done >= 0:
                    return done, link.digest
        raise JournalError(f"{self._shown}: too many processes write at once")

    def _head(self) -> str | None:
        """The digest of the last entry; found anew where a server that evicts keys has taken it."""
        head = cast("str | None", self._redis.get(_HEAD))
        if head is None and (last := cast("str | None", self._redis.lindex(_CHAIN, -1))):
            self._redis.set(_HEAD, json.loads(last)["digest"], nx=True)
            return cast("str | None", self._redis.get(_HEAD))
        return head

    def decisions(self, identifier: str | None = None) -> list[Decision]:
        """Decisions in the order they were made, of everybody or of one identifier."""
        bodies = [link.body for link in self.links() if link.kind == "decision" and link.body is not None]
        found = [from_mapping(Decision, json.loads(body)) for body in bodies]
        once = {decision.id: decision for decision in found}  # a write repeated after a lost answer is one
        return [decision for decision in once.values() if identifier in (None, decision.identifier)]

    def links(self) -> list[Link]:
        """The hash chain of notices and decisions, oldest first."""
        with self._guard():
            return [Link(**json.loads(line)) for line in cast("list[str]", self._redis.lrange(_CHAIN, 0, -1))]

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
                self.revise_notice(
                    notice.key, lambda now: erased_fields(now) if now.identifier == identifier else {}
                )
            while (removed := self._without_content_of(identifier)) is None:
                pass
            return len(named) + removed

    def _without_content_of(self, identifier: str) -> int | None:
        """Erase what the chain says of an identifier; None if something had to be appended first."""
        plan = Erasure([], None)

        def rewrite(pipe: redis.client.Pipeline) -> None:
            nonlocal plan
            links = [Link(**json.loads(line)) for line in cast("list[str]", pipe.lrange(_CHAIN, 0, -1))]
            plan = erasure(links, identifier)
            pipe.multi()
            for at in () if plan.new else plan.goes:
                pipe.lset(_CHAIN, at, _encoded(asdict(links[at].erased())))

        self._redis.transaction(rewrite, _CHAIN)  # again from the start if somebody appends meanwhile
        if plan.new is None:
            return len(plan.goes)
        self.append_decision(plan.new)
        return None

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

    def _notices(self, keys: list[str]) -> list[Notice]:
        with self._guard():
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                pipe.hgetall(_notice_key(key))
            return [found for row in pipe.execute() if (found := _notice_in(row)) is not None]

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError, ValueError) as error:
            raise JournalError(f"{self._shown}: {error}") from error


def _encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _notice_in(row: Mapping[str, str]) -> Notice | None:
    return from_mapping(Notice, {name: json.loads(text) for name, text in row.items()}) if row else None


def _flat(values: Mapping[str, Any]) -> list[str]:
    return [part for name, value in values.items() for part in (name, _encoded(value))]


def _notice_key(key: str) -> str:
    return f"{_ROOT}notice:{key}"


def _delivery_key(delivery: str) -> str:
    return f"{_ROOT}delivery:{delivery}"
