"""The filter that calls under a `filter` decision must pass: the app's function, or the Moderation API."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Final

from openai_safety_otel.contract.callables import function_at
from openai_safety_otel.contract.settings import Settings

if TYPE_CHECKING:
    from openai_safety_otel.ledger.suspensions.refresher import CountDrop

SECONDS: Final = 5.0  # the longest a filter may hold a call
MAX_RUNNING: Final = 32  # filters at work at once; more count as failed
_TURN_SECONDS: Final = 0.005
_log = logging.getLogger(__name__)


class _Turn:
    """A filter's work. Copies of its context know when it is over: what it began and left behind is no filter."""

    __slots__ = ("lasts",)

    def __init__(self) -> None:
        self.lasts = True

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        self.lasts = False  # by value: a coroutine closed in another context must not raise here


_running: contextvars.ContextVar[_Turn | None] = contextvars.ContextVar("openai_safety_filter", default=None)


def running() -> bool:
    """Whether the current call is made by a filter: hooks let it through untouched and unrecorded."""
    turn = _running.get()
    return turn is not None and turn.lasts


class Filter:
    """Says whether the last turn of a user under a `filter` decision may pass.

    A filter that raises, takes longer than `SECONDS`, or has no text to look at has failed: it passes where
    ``suspensions_on_error`` is ``open`` and does not where it is ``closed``; counted either way.

    Args:
        settings: ``filter`` names a function that takes the text and returns whether it passes, sync or async, and
            is imported when it is first needed. Where none is named, the Moderation API is asked through the client
            that makes the call, and what is not flagged passes.
        dropped: counts (signal, reason) of failures.
    """

    def __init__(self, settings: Settings, *, dropped: CountDrop) -> None:
        self._place = settings.filter
        self._model = settings.moderation_model
        self._open = settings.suspensions_on_error == "open"
        self._dropped = dropped
        self._function: Callable[[str], Any] | None = None
        self._free = threading.BoundedSemaphore(MAX_RUNNING)
        self._logged: set[str] = set()

    def passes(self, client: Any, texts: tuple[str, ...]) -> bool:
        """Ask in a thread of its own, so that a filter that hangs holds the call for `SECONDS` at most."""
        future = self._begin(client, texts)
        if future is None:
            return self._open
        wait((future,), SECONDS)
        return self._judged(future)

    async def passes_async(self, client: Any, texts: tuple[str, ...]) -> bool:
        """The same for an async client; the event loop goes on meanwhile, whichever library runs it."""
        import anyio  # noqa: PLC0415 - there wherever an async client is

        if (work := self._async_work(client, texts)) is not None:
            turn = _Turn()
            _running.set(turn)
            try:
                with turn, anyio.fail_after(SECONDS):
                    return bool(await work)
            except Exception as error:  # noqa: BLE001 - a filter may raise anything
                return self._failed("timeout" if isinstance(error, TimeoutError) else "failed", error)
        future = self._begin(client, texts)
        deadline = time.monotonic() + SECONDS
        while future is not None and not future.done() and time.monotonic() < deadline:  # noqa: ASYNC110 - a thread sets it
            await anyio.sleep(_TURN_SECONDS)
        if future is None:
            return self._open
        return self._judged(future)

    def _judged(self, future: Future[bool]) -> bool:
        if not future.done():
            return self._failed("timeout")
        error = future.exception()
        return self._failed("failed", error) if error else future.result()

    def _async_work(self, client: Any, texts: tuple[str, ...]) -> Any:
        """An awaitable where the filter itself is async; None where it must run in a thread."""
        text = "\n".join(texts)
        if not text.strip():
            return None
        try:
            if self._place is None:
                return self._ask_async(client, text)
            function = self._load()
        except Exception:  # noqa: BLE001 - the thread will find and count it again
            return None
        return function(text) if inspect.iscoroutinefunction(function) else None

    def _begin(self, client: Any, texts: tuple[str, ...]) -> Future[bool] | None:
        """Start the filter in a thread with the caller's context; None where it cannot be asked."""
        text = "\n".join(texts)
        if not text.strip():
            self._failed("no_text")
            return None
        if not self._free.acquire(blocking=False):
            self._failed("busy")
            return None
        future: Future[bool] = Future()
        context, turn = contextvars.copy_context(), _Turn()
        context.run(_running.set, turn)

        def work() -> None:
            try:
                with turn:
                    passes = bool(context.run(self._ask, client, text))
                future.set_result(passes)
            except BaseException as error:  # noqa: BLE001 - handed to the waiting call
                future.set_exception(error)
            finally:
                self._free.release()

        threading.Thread(target=work, name="openai-safety-filter", daemon=True).start()
        return future

    def _ask(self, client: Any, text: str) -> bool:
        if self._place is None:
            return _unflagged(_bounded(client).moderations.create(model=self._model, input=text))
        answer = self._load()(text)
        return bool(asyncio.run(answer) if inspect.iscoroutine(answer) else answer)

    async def _ask_async(self, client: Any, text: str) -> bool:
        return _unflagged(await _bounded(client).moderations.create(model=self._model, input=text))

    def _load(self) -> Callable[[str], Any]:
        if self._function is None:
            self._function = function_at(str(self._place))
        return self._function

    def _failed(self, reason: str, error: BaseException | None = None) -> bool:
        self._dropped("filter", reason)
        if reason not in self._logged:
            self._logged.add(reason)
            what = f" ({type(error).__name__})" if error else ""
            verb = "pass" if self._open else "are refused"
            _log.warning("filter %s%s: such calls %s", reason, what, verb)
        return self._open


def _bounded(client: Any) -> Any:
    """The app's own client (its key, its address, its transport), asked once and not for long."""
    return client.with_options(timeout=SECONDS, max_retries=0)


def _unflagged(answer: Any) -> bool:
    return not any(result.flagged for result in answer.results)
