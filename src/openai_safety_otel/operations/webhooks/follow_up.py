"""What happens to a notice after the 2xx: look up, emit, suspend, tell; each step retried, all resumable.

The state of every step lies in the journal, so another process goes on after a crash. A process takes a
notice by moving its due time into the future (`Journal.claim`) and moves it again after each step: if it
dies, the notice becomes due again.
A person may change the notice meanwhile: each step begins with the notice as it is stored, and what it changes is
worked out from the notice as it is stored then, so that their word stands.
A crash between sending the event and noting that it was sent repeats the event, with the same notice id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.instrumentation.signals.sink import Sink
from openai_safety_otel.ledger.decisions import last_in
from openai_safety_otel.ledger.journal import Journal, JournalError, Notice
from openai_safety_otel.operations.webhooks import steps
from openai_safety_otel.operations.webhooks.cases import CaseReader, StepFailedError
from openai_safety_otel.operations.webhooks.events import notice_event
from openai_safety_otel.operations.webhooks.measures import Measures
from openai_safety_otel.operations.webhooks.notice import Show, read_case
from openai_safety_otel.operations.webhooks.notify import Notifier

_log = logging.getLogger(__name__)
AUTOMATIC = "openai-safety webhooks"
FLUSH_SECONDS = 5.0
SEND_SECONDS = 30.0


# What a step changes, from the notice as it is stored once the step is taken.
Changes = Callable[[Notice], Mapping[str, Any]]


class Suspender(Protocol):
    """Whoever can refuse an identifier's next calls."""

    def suspend(self, identifier: str, *, by: str, why: str) -> object:
        """Suspend; raises if it could not be made durable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient the follow-up is. All in seconds but ``tries`` (per step).

    ``patience`` bounds how long the event waits for its case; ``first`` doubles at each retry up to ``most``;
    ``lease`` is how long a notice taken by a process that died stays taken, so it is longer than any one
    step; ``poll`` is how often work left by other processes is looked for. The defaults retry for about five
    hours.
    """

    patience: float = 30.0
    first: float = 1.0
    most: float = 900.0
    tries: int = 30
    lease: float = 60.0
    poll: float = 5.0
    at_once: int = 8

    def delay(self, failures: int, *, lasting: bool) -> float:
        """Seconds until the next try after this many failures."""
        return self.most if lasting else min(self.first * 2.0 ** (failures - 1), self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpTools:
    """What the steps of the follow-up use; None where there is no such step."""

    sink: Sink
    show: Show
    cases: CaseReader | None = None
    suspender: Suspender | None = None
    suspend_on: frozenset[NoticeType] = frozenset({"identifier_blocked"})
    notifier: Notifier | None = None
    flush: Callable[[], object] | None = None


def prepared(notice: Notice, tools: FollowUpTools, retries: RetryPolicy, now: float) -> Notice:
    """The notice with the steps it needs here."""
    return steps.received(
        notice,
        now,
        patience=retries.patience,
        suspends=tools.suspender is not None and notice.type in tools.suspend_on,
        outgoing=tools.notifier is not None,
    )


class FollowUp:
    """The worker: one task that finds due notices and works on several at once."""

    def __init__(
        self, journal: Journal, tools: FollowUpTools, measures: Measures, retries: RetryPolicy
    ) -> None:
        self._journal = journal
        self._tools = tools
        self._measures = measures
        self._retries = retries
        self._wake = asyncio.Event()
        self._rounds: dict[str, asyncio.Task[None]] = {}  # by the notice's key
        # In this order: what a step needs is known when its turn comes.
        self._steps: dict[str, Callable[[Notice], Awaitable[Changes]]] = {
            "look_up": self._look_up,
            "count": self._count,
            "emit": self._emit,
            "suspension": self._suspend,
            "outgoing": self._tell,
        }

    def wake(self) -> None:
        """There is something new: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        await self._guarded(self._rearm)
        while True:
            self._wake.clear()
            await self._guarded(self._start_due)
            seconds = await self._pause()
            try:
                await asyncio.wait_for(self._wake.wait(), seconds)
            except asyncio.TimeoutError:
                continue

    async def finish(self, seconds: float) -> None:
        """Give running rounds this long to end, then leave them to the next process."""
        rounds = list(self._rounds.values())
        if rounds:
            await asyncio.wait(rounds, timeout=seconds)
        for task in rounds:
            task.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except JournalError as error:
            _log.warning("notices wait: %s", error)

    async def _rearm(self) -> None:
        """After a start (a key may be right by now) cases that could not be read get another chance."""
        for notice in await asyncio.to_thread(self._journal.notices, open_only=True):
            if notice.look_up == "failed":
                await self._revise(notice, self._again)

    def _again(self, notice: Notice) -> dict[str, Any]:
        if notice.look_up != "failed":
            return {}  # another process was faster
        fresh = prepared(notice, self._tools, self._retries, time.time())
        wanted = {"look_up"} if notice.suspension == "done" else {"look_up", "suspension"}
        pending = notice.pending | {name: fresh.pending[name] for name in wanted & set(fresh.pending)}
        suspension = "pending" if "suspension" in pending else notice.suspension
        return {
            "look_up": "pending",
            "suspension": suspension,
            "pending": pending,
            "next_at": fresh.next_at,
        }

    async def _start_due(self) -> None:
        now = time.time()
        for notice in await self._due(now):
            if len(self._rounds) >= self._retries.at_once:
                return
            until = now + self._retries.lease
            if await asyncio.to_thread(self._journal.claim, notice.key, now=now, until=until):
                task = asyncio.create_task(self._guarded(lambda n=notice: self._round(n)))  # type: ignore[misc]
                self._rounds[notice.key] = task
                task.add_done_callback(lambda _, key=notice.key: self._ended(key))  # type: ignore[misc]

    async def _due(self, now: float) -> list[Notice]:
        """The notices due by then that this process is not at work on: a slow round may outlive its lease."""
        due = await asyncio.to_thread(self._journal.due, now)
        return [notice for notice in due if notice.key not in self._rounds]

    def _ended(self, key: str) -> None:
        del self._rounds[key]
        self._wake.set()

    async def _pause(self) -> float:
        """Seconds until the next step is due, at most ``poll``; a round that ends wakes us before."""
        now = time.time()
        if len(self._rounds) >= self._retries.at_once:
            return self._retries.poll
        try:
            soon = await self._due(now + self._retries.poll)
        except JournalError:
            return self._retries.poll  # already said by the round before
        times = [notice.next_at for notice in soon if notice.next_at is not None]
        return max(min(times, default=now + self._retries.poll) - now, 0.01)

    async def _round(self, notice: Notice) -> None:
        """Every step that is ready, in order; then the time of the next one."""
        for name in self._steps:
            notice = await self._stored(notice)
            if steps.is_ready(notice, name, time.time()):
                notice = await self._tried(notice, name)
        await self._revise(notice, lambda now: {"next_at": steps.next_at(now)})

    async def _tried(self, notice: Notice, name: str) -> Notice:
        tries, _ = notice.pending[name]
        try:
            changes = await self._steps[name](notice)
        except StepFailedError as error:
            return await self._failed(notice, name, int(tries) + 1, error)
        except JournalError:
            raise
        except Exception as error:  # noqa: BLE001 - a sink's or suspender's own mistake is a failed try
            failure = StepFailedError(type(error).__name__)
            return await self._failed(notice, name, int(tries) + 1, failure)
        return await self._taken(notice, name, changes)

    async def _failed(self, notice: Notice, name: str, tries: int, error: StepFailedError) -> Notice:
        now = time.time()
        given_up = tries >= self._retries.tries
        state = [tries, now + self._retries.delay(tries, lasting=error.lasting)]
        if given_up:
            self._measures.dropped(name, error.reason)

        def changes(stored: Notice) -> dict[str, Any]:
            pending = steps.without(stored.pending, name) | ({} if given_up else {name: state})
            if name == "look_up" and (error.lasting or given_up):
                # What will not come soon is not waited for.
                pending = steps.emit_at_once(stored, pending, now)
            failed = {name: "failed"} if given_up and name in {"look_up", "suspension", "outgoing"} else {}
            why = {"look_up_error": error.reason} if name == "look_up" else {}
            return {"pending": pending, **failed, **why}

        _log.warning("notice %s: %s failed (%s), try %d", notice.id, name, error.reason, tries)
        return await self._taken(notice, name, changes)

    async def _taken(self, notice: Notice, name: str, changes: Changes) -> Notice:
        """The notice after a step, taken for another lease; a step that was taken away meanwhile changes nothing."""
        lease = {"next_at": time.time() + self._retries.lease}

        def after(now: Notice) -> dict[str, Any]:
            if name not in now.pending:
                return lease
            return {"pending": steps.without(now.pending, name), **changes(now), **lease}

        return await self._revise(notice, after)

    async def _stored(self, notice: Notice) -> Notice:
        return await asyncio.to_thread(self._journal.notice, notice.key) or notice

    async def _revise(self, notice: Notice, changes: Changes) -> Notice:
        return await asyncio.to_thread(self._journal.revise_notice, notice.key, changes) or notice

    # --- the steps: each returns what changes, or raises StepFailedError

    async def _count(self, notice: Notice) -> Changes:
        """Counted once, when it is told; one entered by hand too, as a command's own counter ends with it."""
        self._measures.notice(notice)
        return lambda _: {}

    async def _look_up(self, notice: Notice) -> Changes:
        if self._tools.cases is None:
            raise StepFailedError("no_key", lasting=True)
        case = await self._tools.cases.read(notice)

        def changes(now: Notice) -> dict[str, Any]:
            details = {**read_case(now, case, self._tools.show), "look_up": "done", "look_up_error": None}
            rest = steps.without(now.pending, "look_up")
            if now.emitted and steps.says(replace(now, **details)) != steps.says(now):
                return {**details, **steps.emit_again(rest, time.time())}
            return {**details, "pending": steps.emit_at_once(now, rest, time.time())}

        return changes

    async def _emit(self, notice: Notice) -> Changes:
        if notice.emitted:
            return lambda _: {}  # the command that entered it has sent it meanwhile
        self._tools.sink.emit(notice_event(notice))
        if self._tools.flush is not None:
            # Handed over already: sending it again is no help.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(self._tools.flush), FLUSH_SECONDS)
        return lambda _: {"emitted": True}

    async def _suspend(self, notice: Notice) -> Changes:
        suspender = self._tools.suspender
        if suspender is None or notice.identifier is None or await asyncio.to_thread(self._decided, notice):
            return lambda _: {"suspension": "off"}
        why = f"notice {notice.type} {notice.id}"
        await asyncio.to_thread(suspender.suspend, notice.identifier, by=AUTOMATIC, why=why)
        return lambda _: {"suspension": "done"}

    def _decided(self, notice: Notice) -> bool:
        """Whether a person has closed the notice, or decided about its end user since it came."""
        last = last_in(self._journal)(notice.identifier or "")
        return not notice.open or (last is not None and not last.automatic and last.at > notice.recorded_at)

    async def _tell(self, notice: Notice) -> Changes:
        if self._tools.notifier is None or not notice.open:
            return lambda _: {"outgoing": "off"}
        await asyncio.wait_for(asyncio.to_thread(self._tools.notifier.send, notice), SEND_SECONDS)
        return lambda _: {"outgoing": "done"}
