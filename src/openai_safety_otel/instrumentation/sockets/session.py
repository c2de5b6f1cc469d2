"""One observed connection: what the server says, which response it belongs to, and how each one ended."""

from __future__ import annotations

import json
import threading
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.record import CallRecord, End, Identity
from openai_safety_otel.contract.words import safe_model
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.extract.endpoints import Endpoint
from openai_safety_otel.instrumentation.extract.error import add_error, facts_of
from openai_safety_otel.instrumentation.extract.response import read_headers
from openai_safety_otel.instrumentation.extract.shape import dig, get, text
from openai_safety_otel.instrumentation.extract.stream import PLAIN_DELTAS
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.outcome import classify
from openai_safety_otel.instrumentation.sockets.apis import SocketApi
from openai_safety_otel.instrumentation.sockets.frame import Frame, peek
from openai_safety_otel.instrumentation.sockets.pending import OpenAnswer, Pending
from openai_safety_otel.instrumentation.sockets.records import SessionCall, broken, fresh, name_model
from openai_safety_otel.who.identifier import owner

_TRANSCRIPTION_FAILED = "conversation.item.input_audio_transcription.failed"
_BORN = frozenset({"session.created", "session.started"})
_SESSION_EVENTS = _BORN | {"session.updated", "session.closed"}
_MAX_BODY = 65_536
# Errors that are about another event than `response.create`, which they name only where the app gave it an id.
_PARAMS_OF_OTHERS = ("session.", "item.")
_CODES_OF_OTHERS = (
    "response_cancel_",
    "input_audio_buffer_",
    "output_audio_buffer_",
    "item_create_",
    "item_delete_",
    "item_retrieve_",
    "item_truncate_",
)


class Session:
    """What is known of one connection. Holds no reference to it, so that both can be collected.

    Args:
        observer: opens and ends calls.
        api: which ``connect`` made it.
        client: the SDK client.
        endpoint: the session's own operation, with the identifier's place in the handshake.
        record: the session's facts: whose it is, where it goes, which model.
        frame: the handshake as the app wrote it.
    """

    def __init__(
        self,
        observer: Observer,
        api: SocketApi,
        client: Any,
        endpoint: Endpoint,
        record: CallRecord,
        frame: Frame,
    ) -> None:
        self.observer = observer
        self.api = api
        self.client = client
        self.endpoint = endpoint
        self.record = record
        self.frame = frame
        # Made by others: its identifier was given then.
        self.attached = endpoint.place is None and api.start is None and api.create is None
        self.pending = Pending(by_stream=api.by_stream, unasked=self._unasked)
        self.call: Call | None = None
        self.entered = False
        self.closing = False
        self.speech_refused = False
        # Requests of several threads reach the wire in the order in which their answers are awaited.
        self.order = threading.RLock()
        self._cancelled = False
        self._dropped = False
        self._raw: bytes | str | None = None
        self._last_error: object = None

    # -- the session itself ---------------------------------------------------------------------------------

    def begin(self, *, free: bool = False) -> Call:
        """A call of the session's own, until a response speaks for it."""
        self.record = fresh(self.record)
        self.call = self.observer.begin(self.record, self.endpoint, self.client, free=free, kind=SessionCall)
        return self.call

    def again(self) -> Session:
        """The same once more: a manager may be entered twice."""
        return Session(self.observer, self.api, self.client, self.endpoint, self.record, self.frame)

    def connected(self, headers: Any = None) -> None:
        """The handshake succeeded, with these headers of the answer where the library shows them."""
        self.entered = True
        if headers is not None:
            read_headers(self.record, headers)
        self.observer.signals.metrics.session(self.api.api)
        if self.pending.busy:  # asked for before the connection was there
            self._spoken_for()

    def refused(self, error: BaseException) -> None:
        """The handshake failed, or a local decision forbade it; what was asked for before failed with it."""
        with own_errors("handshake"):
            calls = self.pending.clear()
            if calls:
                self._spoken_for()
            if (own := self._own_call()) is not None:
                calls.append(own)
            for call in calls:
                read_rejection(call.record, error)
                call.failed(error)

    def unused(self) -> None:
        """The manager is gone, and was never entered."""
        if not self.entered:
            self.collected()

    def asked(self, answer: OpenAnswer) -> None:
        """A response is asked for: its request leaves now."""
        self._spoken_for()
        self.pending.sent(answer)

    def _spoken_for(self) -> None:
        """From now on the records of its responses tell of this session, unless it speaks by itself."""
        call = self.call
        if call is None or self.api.continuous:
            return
        self.call = None
        if call.record.errors:
            call.finish("returned")  # a block before the first response is not to be lost
        else:
            self.observer.forget(call)

    def _unasked(self, previous: CallRecord | None) -> Call:
        """The server began a response by itself: to the session's user's speech, or a steered one's successor."""
        self._spoken_for()
        record = fresh(previous if previous is not None and self.api.by_stream else self.record)
        return self.observer.begin(record, self.api.at(None), self.client, free=True)

    # -- what the server says -------------------------------------------------------------------------------

    def reading(self) -> None:
        """The app reads on: a frame that it did not have parsed by the SDK is looked at here."""
        raw, self._raw = self._raw, None
        if raw is None:
            return
        with own_errors("frame"):
            # Deltas of responses that have begun say nothing new: they are large, and not parsed.
            if peek(raw) in PLAIN_DELTAS and all(call.record.output_begun for call in self.pending.begun):
                return
            try:
                event = json.loads(raw)
            except ValueError:  # what is no JSON tells nothing
                return
            self._received(event)

    def arrived(self, raw: bytes | str) -> None:
        """A frame was received."""
        self._cancelled = False
        self._raw = raw

    def parsed(self, event: object) -> None:
        """The SDK parsed the frame that was received last; parsing it again tells nothing new."""
        if self._raw is None:
            return
        self._raw = None
        try:
            self._received(event)
        except Exception as error:  # the guard, without a context manager for every frame
            if own_errors.strict:
                raise
            own_errors.failed("frame", error)

    def _received(self, event: object) -> None:
        if not self.observer.active:
            return
        kind, stream_id = text(event, "type"), None
        if kind == "response.event":  # Live: an event of the backend that it delegates to
            stream_id = text(event, "delegation_id")
            event = get(event, "event")
            kind = text(event, "type")
        if kind == "error":
            self._error(event, stream_id)
            return
        self._last_error = None
        if kind == _TRANSCRIPTION_FAILED:
            self._alone(event, "input_audio_transcription")
        elif kind in _SESSION_EVENTS and stream_id is None:
            self._of_session(kind, event)
        elif (answer := self.pending.route(kind, event, stream_id)) is not None:
            self._of_response(answer, event)
        elif self.call is not None and kind in PLAIN_DELTAS:
            self.call.chunk(event)

    def _of_response(self, answer: OpenAnswer, event: object) -> None:
        call = answer.call
        call.chunk(event)
        if call.record.complete:
            self.pending.done(answer)
            call.drained()

    def _of_session(self, kind: str, event: object) -> None:
        if kind in _BORN and self._dropped:
            self._renewed()
        session = get(event, "session")
        name_model(self.record, safe_model(get(session, "model")))
        echo = get(session, "safety_identifier")
        nobody = self.record.identity.value is None
        if isinstance(echo, str) and echo and (nobody or self.attached):
            self.record.identity = owner(echo, self.record.identity, self.observer.hasher)
        if self.call is not None:
            self.call.chunk(event)
            if self.call.record.complete:
                self._end("returned")

    def _renewed(self) -> None:
        """Connected again after a drop: the provider has a new session."""
        self._dropped = False
        self.record.provider_request_id = None  # the SDK's new handshake is not seen
        self.begin(free=True)
        self.observer.signals.metrics.session(self.api.api)

    def _error(self, event: object, stream_id: str | None) -> None:
        answer = self._blamed(event, stream_id)
        if answer is not None:
            self._of_response(answer, event)
            return
        # Not about a response: it counts where it is a block, or the last thing said before the end.
        trial = fresh(self.record)
        add_error(trial.errors, facts_of(get(event, "error") or event))
        if classify(trial).name != "blocked":
            self._last_error = event
        elif self.call is not None:
            add_error(self.call.record.errors, trial.errors[0])
        else:
            self._alone(event, "session")

    def _blamed(self, event: object, stream_id: str | None) -> OpenAnswer | None:
        error = get(event, "error")
        if text(error, "param").startswith(_PARAMS_OF_OTHERS) or text(error, "code").startswith(
            _CODES_OF_OTHERS
        ):
            return None
        named = text(error, "event_id") or text(error, "client_event_id")
        return self.pending.failed(self.pending.stream_of(event) if stream_id is None else stream_id, named)

    def _alone(self, event: object, what: str) -> None:
        """A record for one event alone."""
        record = fresh(self.record, endpoint=f"{self.api.name}.{what}")
        if (
            self.api.create is not None
        ):  # each request has its own person: whoever connected need not be this one's
            record.identity = Identity()
        call = self.observer.begin(record, self.api.at(None), self.client, free=True, kind=SessionCall)
        call.chunk(event)
        call.drained()

    # -- the end --------------------------------------------------------------------------------------------

    def unread(self, error: BaseException) -> None:
        """Reading raised. A cancelled reader may read on; a closed connection has ended."""
        with own_errors("socket"):
            if not isinstance(error, (Exception, GeneratorExit)):
                self._cancelled = True
            elif is_closed(error) and not self.closing:
                self._lost(error)

    def _lost(self, error: BaseException) -> None:
        """The connection ended under the reader; the SDK may connect again."""
        self._dropped = True
        calls = self.pending.clear()
        alone = len({call.record.identity.value for call in calls}) <= 1
        for call in calls:
            broken(call, error, alone=alone)
        if type(error).__name__ == "ConnectionClosedOK":
            self._end("returned")
        elif (own := self._own_call()) is not None:
            broken(own, error)

    def closed(self) -> None:
        """The app closed the connection: ended by it, or by the cancelling of its reader."""
        with own_errors("socket"):
            self.reading()
            for call in self.pending.clear():
                call.finish("cancelled" if self._cancelled else "abandoned")
            self._end("cancelled" if self._cancelled else "returned")

    def collected(self) -> None:
        """Nobody holds the connection any more, and nobody closed it."""
        with own_errors("socket"):
            for call in self.pending.clear():
                call.finish("cancelled" if self._cancelled else "abandoned")
            self._end("cancelled" if self._cancelled else "abandoned")

    def _end(self, end: End) -> None:
        if (call := self._own_call()) is not None:
            call.finish(end)

    def _own_call(self) -> Call | None:
        """The session's own call, to be ended now, with the error that nothing followed."""
        call, self.call = self.call, None
        event, self._last_error = self._last_error, None
        if call is not None and event is not None:
            add_error(call.record.errors, facts_of(get(event, "error") or event))
        return call


def is_closed(error: BaseException) -> bool:
    """Whether an exception of the WebSocket library says that the connection has ended."""
    return any(cls.__name__ == "ConnectionClosed" for cls in type(error).__mro__)


def read_rejection(record: CallRecord, error: BaseException) -> None:
    """The error in the body of a handshake that was answered with an HTTP status."""
    body, status = dig(error, "response", "body"), dig(error, "response", "status_code")
    if status is None:
        return
    record.standard[c.HTTP_STATUS] = status
    read_headers(record, dig(error, "response", "headers") or {})
    try:
        found = json.loads(bytes(body or b"")[:_MAX_BODY])
    except ValueError:
        found = {}
    add_error(record.errors, facts_of(found if isinstance(found, dict) else {}, status=status))
