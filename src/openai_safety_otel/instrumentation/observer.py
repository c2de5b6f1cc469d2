"""Opens calls and ends them: the one place that knows settings, identity, guard and signals together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.process import Callback, after_fork, at_exit, at_worker_exit
from openai_safety_otel.contract.record import CallRecord, Outcome
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.answers import Answers, read_session
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.deliver import CallAddress, Delivery
from openai_safety_otel.instrumentation.evidence import Evidence
from openai_safety_otel.instrumentation.extract.endpoints import Endpoint, find
from openai_safety_otel.instrumentation.extract.request import read_request
from openai_safety_otel.instrumentation.filtering import Filter, running
from openai_safety_otel.instrumentation.gate import gate_for
from openai_safety_otel.instrumentation.options import body_of, with_moderation
from openai_safety_otel.instrumentation.outcome import classify
from openai_safety_otel.instrumentation.peers import span_comes_late
from openai_safety_otel.instrumentation.signals import Signals
from openai_safety_otel.who.identifier import Hasher

if TYPE_CHECKING:
    from openai_safety_otel.instrumentation.guard import Guard

_log = logging.getLogger(__name__)
CallListener = Callable[[CallRecord, Outcome], None]


class Observer:
    """Turns SDK requests into records.

    Args:
        settings: resolved settings.
        hasher: None where no key is set or identifiers are off.
        signals: where finished records go.
        on_first: called once, when the first call has ended.
    """

    def __init__(
        self,
        settings: Settings,
        hasher: Hasher | None,
        signals: Signals,
        *,
        on_first: Callable[[], object] | None = None,
    ) -> None:
        self.settings = settings
        self.active = True
        self.muted = False  # the doctor's sample call leaves no telemetry
        self.signals = signals
        self.delivery = Delivery(settings, hasher)
        self.listeners: list[CallListener] = []
        self.guard = _guard(settings, signals)
        self.filter = Filter(settings, dropped=signals.metrics.dropped)
        self.evidence = Evidence(settings.evidence)
        self.hasher = hasher
        self._on_first = on_first
        self._open: dict[int, Call] = {}
        self.answers = Answers(hasher)
        self._cancel_exit: Callback | None = None
        self._said_overtaken = False
        after_fork(self.disown)

    # -- opening --------------------------------------------------------------------------------------------

    def observe(
        self, client: Any, options: Any, *, streaming: bool, peer_inside: bool
    ) -> tuple[Call | None, Any]:
        """A call to record (None: it passes straight through), and the options to send."""
        if not self.active or running():
            return None, options
        try:
            endpoint = find(options.method, options.url, client, unrecorded=self.guard is not None)
            if endpoint is None:
                return None, options
            call = Call(_record(endpoint), endpoint, self._ended)
            call.client = client
            record, body = call.record, body_of(options)
            sent = self.prepare(record, endpoint, client, options, body)
            if self.guard is not None or self.evidence.wanted:
                self._admit(call, client, body)
                if endpoint.unrecorded and call.gate is None:
                    return None, options
            record.streaming = streaming
            call.span = self.signals.span(
                record, own_early=not peer_inside, own_late=not span_comes_late(endpoint)
            )
            self._register(call)
        except Exception as error:  # noqa: BLE001 - the app's call goes on whatever we do wrong
            own_errors.failed("request", error)
            return None, options
        return call, sent

    def overtaken(self, client: Any, options: Any, response: Any, *, streaming: bool = False) -> Call | None:
        """A call that came past the outer hook: recorded from its answer on.

        Its request has left: nothing is added to it any more, and nobody is refused.
        """
        endpoint = find(options.method, options.url, client)
        if endpoint is None or not self.active or running():
            return None
        with own_errors("request"):
            call = Call(_record(endpoint), endpoint, self._ended)
            call.overtaken = True
            call.backdate(response)
            record, body = call.record, body_of(options)
            if self.prepare(record, endpoint, client, options, body, left=True) is not options:
                record.delivery = "withheld"
            self._admit(call, client, body)
            call.gate = None
            record.streaming = streaming
            call.span = self.signals.span(record, own_early=False, own_late=not span_comes_late(endpoint))
            self._register(call)
            if not self._said_overtaken:
                self._said_overtaken = True
                _log.warning(
                    "an OpenAI client was instrumented before openai-safety-otel: its calls are recorded, but carry "
                    "no identifier and nobody is refused; call SafetyInstrumentor().instrument() first"
                )
            return call
        return None

    def begin(
        self,
        record: CallRecord,
        endpoint: Endpoint,
        client: Any,
        body: Any = None,
        *,
        free: bool = False,
        kind: type[Call] = Call,
    ) -> Call:
        """Open a call that does not pass the HTTP hook; whoever holds it tells how it ends.

        ``free`` says that it was not asked for from here, so that nothing can be refused.
        """
        call = kind(record, endpoint, self._ended)
        if not free:
            self._admit(call, client, body or {})
        call.span = self.signals.span(record, own_early=False)
        self._register(call)
        return call

    def prepare(
        self,
        record: CallRecord,
        endpoint: Endpoint,
        client: Any,
        options: Any,
        body: Mapping[str, Any],
        *,
        left: bool = False,
    ) -> Any:
        """Fill in who, where and what is asked; the options to send. ``left``: they have been sent."""
        to = self.delivery.destination(endpoint, client, options)
        record.host = to.host
        record.traffic = self.settings.traffic
        record.api_key_id = self.delivery.api_key_id(getattr(client, "api_key", None))
        record.standard.update(to.standard)
        sent = self.delivery.address(record, to, client, options, body)
        if endpoint.moderatable and not left and self._adds_moderation(record, to, body):
            moderated = with_moderation(sent, self.settings.moderation_model)
            if moderated is not None:
                sent, body = moderated, body_of(moderated)
        read_request(record, body)
        if endpoint.api == "agents":
            read_session(record, options.url, body)
        return sent

    def _adds_moderation(self, record: CallRecord, to: CallAddress, body: Mapping[str, Any]) -> bool:
        """Whether inline moderation is to be asked for: by the setting, or by a `watch` decision; not by the app."""
        if self.settings.moderation != "score":
            entry = self.guard.check(record.identity) if self.guard is not None else None
            if entry is None or entry.action != "watch":
                return False
        return "moderation" not in body and to.allowed

    def _admit(self, call: Call, client: Any, body: Any) -> None:
        """What was decided about this end user here, and whether the call's texts may become evidence."""
        watched = False
        if self.guard is not None:
            call.gate, watched = gate_for(self.guard, self.filter, call.endpoint, call.record, client, body)
        call.evidence = self.evidence.collector(body, watched=watched)

    def _register(self, call: Call) -> None:
        if self._cancel_exit is None:
            # Late, so that it runs before the exit handler of an SDK that was set up earlier.
            self._cancel_exit = at_exit(self.close_open)
            at_worker_exit(self.close_open, first=True)
        self._open[id(call)] = call

    # -- ending ---------------------------------------------------------------------------------------------

    def _ended(self, call: Call) -> None:
        """A call has ended: say how, count it once, tell everybody who wants to hear of it."""
        self._open.pop(id(call), None)
        if self.muted:
            return
        try:
            record = call.record
            if call.endpoint.once:
                self._give_to_owner(call)
            outcome = classify(record)
            counted = self.answers.note(record, outcome, once=call.endpoint.once)
            self.signals.finish(record, outcome, call.span, counted=counted)
            if counted:
                self._follow_up(call, outcome)
            for listener in self.listeners:
                listener(record, outcome)
            if self._on_first is not None:
                first, self._on_first = self._on_first, None
                first()
        except Exception as error:  # noqa: BLE001 - as in `observe`
            own_errors.failed("record", error)

    def _give_to_owner(self, call: Call) -> None:
        """A fetched answer is of whom it was made for, as far as is known, whoever fetches it."""
        record = call.record
        reader, found = record.identity, self.answers.owner(record)
        call.owned = found is not None
        record.identity = found or reader
        if call.evidence is not None and record.identity.value != reader.value:
            call.evidence.watched = False  # the watch is over whoever fetched it

    def _follow_up(self, call: Call, outcome: Outcome) -> None:
        record = call.record
        if record.oversized:
            self.signals.metrics.dropped("facts", "oversized_body", record.oversized)
        named = call.owned and record.identity.source != "library"  # a constant of all users
        if self.guard is not None and named:
            # An identifier that the provider was never given, it cannot have blocked.
            echoed = record.echoed_identifier or record.echoed_user
            known = record.delivery == "sent" or (call.endpoint.once and bool(echoed))
            self.guard.seen(record.identity, outcome, known=known)
        if record.operation == "create_client_secret" and outcome.name == "completed":
            self.signals.metrics.client_secret()
        if call.evidence is not None:
            ids = call.span.ids if call.span is not None else (0, 0, 0)
            event = self.evidence.event(record, outcome, call.evidence, ids)
            if event is not None:
                self.signals.sink.emit(event)

    def forget(self, call: Call) -> None:
        """Let go of a call without a record: others tell of it."""
        self._open.pop(id(call), None)

    def close_open(self) -> None:
        """End what is still open, as abandoned: the process is leaving, or the hooks are."""
        for call in list(self._open.values()):
            call.end_now()

    def leave(self) -> None:
        """The process ends at once: end what is open, and have it written where it is ours to write."""
        with own_errors("exit"):
            self.close_open()
            self.signals.sink.flush()

    def close(self) -> None:
        """Stop observing: end what is open, stop following the suspension list."""
        self.active = False
        self.close_open()
        self._leave_exit()
        if self.guard is not None:
            self.guard.close()

    def disown(self) -> None:
        """In a forked child: its parent tells of the calls that are open."""
        for call in self._open.values():
            call.disown()
        self._open.clear()
        self._leave_exit()

    def _leave_exit(self) -> None:
        if self._cancel_exit is not None:
            self._cancel_exit()
            self._cancel_exit = None


def _guard(settings: Settings, signals: Signals) -> Guard | None:
    if not settings.suspensions:
        return None
    from openai_safety_otel.instrumentation.guard import Guard  # noqa: PLC0415 - only where there is a list

    return Guard.from_settings(settings, dropped=signals.metrics.dropped, emit=signals.sink.emit)


def _record(endpoint: Endpoint) -> CallRecord:
    return CallRecord(endpoint.api, endpoint.name, endpoint.operation, endpoint.inference, reached=False)
