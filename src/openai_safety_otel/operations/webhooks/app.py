"""From settings to a receiver: the one place that puts its parts together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

import openai
from opentelemetry.metrics import MeterProvider

from openai_safety_otel.contract.settings import Settings, environment
from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.instrumentation.signals.sink import EventSink, Sink
from openai_safety_otel.instrumentation.signals.standalone import EventOutput
from openai_safety_otel.ledger.decisions import carry_out, last_in
from openai_safety_otel.ledger.journal import Decision, Journal, open_journal
from openai_safety_otel.ledger.suspensions import open_suspensions
from openai_safety_otel.operations.webhooks.cases import CaseReader
from openai_safety_otel.operations.webhooks.follow_up import FollowUpTools, RetryPolicy, Suspender
from openai_safety_otel.operations.webhooks.measures import Measures
from openai_safety_otel.operations.webhooks.notice import Show
from openai_safety_otel.operations.webhooks.notify import Notifier
from openai_safety_otel.operations.webhooks.receiver import Receiver
from openai_safety_otel.operations.webhooks.verify import Verifier, signing_secrets
from openai_safety_otel.who.identifier import Hasher, shown_identity
from openai_safety_otel.who.keys import load_hasher

SUSPEND_ON: frozenset[NoticeType] = frozenset({"identifier_blocked"})
_log = logging.getLogger(__name__)


def create_app(
    settings: Settings | None = None,
    *,
    journal: Journal | None = None,
    sink: Sink | None = None,
    suspend_on: Iterable[NoticeType] | None = None,
    suspender: Suspender | None = None,
    retries: RetryPolicy | None = None,
    flush: Callable[[], object] | None = None,
    meters: MeterProvider | None = None,
) -> Receiver:
    """The ASGI app to serve or to mount; also a factory for ``uvicorn --factory``.

    Args:
        settings: default: from the environment.
        journal: default: the store of the settings.
        sink: where events go; default: OpenTelemetry and what the settings name.
        suspend_on: notice types that suspend the identifier they name; default: ``identifier_blocked`` where
            the setting ``auto_suspend`` is ``provider``, else none.
        suspender: default: the suspension list of the settings.
        retries: retries and patience.
        flush: called after each event, to hand it on before it is noted as sent; default with the default sink:
            the running SDK's.
        meters: where measurements go; default: the running SDK's.

    Raises:
        ValueError: no usable webhook secret, notification URL or template.
        JournalError: the store cannot be opened.
    """
    settings = settings or Settings.resolve()
    verifier = Verifier(webhook_secrets(settings))
    notifier = (
        Notifier.from_files(settings.notify_url, settings.notify_template) if settings.notify_url else None
    )
    journal = journal or open_journal(settings.store)
    if sink is None:
        sink = EventSink.from_settings(settings)
        flush = flush or EventOutput(sink, leads_anywhere=True).flush
    kinds = frozenset(suspend_on) if suspend_on is not None else _suspend_on(settings)
    if kinds and suspender is None:
        suspender = list_suspender(settings, journal, sink)
    tools = FollowUpTools(
        sink=sink,
        show=show_with(load_hasher(settings)),
        cases=case_reader(settings),
        suspender=suspender if kinds else None,
        suspend_on=kinds,
        notifier=notifier,
        flush=flush,
    )
    return Receiver(journal, verifier, tools, measures=Measures(journal, meters), retries=retries)


def webhook_secrets(settings: Settings) -> tuple[str, ...]:
    """The signing secrets of the settings, else of ``OPENAI_WEBHOOK_SECRET``.

    Raises:
        ValueError: there is none or it is malformed.
    """
    return signing_secrets(settings.webhook_secret or environment("OPENAI_WEBHOOK_SECRET"))


def show_with(hasher: Hasher | None) -> Show:
    """What telemetry may hold of an identifier from the provider: its hash if it looks raw."""
    return lambda value: shown_identity(value, hasher, "caller").value


def case_reader(settings: Settings) -> CaseReader | None:
    """A reader with the case key, or ``OPENAI_API_KEY``; None without either.

    The provider's address is the SDK's own choice (``OPENAI_BASE_URL``).
    """
    key = settings.case_api_key or environment("OPENAI_API_KEY")
    if not key:
        _log.warning("no key to read safety cases (OPENAI_SAFETY_CASE_API_KEY): notices lack details")
        return None
    return CaseReader(openai.AsyncOpenAI(api_key=key))


class ListSuspender:
    """Writes to the suspension list at ``place``, once for each identifier that is not refused already.

    Raises:
        Unreadable: the list's URL is wrong.
    """

    def __init__(self, place: str, journal: Journal, sink: Sink) -> None:
        self._source = open_suspensions(place)
        self._lock = threading.Lock()  # a source is not for several threads at once
        self._journal = journal
        self._sink = sink

    def suspend(self, identifier: str, *, by: str, why: str) -> None:
        """Suspend without expiry (the provider's own block has none).

        Raises:
            JournalError: the decision could not be recorded.
            Unreadable: the list could not be written; trying again is safe.
        """
        with self._lock:
            current = self._source.look_up([identifier]).get(identifier)
            if current is not None and current.refuses:
                return
            decision = Decision(
                identifier=identifier, action="suspend", by=by, why=why, details={"automatic": True}
            )
            carry_out(decision, self._recorded, self._source, self._sink.emit, last=last_in(self._journal))

    def _recorded(self, decision: Decision) -> str | None:
        made = last_in(self._journal)(decision.identifier)
        if made is not None and (made.by, made.why) == (decision.by, decision.why):
            return None  # the try before this one failed after recording it
        return self._journal.append_decision(decision)


def list_suspender(settings: Settings, journal: Journal, sink: Sink) -> ListSuspender:
    """The suspension list of the settings.

    Raises:
        ValueError: no list is set.
    """
    if not settings.suspensions:
        raise ValueError("automatic suspension needs OPENAI_SAFETY_SUSPENSIONS (a file or a redis:// URL)")
    return ListSuspender(settings.suspensions, journal, sink)


def _suspend_on(settings: Settings) -> frozenset[NoticeType]:
    parts = {part.strip() for part in settings.auto_suspend.split(",")}
    return SUSPEND_ON if "provider" in parts and settings.suspensions else frozenset()
