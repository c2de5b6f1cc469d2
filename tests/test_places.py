"""Blocks and requests that overlap: nobody is ever taken for somebody else."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from openai_safety_otel import EndUser, carry, end_user, set_end_user
from openai_safety_otel.who.current import begin_request, current_end_user, end_request


def name() -> str | None:
    person = current_end_user()
    return person.id or person.session or person.system if person else None


def in_thread(function: object, *arguments: object) -> object:
    """As a framework runs a sync dependency: in a worker thread, on a copy of the context."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, function, *arguments).result()  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _own_context() -> Iterator[None]:
    yield
    set_end_user(None)


async def test_a_generator_closed_from_another_task(caplog: pytest.LogCaptureFixture) -> None:
    """Closing raises nothing, logs nothing, and leaves the closing task's own user alone."""
    done: list[str] = []

    async def words(user: str | None) -> AsyncIterator[str | None]:
        try:
            with end_user(user):
                while True:
                    yield name()
        finally:
            done.append("closed")

    async def step(generator: AsyncIterator[str | None]) -> str | None:
        return await generator.__anext__()

    async def close(generator: AsyncIterator[str | None], user: str | None) -> str | None:
        set_end_user(user)
        await generator.aclose()  # type: ignore[attr-defined]
        return name()

    with caplog.at_level(logging.WARNING):
        for opened_for in ("ann", None):
            generator = words(opened_for)
            assert opened_for == await asyncio.create_task(step(generator))
            for user in ("bob", None):
                assert user == await asyncio.create_task(close(generator, user))
    assert (["closed"] * 2, []) == (done, caplog.records)


async def test_a_generator_left_to_the_event_loop(caplog: pytest.LogCaptureFixture) -> None:
    """A generator that is never closed is finished by the loop, in a context of its own, without a word."""

    async def words() -> AsyncIterator[str | None]:
        async with end_user("ann"):
            yield name()

    async def abandon() -> str | None:
        async for found in words():
            return found
        return None

    with caplog.at_level(logging.WARNING):
        assert "ann" == await asyncio.create_task(abandon())
        gc.collect()
        await asyncio.sleep(0)
        assert name() is None
    assert [] == caplog.records


def test_nobodys_block_closed_elsewhere() -> None:
    """A block for nobody, opened where Ann was, does not bring Ann to the context in which it is closed."""
    block = end_user(None)
    elsewhere = contextvars.Context()
    with end_user("ann"):
        block.__enter__()
        elsewhere.run(block.__exit__, None, None, None)
        assert name() is None
        block.__exit__(None, None, None)
        assert "ann" == name()
    assert elsewhere.run(name) is None


def test_two_generators_read_in_turn() -> None:
    """Blocks left in the order in which they were entered leave nobody behind."""

    def words(user: str) -> Iterator[str | None]:
        with end_user(user):
            yield name()

    ann, bob = words("ann"), words("bob")
    assert ["ann", "bob"] == [next(ann), next(bob)]
    assert [[], []] == [list(ann), list(bob)]
    assert name() is None


def test_one_block_object_used_by_two_threads() -> None:
    """`as_job = end_user(…)` at module level may be entered by many threads at once."""
    as_job = end_user(system="nightly")

    def work(user: str) -> tuple[str | None, ...]:
        set_end_user(user)
        with as_job:
            with as_job:
                inner = name()
            within = name()
        return inner, within, name()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda at: contextvars.Context().run(work, f"u{at}"), range(200)))
    assert [("nightly", "nightly", f"u{at}") for at in range(200)] == found


def test_a_block_undoes_what_was_set_inside() -> None:
    """`set_end_user` within a block holds until its end, and no longer."""
    with end_user("ann"):
        set_end_user("bob")
        assert "bob" == name()
    assert name() is None


@pytest.mark.parametrize("admin", ["admin", None])
async def test_tasks_of_one_request_keep_their_own(admin: str | None) -> None:
    """A request, an administrator's or nobody's, that works for many users in parallel mixes none of them up."""
    holder = begin_request(EndUser(admin) if admin else None)

    async def for_one(user: str) -> list[str | None]:
        set_end_user(user)
        seen = [name()]
        await asyncio.sleep(0)
        return [*seen, name(), await asyncio.to_thread(name)]

    def in_pool(user: str) -> list[str | None]:
        with end_user(user):
            return [name()]

    found = await asyncio.gather(*(for_one(f"u{at}") for at in range(20)))
    pooled = await asyncio.gather(*(asyncio.to_thread(in_pool, f"u{at}") for at in range(20)))
    mine = name()
    end_request(holder)
    assert ([[f"u{at}"] * 3 for at in range(20)], [[f"u{at}"] for at in range(20)]) == (found, pooled)
    assert (admin, None) == (mine, name())


async def test_a_threads_block_is_not_the_requests() -> None:
    """A request of nobody's that works for Ann in a thread does not call as Ann meanwhile."""
    holder = begin_request(None)
    inside, seen = threading.Event(), threading.Event()

    def work() -> str | None:
        with end_user("ann"):
            inside.set()
            seen.wait(30)
            return name()

    working = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.to_thread(inside.wait, 30)
    mine, others = name(), await asyncio.to_thread(name)
    seen.set()
    end_request(holder)
    assert (None, None, "ann") == (mine, others, await working)


def test_a_worker_thread_tells_its_request() -> None:
    """What a sync dependency sets, or yields in a block of, the request knows."""
    holder = begin_request(None)
    in_thread(set_end_user, EndUser(session="s9"))
    seen = [name()]

    def dependency() -> Iterator[str | None]:
        with end_user("ann"):
            yield name()

    yielding = dependency()
    seen += [str(in_thread(next, yielding)), name()]
    in_thread(set_end_user, "bob")
    seen.append(name())
    in_thread(set_end_user, None)
    seen.append(name())
    end_request(holder)
    assert ["s9", "ann", "ann", "bob", None] == seen


def test_a_thread_does_not_rename_a_block() -> None:
    """Outside a request, what a thread sets stays in the thread: the consumer stays a job."""
    with end_user(system="consumer"):

        def handle(user: str) -> str | None:
            set_end_user(user)
            return name()

        with ThreadPoolExecutor(2) as pool:
            handled = list(pool.map(carry(handle), ["ann", "bob"]))
        assert (["ann", "bob"], "consumer") == (handled, name())


async def test_a_task_outlives_its_block() -> None:
    """Work started for Ann stays Ann's after the block that started it has ended."""
    over = asyncio.Event()

    async def work() -> list[str | None]:
        seen = [name()]
        await over.wait()
        with end_user("bob"):
            seen.append(name())
        return [*seen, name()]

    with end_user("ann"):
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
    over.set()
    assert (None, ["ann", "bob", "ann"]) == (name(), await task)


async def test_blocks_that_start_each_other_do_not_pile_up() -> None:
    """A poller that starts its successor inside its own block keeps no chain of all that went before."""

    async def poll(left: int) -> None:
        if left:
            with end_user(f"u{left}"):
                task = asyncio.create_task(poll(left - 1))
            chain.append(task)

    chain: list[asyncio.Task[None]] = []
    await poll(300)
    while chain:
        await chain.pop()
    gc.collect()
    from openai_safety_otel.who.current import Holder

    assert 5 > sum(isinstance(one, Holder) for one in gc.get_objects())
