"""One client event on its way out: identifier put in, response awaited, or the end user refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.extract.shape import text
from openai_safety_otel.instrumentation.gate import Gate, gate_for
from openai_safety_otel.instrumentation.sockets.frame import CREATE, SPEECH, START, STEER, Frame, Message
from openai_safety_otel.instrumentation.sockets.pending import OpenAnswer
from openai_safety_otel.instrumentation.sockets.records import fresh, join_session
from openai_safety_otel.instrumentation.sockets.session import Session

if TYPE_CHECKING:
    from openai_safety_otel.instrumentation.guard import Guard


@dataclass(slots=True)
class Sending:
    """A context around the sending of one event: `leave` when it goes, and its failure if it does not.

    Args:
        session: the connection it goes over.
        event: what to send instead of what the app gave.
        gate: what stands between this end user and the network.
        call: the response it asks for, or the session it starts.
        answer: what the response will be awaited as.
    """

    session: Session
    event: Any
    gate: Gate | None
    call: Call | None = None
    answer: OpenAnswer | None = None

    def leave(self) -> None:
        """The event leaves now; its response is awaited after those asked for before."""
        if self.answer is not None:
            self.session.asked(self.answer)

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or self.call is None:
            return
        if self.answer is not None:
            self.session.pending.unsent(self.answer)
            self.call.failed(error)
        elif self.call.record.local_block:
            self.session.refused(error)


class _Steering(Sending):
    """Input for a response that runs: what is refused leaves a record; of what is not, the successor's tells."""

    def leave(self) -> None:
        """It is free to go."""
        if self.call is not None:
            self.session.observer.forget(self.call)
            self.call = None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and self.call is not None:
            self.call.failed(error)


def sending(session: Session, given: Any) -> Sending | None:
    """How to send an event that asks for a response, or starts or feeds a session; None: as it is."""
    message = Message(given)
    if message.kind == CREATE:
        return _create(session, message)
    if message.kind == START:
        return _start(session, message)
    if message.kind == STEER and session.observer.guard is not None:
        return _steer(session, session.observer.guard, message)
    if message.kind in SPEECH and session.observer.guard is not None:
        return _speech(session, session.observer.guard, given)
    return None


def _create(session: Session, message: Message) -> Sending:
    """Who asks is known here, in the context of the sender: several may share one connection."""
    api, observer = session.api, session.observer
    endpoint = api.at(api.create)
    record = CallRecord(api=api.api, endpoint=api.endpoint, operation=api.operation)
    frame = Frame(
        session.frame.url,
        headers=session.frame.headers,
        json_data=message.body,
        sends_defaults=session.frame.sends_defaults,
    )
    sent = observer.prepare(record, endpoint, session.client, frame, message.body)
    if api.create is None:
        join_session(record, session.record)
    elif sent.headers is not frame.headers:
        record.delivery = "not_accepted"  # this host takes it in a header, and the handshake is long over
    call = observer.begin(record, endpoint, session.client, message.body)
    answer = OpenAnswer(call, stream_id=_stream(session, message), event_id=text(message.body, "event_id"))
    return Sending(session, _sent(message, sent), call.gate, call, answer)


def _steer(session: Session, guard: Guard, message: Message) -> Sending | None:
    """Both count: whoever steers, and whose the response is; its successor carries that one's identifier."""
    api, observer = session.api, session.observer
    endpoint = api.at(None)
    record = CallRecord(api=api.api, endpoint=api.endpoint, operation=api.operation)
    frame = Frame(session.frame.url, headers=session.frame.headers, json_data=message.body)
    observer.prepare(record, endpoint, session.client, frame, message.body)
    steered = session.pending.record_of(text(message.body, "previous_response_id"))
    if steered is not None:
        join_session(record, steered)
    if guard.check(record.identity) is None:
        return None
    call = observer.begin(record, endpoint, session.client, message.body)
    if call.gate is None:
        observer.forget(call)
        return None
    return _Steering(session, message.given, call.gate, call)


def _start(session: Session, message: Message) -> Sending:
    """A Live session is told whose it is by its first event; connected again, it is told again."""
    api, observer = session.api, session.observer
    record = fresh(session.record)
    record.problems.clear()
    record.standard.pop(c.REQUEST_MODEL, None)
    frame = Frame(session.frame.url, headers=session.frame.headers, json_data=message.body)
    sent = observer.prepare(record, api.at(api.start), session.client, frame, message.body)
    session.record = record
    if session.call is not None:
        observer.forget(session.call)
    call = session.begin()
    return Sending(session, _sent(message, sent), call.gate, call)


def _speech(session: Session, guard: Guard, given: Any) -> Sending | None:
    """Where the server answers speech by itself, a suspended end user is refused their next words.

    An answer that is being given is finished first; a session that speaks all the time has none. The first
    refusal leaves a record.
    """
    entry = guard.check(session.record.identity)
    if entry is None or not entry.refuses or (session.pending.busy and not session.api.continuous):
        return None
    if session.speech_refused:
        gate, _ = gate_for(
            guard, session.observer.filter, session.api.at(None), fresh(session.record), session.client, {}
        )
        return Sending(session, given, gate)
    call = session.observer.begin(fresh(session.record), session.api.at(None), session.client)
    if call.gate is None:  # taken off the list meanwhile
        session.observer.forget(call)
        return None
    session.speech_refused = True
    return Sending(session, given, call.gate, call, OpenAnswer(call))


def _stream(session: Session, message: Message) -> str:
    return text(message.body, "stream_id") if session.api.by_stream else ""


def _sent(message: Message, sent: Any) -> Any:
    return message.given if sent.json_data is message.body else message.with_body(sent.json_data)
