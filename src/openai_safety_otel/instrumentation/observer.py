"""Opens calls and ends them: the one place that knows settings, identity, guard and signals together."""

from __future__ import annotations

import atexit
import collections
import logging
import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.harmless import harmless
from openai_safety_otel.contract.record import CallRecord, Outcome
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.deliver import Delivery, body_of, host_of
from openai_safety_otel.instrumentation.evidence import Evidence
from openai_safety_otel.instrumentation.extract.endpoints import Endpoint, find
from openai_safety_otel.instrumentation.extract.request import read_request
from openai_safety_otel.instrumentation.extract.terminal import goes_on
from openai_safety_otel.instrumentation.filtering import Filter, running
from openai_safety_otel.instrumentation.gate import gate_for
from openai_safety_otel.instrumentation.outcome import classify, pending
from openai_safety_otel.instrumentation.passing import Pass
from openai_safety_otel.instrumentation.signals import Signals
from openai_safety_otel.instrumentation.signals.background import ends_with_worker_process
from openai_safety_otel.who.identifier import Hasher, shown_identity

if TYPE_CHECKING:
    from openai_safety_otel.instrumentation.guard import Guard

_MAX_SEEN = 10_000
_log = logging.getLogger(__name__)
Listener = Callable[[CallRecord, Outcome], None]


class Observer:
    """Turns SDK requests into records.

    Args:
        settings: resolved settings.
        hasher: None where no key is set or identifiers are off.
        signals: where finished records go.
        late_peer: says, for an endpoint, whether another instrumentation makes its span after the call.
    """

    def __init__(
        self,
        settings: Settings,
        hasher: Hasher | None,
        signals: Signals,
        *,
        late_peer: Callable[[Endpoint], bool] = lambda _: False,
    ) -> None:
        self.settings = settings
        self.active = True
        self.muted = False  # the doctor's sample call leaves no telemetry
        self.signals = signals
        self.delivery = Delivery(settings, hasher)
        self.listeners: list[Listener] = []
        self.guard = _guard(settings, signals)
        self.filter = Filter.from_settings(settings, dropped=signals.metrics.dropped)
        self.evidence = Evidence(settings.evidence)
        self.hasher = hasher
        self._late_peer = late_peer
        self._open: dict[int, Call] = {}
        self._counted: collections.OrderedDict[str, str | None] = collections.OrderedDict()
        self._at_exit = False
        self._overtaken = False
        _ALIVE.add(self)

    def observe(
        self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, peer_inside: bool
    ) -> Call | Pass:
        """A call to record, or one that passes straight through."""
        if self.active and not running():
            with harmless("request"):
                call = self._begin(client, args, kwargs, peer_inside=peer_inside)
                if call is not None:
                    return call
        return Pass(client, args, kwargs)

    def _begin(
        self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, peer_inside: bool
    ) -> Call | None:
        options = args[1] if len(args) > 1 else kwargs["options"]
        call = self._call(options, unrecorded=self.guard is not None)
        if call is None:
            return None
        call.client = client
        sent = self.prepare(call.record, call.endpoint, client, options)
        self._admit(call, client, body_of(sent))
        if call.endpoint.unrecorded and call.gate is None:
            return None
        call.args, call.kwargs = _with_options(args, kwargs, options, sent)
        call.record.streaming = bool(call.kwargs.get("stream"))
        self._follow(call, own_early=not peer_inside)
        return call

    def overtaken(self, client: Any, options: Any, response: Any, *, streaming: bool = False) -> Call | None:
        """A call that came past the outer hook: recorded from its answer on.

        Its request has left: nothing is added to it any more, and nobody is refused.
        """
        if not self.active or running():
            return None
        with harmless("request"):
            call = self._call(options)
            if call is None:
                return None
            call.backdate(response)
            self.prepare(call.record, call.endpoint, client, options, left=True)
            self._admit(call, client, body_of(options))
            call.gate = None
            call.record.streaming = streaming
            self._follow(call, own_early=False)
            self._say_overtaken()
            return call
        return None

    def _call(self, options: Any, *, unrecorded: bool = False) -> Call | None:
        """A call for a request that is recorded, or one that is only refused (``unrecorded``)."""
        endpoint = find(options.method, options.url, unrecorded=unrecorded)
        if endpoint is None:
            return None
        record = CallRecord(
            api=endpoint.api,
            endpoint=endpoint.name,
            operation=endpoint.operation,
            inference=endpoint.inference,
            reached=False,
        )
        return Call(record, endpoint, self._ended)

    def _follow(self, call: Call, *, own_early: bool) -> None:
        late = self._late_peer(call.endpoint)
        call.trail = self.signals.trail(call.record, own_early=own_early, own_late=not late)
        self._register(call)

    def _say_overtaken(self) -> None:
        if not self._overtaken:
            self._overtaken = True
            _log.warning(
                "an OpenAI client was instrumented before openai-safety-otel: its calls are recorded, but carry no "
                "identifier and nobody is refused; call SafetyInstrumentor().instrument() first"
            )

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
        call.trail = self.signals.trail(record, own_early=False)
        self._register(call)
        return call

    def disown(self) -> None:
        """In a forked child: its parent tells of the calls that are open."""
        for call in self._open.values():
            call.disown()
        self._open.clear()
        atexit.unregister(self.close_open)
        self._at_exit = False

    def forget(self, call: Call) -> None:
        """Let go of a call without a record: others tell of it."""
        self._open.pop(id(call), None)

    def _admit(self, call: Call, client: Any, body: Any) -> None:
        """What was decided about this end user here, and whether the call's texts may become evidence."""
        watched = False
        if self.guard is not None:
            call.gate, watched = gate_for(self.guard, self.filter, call.endpoint, call.record, client, body)
        call.evidence = self.evidence.collector(body, watched=watched)

    def prepare(
        self, record: CallRecord, endpoint: Endpoint, client: Any, options: Any, *, left: bool = False
    ) -> Any:
        """Fill in who, where and what is asked; the options to send. ``left``: they are sent as they were."""
        record.host, port = host_of(client, options)
        record.traffic = self.settings.traffic
        record.api_key_id = self.delivery.api_key_id(getattr(client, "api_key", None))
        record.standard.update(_standard(record, port, client))
        sent = self.delivery.address(record, endpoint, client, options)
        if not left:
            sent = self._moderated(record, endpoint, sent)
        elif sent is not options:
            record.delivery, sent = "withheld", options
        read_request(record, body_of(sent))
        return sent

    def _watched(self, record: CallRecord) -> bool:
        """Whether a `watch` decision asks for the scores of this end user's calls."""
        entry = self.guard.check(record.identity) if self.guard is not None else None
        return entry is not None and entry.action == "watch"

    def _moderated(self, record: CallRecord, endpoint: Endpoint, options: Any) -> Any:
        """Ask for inline moderation where the setting says so and the app did not."""
        if not endpoint.moderatable or not (self.settings.moderation == "score" or self._watched(record)):
            return options
        body = body_of(options)
        if "moderation" in body or not self.delivery.allowed(record.host):
            return options
        return self.delivery.with_moderation(options, self.settings.moderation_model)

    def _register(self, call: Call) -> None:
        if not self._at_exit:
            # Late, so that it runs before the exit handler of an SDK that was set up earlier.
            self._at_exit = True
            atexit.register(self.close_open)
            ends_with_worker_process(self, self.close_open, before=True)
        self._open[id(call)] = call

    def close_open(self) -> None:
        """End what is still open, as abandoned: the process is leaving, or the hooks are."""
        for call in list(self._open.values()):
            call.end_now()

    def leave(self) -> None:
        """The process ends at once: end what is open, and have it written where it is ours to write."""
        with harmless("exit"):
            self.close_open()
            self.signals.sink.flush()

    def _ended(self, call: Call) -> None:
        self._open.pop(id(call), None)
        if self.muted:
            return
        with harmless("record"):
            record = call.record
            if call.endpoint.once:
                self._attribute(record)
            outcome = classify(record)
            counted = self._count(record, call.endpoint)
            self.signals.finish(record, outcome, call.trail, counted=counted)
            if counted:
                self._follow_up(call, outcome)
            for listener in self.listeners:
                listener(record, outcome)

    def _follow_up(self, call: Call, outcome: Outcome) -> None:
        record = call.record
        if record.oversized:
            self.signals.metrics.dropped("facts", "oversized_body", record.oversized)
        if self.guard is not None and record.identity.source != "library":  # a constant of all users
            self.guard.seen(record.identity, outcome)
        if call.endpoint.operation == "create_client_secret" and outcome.name == "completed":
            self.signals.metrics.client_secret()
        if call.evidence is not None:
            ids = call.trail.ids if call.trail is not None else (0, 0, 0)
            event = self.evidence.event(record, outcome, call.evidence, ids)
            if event is not None:
                self.signals.sink.emit(event)

    def close(self) -> None:
        """Stop observing: end what is open, stop following the suspension list."""
        self.active = False
        self.close_open()
        atexit.unregister(self.close_open)
        if self.guard is not None:
            self.guard.close()

    def identifier_of(self, response_id: str) -> str | None:
        """Whose answer this was, if it is among the last ten thousand of this process."""
        return self._counted.get(response_id)

    def _attribute(self, record: CallRecord) -> None:
        """A fetched outcome belongs to whom the provider says it was created for."""
        if record.identity.value is None and record.echoed_identifier:
            record.identity = shown_identity(record.echoed_identifier, self.hasher, "caller")

    def _count(self, record: CallRecord, endpoint: Endpoint) -> bool:
        """Whether this outcome is news: a fetched response counts once, by its id, when it has ended."""
        early = pending(record) or goes_on(record)
        known = early or (record.response_id or "") in self._counted
        if endpoint.once and known and record.end == "returned":
            return False
        if record.response_id and not early:
            self._counted[record.response_id] = record.identity.value
            while len(self._counted) > _MAX_SEEN:
                self._counted.popitem(last=False)
        return True


_ALIVE: weakref.WeakSet[Observer] = weakref.WeakSet()


def _begin_anew_in_child() -> None:
    for observer in list(_ALIVE):
        observer.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_in_child)


def _guard(settings: Settings, signals: Signals) -> Guard | None:
    if not settings.suspensions:
        return None
    from openai_safety_otel.instrumentation.guard import Guard  # noqa: PLC0415 - only where there is a list

    return Guard.from_settings(settings, dropped=signals.metrics.dropped, emit=signals.sink.emit)


def _standard(record: CallRecord, port: int | None, client: Any) -> dict[str, Any]:
    azure = "azure" in type(client).__name__.lower() or (record.host or "").endswith(".azure.com")
    found: dict[str, Any] = {
        c.OPERATION_NAME: record.operation,
        c.PROVIDER_NAME: "azure.ai.openai" if azure else "openai",
    }
    if record.host:
        found[c.SERVER_ADDRESS] = record.host
        if port is not None and port != 443:  # noqa: PLR2004 - the https port goes without saying
            found[c.SERVER_PORT] = port
    return found


def _with_options(
    args: tuple[Any, ...], kwargs: dict[str, Any], options: Any, sent: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if sent is options:
        return args, kwargs
    if len(args) > 1:
        return (args[0], sent, *args[2:]), kwargs
    return args, {**kwargs, "options": sent}
