"""What an app calls itself: compute an identifier elsewhere, and pass on a user's report."""

from __future__ import annotations

import functools
import logging
import time
from typing import get_args

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.words import safe_identifier
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.instrumentation.masking import mask
from openai_safety_otel.who.identifier import Hasher, identify
from openai_safety_otel.who.keys import KeyProblemError, require_hasher
from openai_safety_otel.who.user import EndUser

MAX_TEXT = 2000
_MAX_READ = 20_000
_log = logging.getLogger(__name__)


def safety_identifier(user: str | None = None, *, session: str | None = None) -> str:
    """The identifier the provider sees for a user id or an anonymous session: 64 hex characters.

    It is what the active instrumentation sends; before `instrument()`, what the environment says it would send.

    Use it where calls are made that this package cannot see (a browser, another language, a batch file), so
    that one person has one identifier everywhere.

    Raises:
        TypeError: not exactly one of ``user`` and ``session`` is given.
        ValueError: it names nobody, or is too long.
        KeyProblemError: no usable key is set, or identifiers are off.
    """
    if (user is None) == (session is None):
        raise TypeError("give either a user id or session=…")
    person = EndUser(id=user, session=session)
    if not person:
        raise ValueError("an empty id names nobody")
    observer = SafetyInstrumentor().observer
    hasher = observer.hasher if observer is not None else None
    if hasher is None:
        hasher = _hasher_of(observer.settings if observer is not None else Settings.resolve())
    return str(identify(person, hasher).value)


@functools.lru_cache(maxsize=4)
def _hasher_of(settings: Settings) -> Hasher:
    """Kept, so that the key file is read once."""
    if not settings.identifier:
        raise KeyProblemError("OPENAI_SAFETY_IDENTIFIER=off: no identifier is sent")
    return require_hasher(settings)


def report_issue(response_id: str, reason: vocabulary.ReportReason, *, text: str | None = None) -> None:
    """Record that a user of the product reported an answer, as an ``openai_safety.user_report`` event.

    Args:
        response_id: the reported answer's id, as the SDK returned it.
        reason: one of a closed list.
        text: the user's own words; kept only where the setting ``EVIDENCE`` is not off, with secrets and
            personal data masked, up to 2,000 characters.

    Raises:
        ValueError: the reason is not of the list.
    """
    if reason not in get_args(vocabulary.ReportReason):
        raise ValueError(f"reason: expected one of {', '.join(get_args(vocabulary.ReportReason))}")
    observer = SafetyInstrumentor().observer
    if observer is None:
        _log.warning("report_issue: openai-safety-otel is not active, the report goes nowhere")
        return
    with own_errors("user report"):
        reporter = observer.delivery.identity_now()
        pairs: tuple[tuple[str, AttributeValue | None], ...] = (
            # What comes back from a browser as an answer's id may be anything.
            (c.RESPONSE_ID, safe_identifier(response_id) or c.OTHER),
            (c.REPORT_REASON, reason),
            (c.USER_HASH, reporter.value),
            (c.IDENTIFIER_KEY_ID, reporter.key_id),
            (c.REPORTED_HASH, observer.answers.identifier_of(response_id)),
            (c.REPORT_TEXT, _kept(text) if text and observer.settings.evidence != "off" else None),
            (c.TRAFFIC, observer.settings.traffic),
        )
        observer.signals.sink.emit(
            SafetyEvent(
                name=c.USER_REPORT_EVENT,
                time_ns=time.time_ns(),
                attributes={name: value for name, value in pairs if value is not None},
                body=f"a user reported an answer: {reason}",
                severity="WARN",
            )
        )


def _kept(text: str) -> str:
    """A user's words as evidence is kept: masked first, then cut."""
    return mask(text[:_MAX_READ])[:MAX_TEXT]
