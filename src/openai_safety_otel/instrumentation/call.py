"""One observed call: opened at the hook, ended exactly once, wherever its end is seen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from openai_safety_otel.contract.conventions import TIME_TO_FIRST_CHUNK
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.record import CallRecord, End
from openai_safety_otel.contract.words import safe_code
from openai_safety_otel.instrumentation.endings import endings
from openai_safety_otel.instrumentation.evidence import Collector
from openai_safety_otel.instrumentation.extract.encoding import Decoder, decoder
from openai_safety_otel.instrumentation.extract.endpoints import Endpoint
from openai_safety_otel.instrumentation.extract.error import attempt_of, read_error
from openai_safety_otel.instrumentation.extract.plain import IsPlain, plain_test
from openai_safety_otel.instrumentation.extract.response import read_head, read_response
from openai_safety_otel.instrumentation.extract.sse import BodyReader
from openai_safety_otel.instrumentation.extract.stream import Seen, fold
from openai_safety_otel.instrumentation.extract.terminal import closes_with_a_line
from openai_safety_otel.instrumentation.gate import Gate
from openai_safety_otel.instrumentation.outcome import classify
from openai_safety_otel.instrumentation.passing import Running, current, last_response
from openai_safety_otel.instrumentation.signals.span import CallSpan
from openai_safety_otel.instrumentation.streams import tap, tell_of_reading

_RAW_HEADER = "x-stainless-raw-response"


class Call:
    """Holds a record from the opening of its call until it has ended, which is told once.

    Args:
        record: the facts, filled as they become known.
        endpoint: the operation.
        ended: is told of the end.
    """

    client: Any = None
    span: CallSpan | None = None
    gate: Gate | None = None
    evidence: Collector | None = None
    overtaken = False  # it came past the outer hook, so that it ends where its answer is parsed
    owned = True  # False: nobody knows whose the answer is that it looks at
    reading = False
    claimed = False
    listening = True
    _body: BodyReader | None = None
    _answer: Any = None
    _is_plain: IsPlain | None = None
    _decode: Decoder | None = None
    _tapped = False
    _dropped = False
    _previous: Running | None = None
    _refusal: object = None

    def __init__(self, record: CallRecord, endpoint: Endpoint, ended: Callable[[Call], None]) -> None:
        self.record = record
        self.endpoint = endpoint
        self.ended = ended
        self._open = [True]
        record.started_ns = time.time_ns()
        self._clock = self._last = time.perf_counter_ns()  # durations: it never goes backwards

    def backdate(self, response: Any) -> None:
        """The request left as long ago as its answer, where that was read whole, took to come."""
        with contextlib.suppress(RuntimeError):  # still being read: nobody has measured it
            took = int(response.elapsed.total_seconds() * 1e9)
            self.record.started_ns -= took
            self._clock -= took

    def late(self, seconds: float) -> None:
        """What is told now happened so long ago."""
        self._clock += int(max(0.0, seconds) * 1e9)

    # -- around the call ----------------------------------------------------------------------------------

    def __enter__(self) -> Call:
        self._previous = current.get()
        current.set(self)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # By value: a coroutine closed in another context must not raise here.
        if current.get() is self:
            current.set(self._previous)
        self._previous = self.client = None
        try:
            if self.span is not None:
                self.span.leave()
        except Exception as failure:  # noqa: BLE001 - the app's call goes on whatever we do wrong
            own_errors.failed("span", failure)
        if error is not None:
            self.failed(error)

    def arrived(self, response: Any, options: Any, *, stream: bool, retries: int) -> None:
        """Headers are here. What nobody will parse for us is tapped; nothing is read for the caller."""
        try:
            record = self.record
            read_head(record, response)
            record.retries = retries
            if self.span is not None:
                self.span.look()
            # The header can only come from the call's own headers or the client's; looking it up costs more.
            given = options.headers or getattr(self.client, "_custom_headers", True)
            raw = response.request.headers.get(_RAW_HEADER) if given else None
            if stream or raw is not None:
                self._tap(response, raw, stream=stream)
            if not self._tapped or response.is_closed:
                self._answer = response
        except Exception as error:  # noqa: BLE001 - as above
            own_errors.failed("response", error)

    def _tap(self, response: Any, raw: str | None, *, stream: bool) -> None:
        """An answer that the SDK does not parse at once, and perhaps never."""
        in_memory = response.is_closed  # read by its transport: no bytes will pass by
        lazy = raw == "stream" or (stream and not (in_memory and raw is not None))
        self._tapped = lazy and tap(response, self)
        if raw == "stream" and in_memory and self._tapped:
            tell_of_reading(response, self)
        if not self._tapped and raw is None:
            return
        self._body = BodyReader(response.headers)
        self._decode = decoder(response.headers.get("content-encoding"))
        if stream and self._body.named_events:
            self.record.terminal_seen = False
        if self._tapped:
            endings.start()

    def parsed(self, result: Any) -> Any:
        """The SDK parsed the response: read a plain result while another's span may still be open."""
        if not self._tapped:
            try:
                if self._body is not None:
                    self._read_answer()
                else:
                    self._answer = None
                    read_response(self.record, result)
                    if self.evidence is not None:
                        self.evidence.result(result)
                self._settle()
            except Exception as error:  # noqa: BLE001 - as above
                own_errors.failed("response", error)
        return self.returned(result) if self.overtaken else result

    def misread(self, error: BaseException) -> None:
        """The SDK's own parsing raised over an answer that has arrived (a content filter's finish)."""
        if isinstance(error, Exception):  # not: cancelled meanwhile
            with own_errors("response"):
                self._read_answer()
                read_error(self.record, error)
                self._settle()
        if self.overtaken:
            self.failed(error)

    def refused(self, response: Any, error: Any) -> None:
        """An error status is here; the last moment at which another instrumentation's span is current."""
        with own_errors("error"):
            read_head(self.record, response)
            read_error(self.record, error)
            self._refusal = error
            if self.span is not None:
                self.span.look()
            self._settle(raised=True)
        if self.overtaken:
            self.failed(error)

    def _settle(self, *, raised: bool = False) -> None:
        """Write what is known to another instrumentation's span: it may end right after this."""
        if self.span is not None and self.span.span is not None and not self.span.owned:
            self.record.end = "raised" if raised else "returned"
            self.span.settle(classify(self.record))

    def returned(self, result: Any) -> Any:
        """The call returned: a streamed one stays open."""
        if not self._tapped:
            self.finish("returned")
        return result

    def _read_answer(self) -> None:
        """Read a whole body that is in memory and that nobody parsed for us."""
        answer, self._answer = self._answer, None
        if answer is not None and answer.is_closed:
            body = self._body = self._body or BodyReader(answer.headers)
            self._mark(body.feed(self.record, answer.content), self._last)
            self._end_body(body)

    # -- what a stream tells -------------------------------------------------------------------------------

    def chunk(self, chunk: object) -> None:
        """One parsed chunk: a few comparisons for a plain delta."""
        try:
            self._last = now = time.perf_counter_ns()
            record = self.record
            record.chunks += 1
            if self._is_plain is None or not self._is_plain(chunk):
                seen = fold(record, chunk)
                if seen or record.chunks == 1 or record.complete:
                    self._mark(seen, now)
                self._is_plain = plain_test(record)
            if self.evidence is not None:
                self.evidence.chunk(chunk)
        except Exception as error:  # noqa: BLE001 - as above
            self.record.terminal_seen = None
            own_errors.failed("chunk", error)

    def claim(self) -> None:
        """A stream of the SDK's reads the response: what it yields is folded, not the bytes."""
        self.claimed = True
        if self._body is not None:
            self._body.leave_events(look_for_done=closes_with_a_line(self.record))

    def data(self, data: bytes) -> None:
        """Bytes of the response: of one that nobody parses for the caller all, else until it is known what it is."""
        try:
            body = self._body
            if body is None:
                return
            seen = body.feed(self.record, data if self._decode is None else self._decode(data))
            if self.claimed:
                self.listening = body.listening
                return
            self._last = now = time.perf_counter_ns()
            self.record.chunks += 1
            self._mark(seen, now)
        except Exception as error:  # noqa: BLE001 - as above
            own_errors.failed("body", error)

    def _mark(self, seen: Seen, now: int) -> None:
        record = self.record
        elapsed = (now - self._clock) / 1e9
        if record.time_to_first_chunk is None and record.chunks:
            record.time_to_first_chunk = record.standard[TIME_TO_FIRST_CHUNK] = elapsed
        if seen & Seen.OUTPUT:
            record.output_begun = True
            if record.time_to_first_output is None:
                record.time_to_first_output = elapsed
        if seen & Seen.TERMINAL:
            record.complete = True
            if record.terminal_seen is False:
                record.terminal_seen = True
        if record.complete:
            self._settle()

    def drained(self) -> None:
        """The end of the stream was reached."""
        self._finish_body()
        self.finish("returned")

    def closed(self) -> None:
        """Closed before its end was read; a terminal chunk already seen counts."""
        if not self._dropped:
            self.end_now()

    def dropped(self) -> None:
        """Collected, perhaps: nothing may be emitted from inside the garbage collector."""
        if self._open and not self._dropped:
            self._dropped = True
            endings.later(self.end_now)

    def end_now(self) -> None:
        """End as it stands: the process, or the observation, ends."""
        self.finish("returned" if self.record.complete else "abandoned")

    def failed(self, error: BaseException) -> None:
        """The call or the reading of its stream raised."""
        if not self._open:
            return
        with own_errors("error"):
            if isinstance(error, GeneratorExit):
                self.closed()
            elif not isinstance(error, Exception):
                # What is no Exception ends work from outside: asyncio, trio, gevent, Ctrl-C, an exiting process.
                self.finish("cancelled")
            else:
                self._read_error(error)
                self.record.retries = attempt_of(error) or self.record.retries
                self._last = time.perf_counter_ns()
                self.finish("raised")

    def _read_error(self, error: Exception) -> None:
        """A refusal that never arrived here is that of a call made inside this one: only its name is ours."""
        ours = self._refusal is error or not hasattr(error, "response") or self.record.local_block is not None
        if ours:
            read_error(self.record, error)
        else:
            self.record.raised = safe_code(type(error).__name__)

    def _finish_body(self) -> None:
        with own_errors("body"):
            if self._answer is not None:
                self._read_answer()
            elif self._body is not None:
                self._end_body(self._body)

    def _end_body(self, body: BodyReader) -> None:
        record = self.record
        seen = body.finish(record)
        unread = self._decode is not None and self._decode.blind and not record.complete
        if body.is_json or (unread and (not self.claimed or closes_with_a_line(record))):
            record.terminal_seen = None  # no stream at all, or one whose last bytes cannot be read
        self._mark(seen, self._last)

    def disown(self) -> None:
        """In a forked child: the parent tells of this call."""
        self._open.clear()

    # -- the end -------------------------------------------------------------------------------------------

    def finish(self, end: End) -> None:
        """End the record once; later ends are of no interest. Taking the token is atomic."""
        try:
            self._open.pop()
        except IndexError:
            return
        record = self.record
        record.end = end
        if not record.chunks:
            self._last = time.perf_counter_ns()
        record.ended_ns = record.started_ns + max(0, self._last - self._clock)
        if record.response_id is not None:
            last_response.set(record.response_id)
        self.ended(self)
        # The context of a connection that lives on may hold this call, but not what was answered.
        self.listening = False
        self.gate = self.evidence = self._answer = self._body = self._refusal = None
