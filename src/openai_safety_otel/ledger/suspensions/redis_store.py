"""The list in Redis, for a fleet: each process polls a version number and fetches only what changed."""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from openai_safety_otel.contract.installing import install
from openai_safety_otel.ledger.suspensions.entry import ListEntry, Row, active, parse_row
from openai_safety_otel.ledger.suspensions.store import Holders, Unreadable, Update, missing

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ModuleNotFoundError:
    raise Unreadable("unreachable", f"needs: {install('redis')}") from None

_ROOT: Final = "{openai-safety:suspensions}:"  # the braces keep all keys on one node of a cluster
ENTRIES: Final = _ROOT + "entries"  # identifier -> entry as JSON, and _MARK
CHANGES: Final = _ROOT + "changes"  # identifier, sorted by the version that changed it last
VERSION: Final = _ROOT + "version"
EPOCH: Final = _ROOT + "epoch"  # made with the list, and lost together with the data: without it, no list
HOLDERS: Final = _ROOT + "holders"  # process -> "version time"
BLOCKS: Final = _ROOT + "blocks:"  # identifier -> its block times
TIMEOUT_SECONDS: Final = 1.0
# A field of the entries that is always there: a server that evicts them leaves no list, not an empty one.
_MARK: Final = ""
_NAME: Final = "the list in Redis"
SILENT_SECONDS: Final = 16.0  # three missed heartbeats
_SCAN: Final = 2000  # entries fetched at once: some milliseconds of work, then others may run

# Indivisible for all writers: the version, what changed under it, and the entries themselves.
_WRITE: Final = """
local there = redis.call('EXISTS', KEYS[4]) == 1 and redis.call('HEXISTS', KEYS[3], '') == 1
if there == (ARGV[1] ~= '') then return -1 end
if not there then
  redis.call('SET', KEYS[4], ARGV[1])
  if redis.call('HSET', KEYS[3], '', ARGV[1]) == 1 then redis.call('DEL', KEYS[2]) end
end
local version = redis.call('INCR', KEYS[1])
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], version, ARGV[i])
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[3], ARGV[i])
  else redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
end
return version
"""


class RedisStore:
    """The list on the server at ``url``; every exchange is bounded by `TIMEOUT_SECONDS`.

    A server that lost its data (restarted without persistence, failed over to an empty replica) has no list
    until one is created: the entries in memory stay in force, and what the new list holds is added to them. So it
    is with one that came back with older data (a backup, a replica that was behind).
    """

    def __init__(self, url: str) -> None:
        try:
            self._redis: Any = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),  # the next poll is the retry
            )
        except ValueError:  # its text may hold a part of the password
            raise Unreadable(
                "unreachable", "the Redis URL is wrong: redis://USER:PASSWORD@HOST:PORT/0"
            ) from None
        self._write = self._redis.register_script(_WRITE)
        self._version: int | None = None
        self._epoch = ""

    def poll(self) -> Update | None:
        """Ask for the version; fetch what changed since the one we hold."""
        with _reachable():
            pipe = self._redis.pipeline(transaction=False)
            pipe.mget(VERSION, EPOCH)
            pipe.hexists(ENTRIES, _MARK)
            (text, epoch), marked = pipe.execute()
            if not (epoch and marked):
                raise missing(_NAME)
            version, held = int(text or 0), self._version
            if version == held and epoch == self._epoch:
                return None
            if held is None:
                update = self._whole(version)
            elif lost := held > 0 and (epoch != self._epoch or version < held):
                update = dataclasses.replace(self._since(0, version), lost=lost)
            else:
                update = self._since(held, version)
        self._version, self._epoch = version, epoch
        return update

    def _whole(self, version: int) -> Update:
        rows, _, skipped = _sorted_out(pair for page in self._pages() for pair in page.items())
        return Update(version, rows, skipped=skipped)

    def _pages(self) -> Iterator[dict[str, str]]:
        cursor = 0
        while True:
            cursor, page = self._redis.hscan(ENTRIES, cursor, count=_SCAN)
            page.pop(_MARK, None)
            yield page
            if int(cursor) == 0:
                return

    def _since(self, held: int, version: int) -> Update:
        changed = cast("list[str]", self._redis.zrangebyscore(CHANGES, f"({held}", version))
        pages = (changed[at : at + _SCAN] for at in range(0, len(changed), _SCAN))
        rows, removed, skipped = _sorted_out(
            pair for names in pages for pair in zip(names, self._redis.hmget(ENTRIES, names), strict=True)
        )
        return Update(version, rows, tuple(removed), whole=False, skipped=skipped)

    def create(self, entries: Mapping[str, ListEntry]) -> int | None:
        """Create the list's marker, then put the entries under it; None where it is there already."""
        with _reachable():
            version = self._run(secrets.token_hex(8), [])
        if version < 0:
            return None
        return self.write(entries) if entries else version

    def write(self, changes: Mapping[str, ListEntry | None]) -> int:
        """Set or remove entries, some thousands at a time in one indivisible step."""
        flat = [
            text
            for identifier, entry in changes.items()
            for text in (identifier, json.dumps(entry.fields(), ensure_ascii=False) if entry else "")
        ]
        version = 0
        with _reachable():
            for at in range(0, max(len(flat), 1), 2 * _SCAN):
                version = self._run("", flat[at : at + 2 * _SCAN])
            if version >= 0 and (
                cleared := [BLOCKS + name for name, entry in changes.items() if entry is None]
            ):
                self._redis.delete(*cleared)  # they count from nothing again
        if version < 0:
            raise missing(_NAME)
        return version

    def _run(self, marker: str, pairs: list[str]) -> int:
        """The list's new version; -1 where it is missing, or, with a marker to create it, is there."""
        return int(self._write(keys=[VERSION, CHANGES, ENTRIES, EPOCH], args=[marker, *pairs]))

    def _must_exist(self) -> None:
        if not (self._redis.exists(EPOCH) and self._redis.hexists(ENTRIES, _MARK)):
            raise missing(_NAME)

    def look_up(self, identifiers: Iterable[str]) -> dict[str, ListEntry]:
        """The entries of these identifiers as they are now."""
        names = list(identifiers)
        if not names:
            return {}
        with _reachable():
            self._must_exist()
            texts = self._redis.hmget(ENTRIES, names)
        return _active(zip(names, texts, strict=True))

    def entries(self) -> dict[str, ListEntry]:
        """Every active entry."""
        found: dict[str, ListEntry] = {}
        with _reachable():
            self._must_exist()
            for page in self._pages():
                found.update(_active(page.items()))
        return found

    def hold(self, process: str, version: int) -> None:
        """Write this process's heartbeat, in the server's time."""
        with _reachable():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(HOLDERS, process, f"{version} {self._now()}")
            pipe.expire(HOLDERS, int(SILENT_SECONDS * 4))
            pipe.execute()

    def release(self, process: str) -> None:
        """Remove this process's heartbeat."""
        with _reachable():
            self._redis.hdel(HOLDERS, process)

    def holders(self, version: int) -> Holders:
        """Count heartbeats that are fresh; those long silent are removed."""
        with _reachable():
            now = self._now()
            beats = {name: text.partition(" ")[::2] for name, text in self._redis.hgetall(HOLDERS).items()}
            silent = [name for name, (_, at) in beats.items() if now - float(at or 0) > SILENT_SECONDS]
            if silent:
                self._redis.hdel(HOLDERS, *silent)
        alive = [int(held) for name, (held, _) in beats.items() if name not in silent]
        return Holders(len(alive), sum(held >= version for held in alive))

    def count_block(self, identifier: str, *, now: float, window: float) -> int:
        """Count for the whole fleet."""
        key = BLOCKS + identifier
        with _reachable():
            self._must_exist()
            pipe = self._redis.pipeline(transaction=True)
            pipe.zremrangebyscore(key, "-inf", now - window)
            pipe.zadd(key, {f"{now!r}-{time.monotonic_ns()}": now})
            pipe.expire(key, int(window) + 1)
            pipe.zcard(key)
            return int(pipe.execute()[-1])

    def _now(self) -> float:
        seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()


def _row(text: str | None) -> Row | None:
    try:
        return parse_row(json.loads(text)) if text else None
    except ValueError:
        return None


def _sorted_out(pairs: Iterable[tuple[str, str | None]]) -> tuple[dict[str, Row], list[str], int]:
    """The entries that make sense, who is listed no more, and how many entries make none."""
    rows: dict[str, Row] = {}
    removed: list[str] = []
    skipped = 0
    for identifier, text in pairs:
        if (row := _row(text)) is not None:
            rows[identifier] = row
        elif text is None:
            removed.append(identifier)
        else:
            skipped += 1
    return rows, removed, skipped


def _active(pairs: Iterable[tuple[str, str | None]]) -> dict[str, ListEntry]:
    return active({name: _row(text) for name, text in pairs})


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except redis.TimeoutError:
        raise Unreadable("slow", f"Redis did not answer within {TIMEOUT_SECONDS:.0f} s") from None
    except (redis.RedisError, OSError) as error:
        raise Unreadable("unreachable", f"Redis cannot be used ({type(error).__name__})") from None
