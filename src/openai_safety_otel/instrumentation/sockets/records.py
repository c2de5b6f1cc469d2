"""Records and calls of one connection: what a new one takes over from the session's, or from the last one."""

from __future__ import annotations

import dataclasses

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import CallRecord, Identity
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.extract.error import add_error, facts_of
from openai_safety_otel.instrumentation.extract.shape import dig
from openai_safety_otel.instrumentation.extract.stream import Seen

_ANSWERS = ("gen_ai.response.", "gen_ai.usage.", "openai.response.")


class SessionCall(Call):
    """A session's own call. Nobody asked it for output at one moment: it has no time to first output."""

    def _mark(self, seen: Seen, now: int) -> None:
        if seen & Seen.OUTPUT:
            self.record.output_begun = True
        if seen & Seen.TERMINAL:
            self.record.complete = True


def fresh(record: CallRecord, *, endpoint: str | None = None) -> CallRecord:
    """A new record with the same person, place and request, and nothing that was answered."""
    return CallRecord(
        api=record.api,
        endpoint=endpoint or record.endpoint,
        operation=record.operation,
        inference=record.inference,
        standard={name: value for name, value in record.standard.items() if not name.startswith(_ANSWERS)},
        identity=record.identity,
        delivery=record.delivery,
        api_key_id=record.api_key_id,
        traffic=record.traffic,
        problems=list(record.problems),
        request_model=record.request_model,
        host=record.host,
        provider_request_id=record.provider_request_id,  # of the handshake
    )


def name_model(record: CallRecord, model: str | None) -> None:
    """The model asked for, where nothing better is known."""
    if model is not None and record.request_model is None:
        record.request_model = model
        record.standard[c.REQUEST_MODEL] = model


def join_session(record: CallRecord, session: CallRecord) -> None:
    """A response of a session whose one identifier counts for all of them.

    Somebody else than the session's end user may ask for it: then the provider sees the session's identifier,
    and the record says whose the request was and that the two differ.
    """
    name_model(record, session.request_model)
    mine, theirs = record.identity, session.identity
    if mine.value is None or mine.value == theirs.value:
        record.identity = theirs
        record.delivery = session.delivery
        record.problems[:] = session.problems
    elif theirs.value is not None:
        record.identity = _beside(mine, theirs.value, theirs)
        record.problems.append("conflict")


def _beside(mine: Identity, value: str, theirs: Identity) -> Identity:
    known = (*mine.matches, value, *theirs.matches)
    return dataclasses.replace(mine, linked=value, conflict=True, matches=known)


def broken(call: Call, error: BaseException, *, alone: bool = True) -> None:
    """The connection broke under a call. The reason it was closed for is read by rules, never exported.

    It names no request: unless those that waited are of one person ``alone``, it tells of none of them.
    """
    record = call.record
    record.raised = type(error).__name__
    reason = dig(error, "rcvd", "reason")
    if alone and isinstance(reason, str) and reason:
        add_error(record.errors, facts_of({"message": reason}))
    call.finish("raised")
