"""The suspension list in a real Redis: changes, losses, a server that is gone and one that is slow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import redis

from openai_safety_otel.contract.record import Identity
from openai_safety_otel.instrumentation.guard import Guard
from openai_safety_otel.ledger.suspensions import Holders, ListEntry, Unreadable, open_suspensions
from openai_safety_otel.ledger.suspensions import redis_store as r
from openai_safety_otel.ledger.suspensions.refresher import Refresher
from support.lists import Drops, Follow, new_list
from support.proxy import Proxy
from support.waiting import until

ENTRY = ListEntry("suspend", None, "ann", "case C-1", 5.0)


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    port = urlsplit(redis_url).port
    assert port is not None
    with Proxy(port) as between:
        yield between


def through(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


def test_changes_reach_every_follower(redis_url: str, follow: Follow) -> None:
    """Two followers see an entry set, changed and removed."""
    source = new_list(redis_url, {"a": ENTRY})
    (one, drops), (other, _) = follow(redis_url), follow(redis_url)
    seen = [(dict(one.rows), dict(other.rows))]
    for change, count in (({"a": ListEntry("revoke"), "b": ENTRY}, 2), ({"a": None}, 1)):
        version = source.write(change)
        until(lambda version=version: one.version == other.version == version)  # type: ignore[misc]
        assert count == len(one.rows)
        seen.append((dict(one.rows), dict(other.rows)))
    revoked = {"a": ListEntry("revoke").row(), "b": ENTRY.row()}
    expected = [{"a": ENTRY.row()}, revoked, {"b": ENTRY.row()}]
    assert ([(rows, rows) for rows in expected], []) == (seen, drops)


def test_a_change_fetches_only_what_changed(redis_url: str, follow: Follow) -> None:
    """After the first reading, a change in a list of 5,000 entries scans nothing."""
    source = new_list(redis_url, {f"{n}": ENTRY for n in range(5000)})
    follower, _ = follow(redis_url)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.config_resetstat()
        version = source.write({"7": ListEntry("revoke")})
        until(lambda: follower.version == version)
        commands = client.info("commandstats")
    assert (5000, "revoke", False, 1) == (
        len(follower.rows),
        follower.rows["7"][0],
        "cmdstat_hscan" in commands,
        commands["cmdstat_hmget"]["calls"],
    )


def test_bad_entries_are_passed_over(redis_url: str, follow: Follow) -> None:
    """An entry that another program damaged costs nobody else's."""
    new_list(redis_url, {"a": ENTRY})
    with redis.Redis.from_url(redis_url) as client:
        client.hset(r.ENTRIES, "b", "{")
    follower, drops = follow(redis_url)
    assert ({"a": ENTRY.row()}, [("suspensions", "bad_entry")]) == (follower.rows, drops)


def test_lost_data_lift_nothing(redis_url: str, follow: Follow) -> None:
    """A server that forgot everything: what is in memory stays in force, and a new list adds to it."""
    source = new_list(redis_url)
    for _ in range(3):
        source.write({"a": ENTRY})
    follower, drops = follow(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    until(lambda: drops)
    after_loss = dict(follower.rows)
    with pytest.raises(Unreadable) as caught:
        source.write({"b": ENTRY})
    new_list(redis_url, {"b": ENTRY})
    until(lambda: "b" in follower.rows)
    both = {"a": ENTRY.row(), "b": ENTRY.row()}
    assert ({"a": ENTRY.row()}, both, "missing", {("suspensions", "missing"), ("suspensions", "lost")}) == (
        after_loss,
        follower.rows,
        caught.value.reason,
        set(drops),
    )


@pytest.mark.parametrize("key", [r.ENTRIES, r.EPOCH])
def test_one_evicted_key_leaves_no_empty_list(redis_url: str, follow: Follow, key: str) -> None:
    """Who follows keeps everybody out, who starts finds no list, nothing is written, and it can be made again."""
    source = new_list(redis_url, {"a": ENTRY, "b": ENTRY})
    follower, _ = follow(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(key)
    for use in (source.entries, lambda: source.look_up(["a"]), lambda: source.write({"c": ENTRY})):
        with pytest.raises(Unreadable, match="the list in Redis is missing"):
            use()
    with pytest.raises(Unreadable, match="the list in Redis is missing"):
        open_suspensions(redis_url).poll()
    assert sorted(follower.rows) == ["a", "b"]
    assert source.create({"c": ENTRY}) is not None
    assert until(lambda: sorted(follower.rows) == ["a", "b", "c"])


def test_older_data_lift_nothing(redis_url: str, follow: Follow) -> None:
    """A backup put back, or a replica that was behind: who was suspended since stays so, and it is told."""
    source = new_list(redis_url, {"a": ENTRY})
    with redis.Redis.from_url(redis_url) as client:
        backup = {key: client.dump(key) for key in client.keys("*suspensions*")}
        source.write({"b": ENTRY})
        source.write({"a": None})
        follower, drops = follow(redis_url)
        before = dict(follower.rows)
        pipe = client.pipeline()
        for key, dumped in backup.items():
            pipe.restore(key, 0, dumped, replace=True)
        pipe.execute()
    until(lambda: drops)
    both = {"a": ENTRY.row(), "b": ENTRY.row()}
    assert (before, follower.rows, drops) == ({"b": ENTRY.row()}, both, [("suspensions", "lost")])


def test_a_server_that_is_gone_is_counted_and_found_again(
    proxy: Proxy, redis_url: str, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """While Redis is gone the last list stays, one line is logged; when it is back, changes are read."""
    caplog.set_level(logging.WARNING)
    source = new_list(redis_url, {"a": ENTRY})
    follower, drops = follow(through(proxy))
    proxy.gone()
    until(lambda: len(drops) > 3)
    kept, logged = dict(follower.rows), len(caplog.records)
    source.write({"b": ENTRY})
    proxy.back()
    until(lambda: "b" in follower.rows)
    assert ({"a": ENTRY.row()}, 1, {("suspensions", "unreachable")}, {"a", "b"}) == (
        kept,
        logged,
        set(drops),
        set(follower.rows),
    )


@pytest.mark.usefixtures("quick_lists")
def test_a_slow_server_never_holds_up_a_call(proxy: Proxy, redis_url: str) -> None:
    """While Redis answers nothing, a thousand checks wait for nothing, and it is counted."""
    new_list(redis_url, {"a": ENTRY})
    drops: Drops = []
    follower = Refresher(lambda: open_suspensions(through(proxy)), lambda *what: drops.append(what))
    guard = Guard(follower)
    follower.start(wait=10)
    try:
        proxy.stall()
        until(lambda: drops)
        # One that waited for Redis would take its timeout: a thousand of them, longer than a test may.
        for _ in range(1000):
            assert guard.check(Identity(value="a")) == ENTRY
            assert guard.check(Identity(value="nobody")) is None
        age = guard.age()
        proxy.back()
        until(lambda: guard.age() < age)
        assert ({("suspensions", "slow")}, True) == (set(drops), guard.age() < age)
    finally:
        guard.close()


def test_holders_are_counted_while_they_run(redis_url: str, follow: Follow) -> None:
    """Two followers hold a new list; after one has closed there is one; a silent one is swept away."""
    source = new_list(redis_url)
    first, _ = follow(redis_url)
    second, _ = follow(redis_url)
    version = source.write({"a": ENTRY})
    both = until(lambda: (found := source.holders(version)) == Holders(2, 2) and found)
    first.close()
    one = source.holders(version)
    second.close()
    with redis.Redis.from_url(redis_url) as client:
        client.hset(r.HOLDERS, "dead", f"{version} 1000000000.0")
    assert (Holders(2, 2), Holders(1, 1), Holders(0, 0)) == (both, one, source.holders(version))


def test_blocks_are_counted_for_the_fleet(redis_url: str) -> None:
    """Two processes count together, within the window only."""
    one, other = new_list(redis_url), open_suspensions(redis_url)
    counts = [
        one.count_block("a", now=100.0, window=10.0),
        other.count_block("a", now=105.0, window=10.0),
        other.count_block("b", now=105.0, window=10.0),
        one.count_block("a", now=112.0, window=10.0),
    ]
    assert [1, 2, 1, 2] == counts


def test_entries_and_look_up_show_what_counts(redis_url: str) -> None:
    """Expired entries are not shown."""
    source = new_list(redis_url)
    source.write({"a": ENTRY, "old": ListEntry("suspend", 1.0)})
    assert ({"a": ENTRY}, {"a": ENTRY}, {}) == (
        source.entries(),
        source.look_up(["a", "old", "none"]),
        source.look_up([]),
    )


def test_a_server_without_a_list_is_an_unreadable_list(redis_url: str, follow: Follow) -> None:
    """An empty server has no list: whatever is asked, it is missing, until one is created, once."""
    source = open_suspensions(redis_url)
    follower, drops = follow(redis_url)
    uses: list[Callable[[], object]] = [
        source.poll,
        source.entries,
        lambda: source.write({"a": ENTRY}),
        lambda: source.look_up(["a"]),
        lambda: source.count_block("a", now=1.0, window=9.0),
    ]
    reasons = []
    for use in uses:
        with pytest.raises(Unreadable) as caught:
            use()
        reasons.append(caught.value.reason)
    state = follower.state()
    made = (source.create({}), source.create({"a": ENTRY}))
    until(follower.is_read)
    assert (["missing"] * 5, "missing", {("suspensions", "missing")}, (1, None), {}) == (
        reasons,
        state,
        set(drops),
        made,
        source.entries(),
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hidden@host:notaport/0",
        "redis://u:hid/den@host:1/0",
        "redis://:hid#den@host:x",
        "rediss://h:p",
    ],
)
def test_a_wrong_url_is_one_line(url: str) -> None:
    """A URL that is none is a readable error without the password."""
    with pytest.raises(Unreadable) as caught:
        open_suspensions(url)
    assert ("unreachable", False) == (caught.value.reason, "hid" in str(caught.value))
