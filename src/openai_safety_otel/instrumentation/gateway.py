"""Calls that a gateway makes with an HTTP client of its own: recorded by what the gateway tells of them.

They begin at the same door as the SDK's (`Observer.observe`), and their facts are read by the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.contract.words import safe_code
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.extract.error import add_error, facts_of, read_error
from openai_safety_otel.instrumentation.extract.response import read_head
from openai_safety_otel.instrumentation.gate import Gate
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.passing import announce
from openai_safety_otel.instrumentation.sockets.apis import SOCKET_APIS
from openai_safety_otel.instrumentation.sockets.frame import Frame
from openai_safety_otel.instrumentation.sockets.opening import session_of
from openai_safety_otel.instrumentation.sockets.session import Session

_MAX_CHAIN = 8


def begin(observer: Observer, client: Any, url: str, headers: Any, body: Any) -> tuple[Call | None, Any]:
    """The call of this request, if it is one that is recorded; and the request with what our settings add.

    ``client`` has a ``base_url`` and an ``api_key``; headers and body are left as they are.
    """
    announce(url)
    options = SimpleNamespace(method="POST", url=url, headers=headers, json_data=body)
    streaming = isinstance(body, dict) and bool(body.get("stream"))
    return observer.observe(client, options, streaming=streaming, peer_inside=True)


def connect(observer: Observer, client: Any, url: str, headers: Any, model: Any) -> tuple[Session, Any]:
    """A Realtime session that the gateway opens, and its handshake with what our settings add."""
    return session_of(observer, SOCKET_APIS[0], client, Frame(url, headers=headers), model)


def refuse_socket(observer: Observer, client: Any, url: str, model: Any) -> None:
    """Refuse a suspended end user a Realtime session; what is not refused leaves no record here.

    Raises:
        EndUserSuspended: nothing must leave the process.
    """
    if observer.guard is None:
        return
    session, _ = connect(observer, client, url, {}, model)
    call = session.begin()
    if call.gate is not None:
        with call:
            call.gate.refuse()
    observer.forget(call)


def said(session: Session, events: Iterable[Any]) -> None:
    """What the provider said in a session that has ended: a record for each response, or one of the session."""
    session.connected()
    for event in events:
        session.arrived("")
        session.parsed(event)
    session.closed()


@contextmanager
def opened(observer: Observer, client: Any, url: str, body: Any) -> Iterator[Gate | None]:
    """What stands in the way of a call, before it leaves; None where it is free to go.

    What is refused inside leaves its record; any other call leaves none here: whoever makes it tells of it.
    """
    call, _ = begin(observer, client, url, {}, body) if observer.guard is not None else (None, None)
    if call is None or call.gate is None:
        yield None
    else:
        with call:
            yield call.gate
    if call is not None:
        observer.forget(call)


def stopped(observer: Observer, client: Any, url: str, body: Any, *, by: str, answered: bool) -> None:
    """Record that a rule of the gateway's own stopped a request, or (``answered``) the answer of one.

    The answer's own call is told by whoever made it: this record is no second one of it in the coverage.
    """
    call, _ = begin(observer, client, url, {}, body)
    if call is not None:
        record = call.record
        record.local_block, record.local_name = "filtered_locally", safe_code(by)
        record.local_source = "output" if answered else "input"
        record.inference = not answered
        record.delivery = "not_sent"
        call.finish("raised")


def answered(call: Call, answer: Any, headers: Any) -> None:
    """The answer is here, whole or as the last word of a stream."""
    with own_errors("response"):
        read_head(call.record, SimpleNamespace(status_code=200, headers=headers))
        call.parsed(answer)
    call.finish("returned")


def failed(call: Call, error: BaseException) -> None:
    """The gateway tells of an error, its own around the provider's."""
    with own_errors("error"):
        _read_chain(call.record, error)
        call.record.raised = safe_code(type(error).__name__)
    call.finish("raised")


def _read_chain(record: CallRecord, error: BaseException) -> None:
    """What the provider said: in the response under the gateway's error, in its body, or in its text."""
    links = list(_chain(error))
    for link in links:
        response: Any = getattr(link, "response", None)
        if getattr(response, "content", None):
            read_head(record, response)
            add_error(record.errors, facts_of(_body_of(response), status=response.status_code))
            return
    said = next((link for link in links if isinstance(getattr(link, "body", None), dict)), error)
    read_error(record, said)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_MAX_CHAIN):
        if error is None:
            return
        yield error
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__


def _body_of(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text
