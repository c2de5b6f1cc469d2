"""The receiver: a plain ASGI app. A genuine notice is on the disk before its 2xx; all else comes after.

Any path takes a POST, so that it can be mounted anywhere; ``GET …/healthz`` says whether the journal answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import datetime, timezone
from typing import Any

from openai_safety_otel.contract.asgi import Receive, Scope, Send
from openai_safety_otel.contract.vocabulary import WebhookResult
from openai_safety_otel.ledger.journal import Journal, JournalError, Notice
from openai_safety_otel.operations.webhooks import notice as notices
from openai_safety_otel.operations.webhooks import steps
from openai_safety_otel.operations.webhooks.events import about, about_notice
from openai_safety_otel.operations.webhooks.follow_up import FollowUp, FollowUpTools, RetryPolicy, prepared
from openai_safety_otel.operations.webhooks.measures import Measures
from openai_safety_otel.operations.webhooks.verify import RejectedError, Verifier, envelope

MAX_BODY_BYTES = 64 * 1024  # a notice is a few hundred bytes
BODY_SECONDS = 10.0
FINISH_SECONDS = 5.0
LAST_DRILL = "last_drill"
_STATUS: dict[WebhookResult, int] = {
    "accepted": 200,
    "duplicate": 200,
    "ignored": 200,
    "bad_signature": 400,
    "bad_request": 400,
    "too_large": 400,
    "failed": 503,  # not stored: the provider sends it again
}
_log = logging.getLogger(__name__)


class Receiver:
    """The ASGI app.

    Under its own server it starts and stops with the lifespan. Mounted in another app, whose lifespan does
    not reach it, it starts with the first request; ``async with receiver:`` in the host's lifespan makes it
    resume at once what an earlier process left.
    """

    def __init__(
        self,
        journal: Journal,
        verifier: Verifier,
        tools: FollowUpTools,
        *,
        measures: Measures | None = None,
        retries: RetryPolicy | None = None,
        body_seconds: float = BODY_SECONDS,
        finish_seconds: float = FINISH_SECONDS,
    ) -> None:
        self._journal = journal
        self._verifier = verifier
        self._tools = tools
        self._retries = retries or RetryPolicy()
        self._measures = measures or Measures(journal)
        self._body_seconds = body_seconds
        self._finish_seconds = finish_seconds
        self._follow_up: FollowUp | None = None
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Receiver:
        self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            self._start()
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    def _start(self) -> FollowUp:
        # A worker that died (its event loop was closed, a mistake of ours) is replaced.
        if self._follow_up is None or self._worker is None or self._worker.done():
            self._follow_up = FollowUp(self._journal, self._tools, self._measures, self._retries)
            self._worker = asyncio.create_task(self._follow_up.run(), name="openai-safety follow-up")
        return self._follow_up

    async def _stop(self) -> None:
        if self._worker is not None and self._follow_up is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            await self._follow_up.finish(self._finish_seconds)
        self._worker = None
        if self._tools.cases is not None:
            await self._tools.cases.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.startup":
                self._start()
                await send({"type": "lifespan.startup.complete"})
            elif kind == "lifespan.shutdown":
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in {"GET", "HEAD"} and scope["path"].endswith("/healthz"):
            await self._health(send)
            return
        try:
            result, notice = await self._take(scope, receive)
        except RejectedError as rejection:
            await self._answer(send, rejection.result, detail=str(rejection))
        except JournalError as error:
            _log.warning("a webhook was not stored and is left to the provider's retry: %s", error)
            await self._answer(send, "failed", detail="not stored")
        else:
            await self._answer(send, result, **({"notice": notice.id} if notice else {}))

    async def _answer(self, send: Send, result: WebhookResult, **more: str) -> None:
        self._measures.delivery(result)
        await _respond(send, _STATUS[result], {"status": result, **more})

    async def _take(self, scope: Scope, receive: Receive) -> tuple[WebhookResult, Notice | None]:
        if scope["method"] != "POST":
            raise RejectedError("bad_request", "expected POST")
        _check_headers(scope["headers"])
        body = await self._body(receive)
        delivery = self._verifier.check(body, scope["headers"])
        content = envelope(body)
        if notices.is_ignored(content["type"]):
            known = await asyncio.to_thread(self._journal.seen, delivery)
            return ("duplicate" if known else "ignored"), None
        now = int(time.time())
        notice = notices.from_webhook(content, delivery, now, self._tools.show)
        return await self._store(prepared(notice, self._tools, self._retries, now), delivery)

    async def _store(self, notice: Notice, delivery: str) -> tuple[WebhookResult, Notice]:
        new, work = await asyncio.to_thread(self._add, notice, delivery)
        if work:
            self._start().wake()
        return ("accepted" if new else "duplicate"), notice

    def _add(self, notice: Notice, delivery: str) -> tuple[bool, bool]:
        """Whether the notice is new, and whether there is now something to do."""
        if not self._journal.add_notice(notice, delivery=delivery):
            return False, self._confirm(notice)
        if notice.traffic == "drill":
            day = datetime.fromtimestamp(notice.recorded_at, timezone.utc).isoformat()
            self._journal.set_fact(LAST_DRILL, day)
            self._close_earlier_drills(notice)
        return True, True

    def _close_earlier_drills(self, drill: Notice) -> None:
        """As `notice close` does it: on record, and told, as their alerts would go on."""
        by, why, at = "drill", "a later drill", drill.received_at
        for earlier in self._journal.notices(open_only=True):
            if earlier.traffic == "drill" and earlier.key != drill.key:
                closed = self._journal.close_notice(earlier.key, by=by, why=why, at=at)
                if closed is not None:
                    made = about_notice("close", closed, by, why)
                    self._tools.sink.emit(about(made, self._journal.append_decision(made), closed))

    def _confirm(self, notice: Notice) -> bool:
        """A webhook that confirms what was entered by hand: its case is now read, whom it names counts."""
        confirmed = False

        def changes(stored: Notice) -> dict[str, Any]:
            nonlocal confirmed
            found = steps.confirmed(stored, notice)
            confirmed = bool(found)
            return found

        self._journal.revise_notice(notice.key, changes)
        return confirmed

    async def _body(self, receive: Receive) -> bytes:
        try:
            return await asyncio.wait_for(_read(receive), self._body_seconds)
        except asyncio.TimeoutError:
            raise RejectedError("bad_request", "the body did not arrive in time") from None

    async def _health(self, send: Send) -> None:
        try:
            last = await asyncio.to_thread(self._journal.fact, LAST_DRILL)
        except JournalError:
            await _respond(send, 503, {"status": "journal not available"})
            return
        await _respond(send, 200, {"status": "ok", "last_drill": last})


def _check_headers(headers: list[tuple[bytes, bytes]]) -> None:
    found = {name.lower(): value for name, value in headers}
    kind = found.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise RejectedError("bad_request", "expected content-type application/json")
    length = found.get(b"content-length", b"0")
    if not length.isdigit():
        raise RejectedError("bad_request", "malformed content-length")
    if len(length) > 10 or int(length) > MAX_BODY_BYTES:  # noqa: PLR2004 - more digits than any sane size
        raise RejectedError("too_large", "the body is too large")


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RejectedError("bad_request", "the body is cut off")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise RejectedError("too_large", "the body is too large")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _respond(send: Send, status: int, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
